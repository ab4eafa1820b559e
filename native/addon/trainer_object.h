// Trainer as a JavaScript object: starts training and evaluation on the executor.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/runtime.h"
#include "core/host_buffer.h"
#include "train/trainer.h"

namespace wisemerge {

// The numbers are those of train/train_rows.h; what they describe lies in the buffer the trainer was made
// with.
class TrainerObject : public Napi::ObjectWrap<TrainerObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new Trainer(engine, buffer, numbers)
  explicit TrainerObject(const Napi::CallbackInfo& info);

 private:
  // All return { promise, cancel() }.
  // (numbers, rates) -> Float64Array [correct, samples, largest norm, step that diverged or -1, then the loss
  // of each step done]
  Napi::Value train(const Napi::CallbackInfo& info);
  Napi::Value evaluate(const Napi::CallbackInfo& info);  // (numbers) -> Float64Array [loss, correct]
  Napi::Value store(const Napi::CallbackInfo& info);     // () -> Float64Array []
  Napi::Value close(const Napi::CallbackInfo& info);
  const std::shared_ptr<train::Trainer>& trainer() const;

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<HostBuffer> arena_;
  std::shared_ptr<train::Trainer> trainer_;  // null once closed; queued jobs keep theirs
};

}  // namespace wisemerge
