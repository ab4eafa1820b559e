#include "addon/header_function.h"

#include <memory>
#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/results.h"
#include "addon/runtime.h"
#include "core/safetensors_header.h"
#include "core/xxh3.h"

namespace wisemerge {
namespace {

Napi::String to_string(Napi::Env env, std::string_view text) {
  return Napi::String::New(env, text.data(), text.size());
}

// Offsets and dimensions as doubles: the parser admits none beyond the file's size, which is below 2^53 here.
Napi::Float64Array to_doubles(Napi::Env env, const std::vector<uint64_t>& values) {
  Napi::Float64Array array = Napi::Float64Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); i++) array[i] = static_cast<double>(values[i]);
  return array;
}

class HeaderJob : public PromiseJob {
 public:
  HeaderJob(std::shared_ptr<HostBuffer> memory, size_t json_bytes, uint64_t data_bytes)
      : memory_(std::move(memory)), json_bytes_(json_bytes), data_bytes_(data_bytes) {}

  void execute() override {
    const std::string_view json(reinterpret_cast<const char*>(memory_->data()), json_bytes_);
    header_ = parse_safetensors_header(json, data_bytes_);
    // As the file has it: the length of the JSON, then the JSON.
    const uint64_t length = json_bytes_;
    hash_.update(&length, sizeof(length));
    hash_.update(memory_->data(), json_bytes_);
  }

  // JavaScript strings can only be made on this thread; everything else is copied flat.
  Napi::Value result(Napi::Env env) override {
    const size_t count = header_.size();
    Napi::Array names = Napi::Array::New(env, count);
    Napi::Uint8Array dtypes = Napi::Uint8Array::New(env, count);
    for (size_t i = 0; i < count; i++) {
      Napi::HandleScope scope(env);
      names.Set(static_cast<uint32_t>(i), to_string(env, header_.name(i)));
      dtypes[i] = static_cast<uint8_t>(header_.dtypes[i]);
    }
    Napi::Uint32Array dim_ends = Napi::Uint32Array::New(env, count);
    for (size_t i = 0; i < count; i++) dim_ends[i] = header_.dim_ends[i];
    Napi::Array metadata = Napi::Array::New(env, header_.metadata.size());
    for (size_t i = 0; i < header_.metadata.size(); i++) {
      Napi::HandleScope scope(env);
      Napi::Array entry = Napi::Array::New(env, 2);
      entry.Set(0u, to_string(env, header_.metadata[i].first));
      entry.Set(1u, to_string(env, header_.metadata[i].second));
      metadata.Set(static_cast<uint32_t>(i), entry);
    }
    Napi::Object columns = Napi::Object::New(env);
    columns.Set("count", Napi::Number::New(env, static_cast<double>(count)));
    columns.Set("names", names);
    columns.Set("dtypes", dtypes);
    columns.Set("dims", to_doubles(env, header_.dims));
    columns.Set("dimEnds", dim_ends);
    columns.Set("begins", to_doubles(env, header_.begins));
    columns.Set("ends", to_doubles(env, header_.ends));
    columns.Set("metadata", metadata);
    columns.Set("xxh3", to_hex(env, hash_.digest()));
    return columns;
  }

 private:
  const std::shared_ptr<HostBuffer> memory_;
  const size_t json_bytes_;
  const uint64_t data_bytes_;
  SafetensorsHeader header_;
  Xxh3 hash_;
};

}  // namespace

Napi::Value parse_header(const Napi::CallbackInfo& info) {
  const auto& memory = BufferObject::argument(info, 0).memory();
  const uint64_t json_bytes = whole_argument(info, 1, "jsonBytes");
  if (json_bytes > memory->size()) {
    throw Error("ERR_INTERNAL_RANGE", "jsonBytes " + std::to_string(json_bytes) + " leaves the buffer of " +
                                          std::to_string(memory->size()) + " bytes");
  }
  const uint64_t data_bytes = whole_argument(info, 2, "dataBytes");
  return Runtime::of(info.Env())
      .start(info.Env(), std::make_shared<HeaderJob>(memory, static_cast<size_t>(json_bytes), data_bytes));
}

}  // namespace wisemerge
