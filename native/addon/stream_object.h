// BlockStream as a JavaScript object.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/runtime.h"
#include "core/block_stream.h"

namespace wisemerge {

class StreamObject : public Napi::ObjectWrap<StreamObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new BlockStream(engine, buffer, block, x, y, outputs, alphas): SlotShape and [set][output] alphas.
  explicit StreamObject(const Napi::CallbackInfo& info);
  ~StreamObject() override;

 private:
  Napi::Value add_output(const Napi::CallbackInfo& info);  // (fds, direct, header) -> its number
  // (files and range of core/stream_work.h) -> { promise, cancel() } of a Float64Array: as Engine::lerp or
  // compare, all segments in order.
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value finish_output(const Napi::CallbackInfo& info);  // (output) -> 16 hex digits per file
  Napi::Value close(const Napi::CallbackInfo& info);
  const std::shared_ptr<BlockStream>& stream() const;

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<BlockStream> stream_;  // null once closed
};

}  // namespace wisemerge
