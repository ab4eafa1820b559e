// Engine's weighted sums of tensors in memory.
#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "merge/combine_rows.h"

namespace wisemerge {
namespace {

class CombineJob : public PromiseJob {
 public:
  CombineJob(std::shared_ptr<Engine> engine, std::shared_ptr<HostBuffer> arena, CombineTask task)
      : engine_(std::move(engine)), arena_(std::move(arena)), task_(std::move(task)) {}

  void execute() override { non_finite_ = run_combine(*engine_, task_, cancel_flag()); }
  Napi::Value result(Napi::Env env) override {
    return Napi::Number::New(env, static_cast<double>(non_finite_));
  }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::shared_ptr<HostBuffer> arena_;
  const CombineTask task_;
  uint64_t non_finite_ = 0;
};

}  // namespace

Napi::Value EngineObject::combine(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "numbers");
    CombineTask task = parse_combine(row.Data(), row.ElementLength(), alphas_argument(info, 2), arena->data(),
                                     arena->size());
    return runtime_->start(info.Env(), std::make_shared<CombineJob>(engine(), arena, std::move(task)));
  });
}

}  // namespace wisemerge
