#include "addon/low_rank_object.h"

#include <utility>
#include <vector>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "core/xxh3.h"
#include "merge/lowrank/low_rank_rows.h"

namespace wisemerge {
namespace {

class DifferenceJob : public PromiseJob {
 public:
  DifferenceJob(std::shared_ptr<Engine> engine, std::shared_ptr<HostBuffer> arena, const DifferenceTask& task)
      : engine_(std::move(engine)), arena_(std::move(arena)), task_(task) {}

  void execute() override { non_finite_ = run_difference(*engine_, task_, cancel_flag()); }
  Napi::Value result(Napi::Env env) override {
    return Napi::Number::New(env, static_cast<double>(non_finite_));
  }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::shared_ptr<HostBuffer> arena_;
  const DifferenceTask task_;
  uint64_t non_finite_ = 0;
};

class DecomposeJob : public PromiseJob {
 public:
  DecomposeJob(std::shared_ptr<TruncatedSvd> svd, std::shared_ptr<HostBuffer> arena, const LowRankTask& task)
      : svd_(std::move(svd)), arena_(std::move(arena)), task_(task) {}

  void execute() override { outcome_ = svd_->run(task_, cancel_flag()); }
  Napi::Value result(Napi::Env env) override {
    const LowRankOutcome& o = outcome_;
    std::vector<double> numbers = {static_cast<double>(o.rank), o.matrix, o.product, o.residual};
    numbers.insert(numbers.end(), o.values.begin(), o.values.end());
    Napi::Float64Array array = Napi::Float64Array::New(env, numbers.size());
    std::copy(numbers.begin(), numbers.end(), array.Data());
    return array;
  }

 private:
  const std::shared_ptr<TruncatedSvd> svd_;
  const std::shared_ptr<HostBuffer> arena_;
  const LowRankTask task_;
  LowRankOutcome outcome_{};
};

// Of the seed and a tensor's name, as the masks of merging have it.
uint64_t key_of(uint64_t seed, const std::string& name) {
  Xxh3 hash;
  hash.update(&seed, sizeof(seed));
  hash.update(name.data(), name.size());
  return hash.digest();
}

}  // namespace

Napi::Function LowRankObject::define(Napi::Env env) {
  return DefineClass(env, "LowRank",
                     {InstanceMethod("difference", &LowRankObject::difference),
                      InstanceMethod("decompose", &LowRankObject::decompose),
                      InstanceMethod("close", &LowRankObject::close)});
}

LowRankObject::LowRankObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    differences_ = EngineObject::argument(info, 0).engine();
    arena_ = BufferObject::argument(info, 2).memory();
    svd_ = std::make_shared<TruncatedSvd>(EngineObject::argument(info, 1).engine(),
                                          int_argument(info, 3, "threads"));
  });
}

Napi::Value LowRankObject::difference(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (!svd_) throw Error("ERR_INTERNAL_ARGUMENT", "this decomposition is closed");
    const Napi::Float64Array row = doubles_argument(info, 0, "numbers");
    const DifferenceTask task =
        parse_difference(row.Data(), row.ElementLength(), arena_->data(), arena_->size());
    return runtime_->start(info.Env(), std::make_shared<DifferenceJob>(differences_, arena_, task));
  });
}

Napi::Value LowRankObject::decompose(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (!svd_) throw Error("ERR_INTERNAL_ARGUMENT", "this decomposition is closed");
    const Napi::Float64Array row = doubles_argument(info, 0, "numbers");
    LowRankTask task = parse_decompose(row.Data(), row.ElementLength(), arena_->data(), arena_->size());
    task.key = key_of(whole_argument(info, 1, "seed"), string_argument(info, 2, "name"));
    return runtime_->start(info.Env(), std::make_shared<DecomposeJob>(svd_, arena_, task));
  });
}

Napi::Value LowRankObject::close(const Napi::CallbackInfo& info) {
  svd_.reset();
  arena_.reset();
  differences_.reset();
  return info.Env().Undefined();
}

}  // namespace wisemerge
