// The methods of Engine that evaluate heads.
#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "core/head_rows.h"

namespace wisemerge {
namespace {

// A call whose operands lie in a buffer and whose results go there.
template <class Call>
class ArenaJob : public PromiseJob {
 public:
  using Method = void (Engine::*)(const Call&, WmCancelFlag);

  ArenaJob(std::shared_ptr<Engine> engine, std::shared_ptr<HostBuffer> arena, Method method, Call call,
           std::vector<double> alphas = {})
      : engine_(std::move(engine)),
        arena_(std::move(arena)),
        method_(method),
        call_(call),
        alphas_(std::move(alphas)) {}

  void execute() override { ((*engine_).*method_)(call_, cancel_flag()); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::shared_ptr<HostBuffer> arena_;
  const Method method_;
  const Call call_;
  const std::vector<double> alphas_;  // what call_ points to
};

}  // namespace

Napi::Value EngineObject::matmul(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "numbers");
    return runtime_->start(info.Env(),
                           std::make_shared<ArenaJob<WmMatmul>>(
                               engine(), arena, &Engine::matmul,
                               parse_matmul(row.Data(), row.ElementLength(), arena->data(), arena->size())));
  });
}

Napi::Value EngineObject::head_path(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "numbers");
    return runtime_->start(
        info.Env(), std::make_shared<ArenaJob<WmPath>>(
                        engine(), arena, &Engine::head_path,
                        parse_head_path(row.Data(), row.ElementLength(), arena->data(), arena->size())));
  });
}

Napi::Value EngineObject::head_curve(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "numbers");
    return runtime_->start(
        info.Env(), std::make_shared<ArenaJob<WmCurve>>(
                        engine(), arena, &Engine::head_curve,
                        parse_head_curve(row.Data(), row.ElementLength(), arena->data(), arena->size())));
  });
}

Napi::Value EngineObject::head_metrics(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "numbers");
    std::vector<double> alphas = alphas_argument(info, 2);
    // Moving the vector keeps its elements where the call points.
    const WmHeadMetrics call =
        parse_head_metrics(row.Data(), row.ElementLength(), alphas, arena->data(), arena->size());
    return runtime_->start(info.Env(), std::make_shared<ArenaJob<WmHeadMetrics>>(
                                           engine(), arena, &Engine::head_metrics, call, std::move(alphas)));
  });
}

Napi::Value EngineObject::head_moments(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "numbers");
    return runtime_->start(
        info.Env(), std::make_shared<ArenaJob<WmHeadMoments>>(
                        engine(), arena, &Engine::head_moments,
                        parse_head_moments(row.Data(), row.ElementLength(), arena->data(), arena->size())));
  });
}

Napi::Value EngineObject::head_outputs(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "numbers");
    return runtime_->start(
        info.Env(), std::make_shared<ArenaJob<WmHeadOutputs>>(
                        engine(), arena, &Engine::head_outputs,
                        parse_head_outputs(row.Data(), row.ElementLength(), arena->data(), arena->size())));
  });
}

}  // namespace wisemerge
