#include "addon/inference_object.h"

#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "train/train_rows.h"

namespace wisemerge {
namespace {

class InferenceJob : public PromiseJob {
 public:
  InferenceJob(std::shared_ptr<train::Inference> inference, std::shared_ptr<HostBuffer> arena,
               const train::InferenceCall& call)
      : inference_(std::move(inference)), arena_(std::move(arena)), call_(call) {}

  void execute() override { inference_->run(call_, cancel_flag()); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  const std::shared_ptr<train::Inference> inference_;
  const std::shared_ptr<HostBuffer> arena_;
  const train::InferenceCall call_;
};

}  // namespace

Napi::Function InferenceObject::define(Napi::Env env) {
  return DefineClass(
      env, "Inference",
      {InstanceMethod("run", &InferenceObject::run), InstanceMethod("close", &InferenceObject::close)});
}

InferenceObject::InferenceObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    const std::shared_ptr<Engine>& engine = EngineObject::argument(info, 0).engine();
    arena_ = BufferObject::argument(info, 1).memory();
    const Napi::Float64Array row = doubles_argument(info, 2, "numbers");
    train::NetworkRow parsed = train::parse_network(row.Data(), row.ElementLength());
    inference_ = std::make_shared<train::Inference>(engine, std::move(parsed.layers), parsed.parameters,
                                                    parsed.max_rows, parsed.threads);
  });
}

Napi::Value InferenceObject::run(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (!inference_) throw Error("ERR_INTERNAL_ARGUMENT", "this network is closed");
    const Napi::Float64Array row = doubles_argument(info, 0, "numbers");
    const train::InferenceCall call =
        train::parse_logits(row.Data(), row.ElementLength(), *inference_, arena_->data(), arena_->size());
    return runtime_->start(info.Env(), std::make_shared<InferenceJob>(inference_, arena_, call));
  });
}

Napi::Value InferenceObject::close(const Napi::CallbackInfo& info) {
  inference_.reset();
  arena_.reset();
  return info.Env().Undefined();
}

}  // namespace wisemerge
