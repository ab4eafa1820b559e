#include "addon/header_function.h"

#include <memory>
#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/header_columns.h"
#include "addon/runtime.h"
#include "core/safetensors_header.h"
#include "core/xxh3.h"

namespace wisemerge {
namespace {

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

  Napi::Value result(Napi::Env env) override { return header_columns(env, header_, hash_.digest()); }

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
