#include "addon/trainer_object.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "train/train_rows.h"

namespace wisemerge {
namespace {

class TrainerJob : public PromiseJob {
 public:
  using Body = std::function<std::vector<double>(train::Trainer&, WmCancelFlag)>;

  TrainerJob(std::shared_ptr<train::Trainer> trainer, std::shared_ptr<HostBuffer> arena, Body body)
      : trainer_(std::move(trainer)), arena_(std::move(arena)), body_(std::move(body)) {}

  void execute() override { numbers_ = body_(*trainer_, cancel_flag()); }
  Napi::Value result(Napi::Env env) override {
    Napi::Float64Array array = Napi::Float64Array::New(env, numbers_.size());
    std::copy(numbers_.begin(), numbers_.end(), array.Data());
    return array;
  }

 private:
  const std::shared_ptr<train::Trainer> trainer_;
  const std::shared_ptr<HostBuffer> arena_;
  const Body body_;
  std::vector<double> numbers_;
};

}  // namespace

Napi::Function TrainerObject::define(Napi::Env env) {
  return DefineClass(
      env, "Trainer",
      {InstanceMethod("train", &TrainerObject::train), InstanceMethod("evaluate", &TrainerObject::evaluate),
       InstanceMethod("store", &TrainerObject::store), InstanceMethod("close", &TrainerObject::close)});
}

TrainerObject::TrainerObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    const std::shared_ptr<Engine>& engine = EngineObject::argument(info, 0).engine();
    arena_ = BufferObject::argument(info, 1).memory();
    const Napi::Float64Array row = doubles_argument(info, 2, "numbers");
    train::TrainerRow parsed =
        train::parse_trainer(row.Data(), row.ElementLength(), arena_->data(), arena_->size());
    trainer_ = std::make_shared<train::Trainer>(engine, parsed.tensors, std::move(parsed.programs),
                                                parsed.arrays, parsed.options);
  });
}

const std::shared_ptr<train::Trainer>& TrainerObject::trainer() const {
  if (!trainer_) throw Error("ERR_INTERNAL_ARGUMENT", "this trainer is closed");
  return trainer_;
}

Napi::Value TrainerObject::train(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<train::Trainer>& trainer = this->trainer();
    const Napi::Float64Array row = doubles_argument(info, 0, "numbers");
    const Napi::Float64Array rates = doubles_argument(info, 1, "rates");
    train::StepsCall call = train::parse_steps(row.Data(), row.ElementLength(),
                                               {rates.Data(), rates.Data() + rates.ElementLength()},
                                               arena_->data(), arena_->size());
    const auto body = [call = std::move(call)](train::Trainer& target, WmCancelFlag cancelled) {
      const train::StepsResult result = target.train(call, cancelled);
      const bool diverged = result.diverged != train::StepsResult::kNone;
      std::vector<double> all = {static_cast<double>(result.correct), static_cast<double>(result.samples),
                                 result.largest_norm, diverged ? static_cast<double>(result.diverged) : -1};
      all.insert(all.end(), result.losses.begin(), result.losses.end());
      return all;
    };
    return runtime_->start(info.Env(), std::make_shared<TrainerJob>(trainer, arena_, body));
  });
}

Napi::Value TrainerObject::evaluate(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const std::shared_ptr<train::Trainer>& trainer = this->trainer();
    const Napi::Float64Array row = doubles_argument(info, 0, "numbers");
    const train::TrainingData data =
        train::parse_data(row.Data(), row.ElementLength(), arena_->data(), arena_->size());
    const auto body = [data](train::Trainer& target, WmCancelFlag cancelled) {
      const train::LossSums sums = target.evaluate(data, cancelled);
      return std::vector<double>{sums.loss, static_cast<double>(sums.correct)};
    };
    return runtime_->start(info.Env(), std::make_shared<TrainerJob>(trainer, arena_, body));
  });
}

Napi::Value TrainerObject::store(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto body = [](train::Trainer& target, WmCancelFlag cancelled) {
      target.store(cancelled);
      return std::vector<double>();
    };
    return runtime_->start(info.Env(), std::make_shared<TrainerJob>(trainer(), arena_, body));
  });
}

Napi::Value TrainerObject::close(const Napi::CallbackInfo& info) {
  trainer_.reset();
  arena_.reset();
  return info.Env().Undefined();
}

}  // namespace wisemerge
