// Engine as a JavaScript object: starts jobs on one device.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/runtime.h"
#include "core/engine.h"

namespace wisemerge {

// All but close() return { promise, cancel() }. The row formats are those of core/segments.h.
class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new Engine(kind, ordinal, threads, isa, precision): threads 0 and isa "" mean the best; "exact" or
  // "fast".
  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

  // Throws ERR_INTERNAL_ARGUMENT for anything else.
  static EngineObject& argument(const Napi::CallbackInfo& info, size_t index);
  // Throws ERR_ENGINE_CLOSED.
  const std::shared_ptr<Engine>& engine() const;

 private:
  Napi::Value lerp(const Napi::CallbackInfo& info);     // (buffer, rows, alphas) -> Float64Array [row][alpha]
  Napi::Value compare(const Napi::CallbackInfo& info);  // (buffer, rows) -> Float64Array [span][10]
  // (buffer, numbers), metrics also (alphas), as core/head_rows.h has them -> undefined. In head_methods.cc.
  Napi::Value matmul(const Napi::CallbackInfo& info);
  Napi::Value head_path(const Napi::CallbackInfo& info);
  Napi::Value head_curve(const Napi::CallbackInfo& info);
  Napi::Value head_metrics(const Napi::CallbackInfo& info);
  Napi::Value head_moments(const Napi::CallbackInfo& info);
  Napi::Value head_outputs(const Napi::CallbackInfo& info);
  // (buffer, numbers, weights), as merge/combine_rows.h has them -> elements not finite. In
  // combine_method.cc.
  Napi::Value combine(const Napi::CallbackInfo& info);
  Napi::Value pin(const Napi::CallbackInfo& info);  // (buffer) -> undefined
  Napi::Value close(const Napi::CallbackInfo& info);
  void drop();

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<Engine> engine_;  // null once closed; queued jobs keep theirs
};

}  // namespace wisemerge
