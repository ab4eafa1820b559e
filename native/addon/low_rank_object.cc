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
                     {InstanceMethod("decompose", &LowRankObject::decompose),
                      InstanceMethod("close", &LowRankObject::close)});
}

LowRankObject::LowRankObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    arena_ = BufferObject::argument(info, 1).memory();
    svd_ = std::make_shared<TruncatedSvd>(EngineObject::argument(info, 0).engine(),
                                          int_argument(info, 2, "threads"));
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
  return info.Env().Undefined();
}

}  // namespace wisemerge
