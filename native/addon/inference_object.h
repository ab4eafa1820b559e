// Inference as a JavaScript object: starts forward passes on the executor.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/runtime.h"
#include "core/host_buffer.h"
#include "train/inference.h"

namespace wisemerge {

// The numbers are those of train/train_rows.h; what they describe lies in the buffer the object was made
// with.
class InferenceObject : public Napi::ObjectWrap<InferenceObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new Inference(engine, buffer, numbers)
  explicit InferenceObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value run(const Napi::CallbackInfo& info);  // (numbers) -> { promise, cancel() }
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<HostBuffer> arena_;
  std::shared_ptr<train::Inference> inference_;  // null once closed; queued jobs keep theirs
};

}  // namespace wisemerge
