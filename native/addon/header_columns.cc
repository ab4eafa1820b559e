#include "addon/header_columns.h"

#include <string_view>

#include "addon/results.h"

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

}  // namespace

// JavaScript strings can only be made on its thread; everything else is copied flat.
Napi::Object header_columns(Napi::Env env, const SafetensorsHeader& header, uint64_t hash) {
  const size_t count = header.size();
  Napi::Array names = Napi::Array::New(env, count);
  Napi::Uint8Array dtypes = Napi::Uint8Array::New(env, count);
  for (size_t i = 0; i < count; i++) {
    Napi::HandleScope scope(env);
    names.Set(static_cast<uint32_t>(i), to_string(env, header.name(i)));
    dtypes[i] = static_cast<uint8_t>(header.dtypes[i]);
  }
  Napi::Uint32Array dim_ends = Napi::Uint32Array::New(env, count);
  for (size_t i = 0; i < count; i++) dim_ends[i] = header.dim_ends[i];
  Napi::Array metadata = Napi::Array::New(env, header.metadata.size());
  for (size_t i = 0; i < header.metadata.size(); i++) {
    Napi::HandleScope scope(env);
    Napi::Array entry = Napi::Array::New(env, 2);
    entry.Set(0u, to_string(env, header.metadata[i].first));
    entry.Set(1u, to_string(env, header.metadata[i].second));
    metadata.Set(static_cast<uint32_t>(i), entry);
  }
  Napi::Object columns = Napi::Object::New(env);
  columns.Set("count", Napi::Number::New(env, static_cast<double>(count)));
  columns.Set("names", names);
  columns.Set("dtypes", dtypes);
  columns.Set("dims", to_doubles(env, header.dims));
  columns.Set("dimEnds", dim_ends);
  columns.Set("begins", to_doubles(env, header.begins));
  columns.Set("ends", to_doubles(env, header.ends));
  columns.Set("metadata", metadata);
  columns.Set("xxh3", to_hex(env, hash));
  return columns;
}

}  // namespace wisemerge
