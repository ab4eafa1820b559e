#include "addon/engine_object.h"

#include <cmath>
#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/errors.h"
#include "core/arena_compute.h"
#include "core/backends.h"

namespace wisemerge {
namespace {

class LerpJob : public PromiseJob {
 public:
  LerpJob(std::shared_ptr<Engine> engine, std::shared_ptr<HostBuffer> arena, LerpSegments segments,
          std::vector<double> alphas)
      : engine_(std::move(engine)),
        arena_(std::move(arena)),
        segments_(std::move(segments)),
        alphas_(std::move(alphas)) {}

  void execute() override {
    non_finite_ = lerp_arena(*engine_, arena_->data(), segments_, alphas_, cancel_flag());
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Float64Array counts = Napi::Float64Array::New(env, non_finite_.size());
    for (size_t i = 0; i < non_finite_.size(); i++) counts[i] = static_cast<double>(non_finite_[i]);
    return counts;
  }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::shared_ptr<HostBuffer> arena_;
  const LerpSegments segments_;
  const std::vector<double> alphas_;
  std::vector<uint64_t> non_finite_;
};

class CompareJob : public PromiseJob {
 public:
  CompareJob(std::shared_ptr<Engine> engine, std::shared_ptr<HostBuffer> arena,
             std::vector<CompareSegment> segments)
      : engine_(std::move(engine)), arena_(std::move(arena)), segments_(std::move(segments)) {}

  void execute() override { sums_ = compare_arena(*engine_, arena_->data(), segments_, cancel_flag()); }

  Napi::Value result(Napi::Env env) override {
    constexpr size_t kColumns = 10;
    Napi::Float64Array rows = Napi::Float64Array::New(env, sums_.size() * kColumns);
    double* next = rows.Data();
    for (const CompareSums& s : sums_) {
      for (const double sum : {s.xx, s.yy, s.xy, s.dd, s.max_abs}) *next++ = sum;
      for (const uint64_t count : {s.unchanged, s.x_nan, s.x_inf, s.y_nan, s.y_inf}) {
        *next++ = static_cast<double>(count);
      }
    }
    return rows;
  }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::shared_ptr<HostBuffer> arena_;
  const std::vector<CompareSegment> segments_;
  std::vector<CompareSums> sums_;
};

class PinJob : public PromiseJob {
 public:
  PinJob(std::shared_ptr<Engine> engine, std::shared_ptr<HostBuffer> memory)
      : engine_(std::move(engine)), memory_(std::move(memory)) {}

  void execute() override { engine_->pin(memory_); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  const std::shared_ptr<Engine> engine_;
  const std::shared_ptr<HostBuffer> memory_;
};

std::vector<double> alphas_argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Float64Array array = doubles_argument(info, index, "alphas");
  const std::vector<double> alphas(array.Data(), array.Data() + array.ElementLength());
  if (alphas.empty() || alphas.size() > UINT32_MAX) throw_argument("alphas", "one or more numbers");
  for (const double alpha : alphas) {
    if (!std::isfinite(alpha)) throw_argument("alphas", "finite numbers");
  }
  return alphas;
}

}  // namespace

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(
      env, "Engine",
      {InstanceMethod("lerp", &EngineObject::lerp), InstanceMethod("compare", &EngineObject::compare),
       InstanceMethod("pin", &EngineObject::pin), InstanceMethod("close", &EngineObject::close)});
}

EngineObject::EngineObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    const std::string kind = string_argument(info, 0, "device");
    const WmBackend* const backend = require_backend(runtime_->directory(), kind);
    EngineOptions options;
    options.ordinal = int_argument(info, 1, "ordinal");
    options.threads = int_argument(info, 2, "threads");
    options.isa = string_argument(info, 3, "isa");
    WmError error{};
    const int count = backend->device_count(&error);
    if (options.ordinal >= count) {
      throw Error("ERR_DEVICE_UNAVAILABLE", "no " + kind + " device " + std::to_string(options.ordinal) +
                                                ": " + std::to_string(count) + " found, numbered from 0");
    }
    engine_ = std::make_shared<Engine>(backend, std::move(options));
    runtime_->adopt(engine_);
  });
}

EngineObject::~EngineObject() { drop(); }

const std::shared_ptr<Engine>& EngineObject::engine() const {
  if (!engine_) throw Error("ERR_ENGINE_CLOSED", "this engine is closed");
  return engine_;
}

Napi::Value EngineObject::lerp(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array rows = doubles_argument(info, 1, "segments");
    std::vector<double> alphas = alphas_argument(info, 2);
    LerpSegments segments = parse_lerp_segments(rows.Data(), rows.ElementLength(),
                                                static_cast<uint32_t>(alphas.size()), arena->size());
    return runtime_->start(
        info.Env(), std::make_shared<LerpJob>(engine(), arena, std::move(segments), std::move(alphas)));
  });
}

Napi::Value EngineObject::compare(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array rows = doubles_argument(info, 1, "segments");
    std::vector<CompareSegment> segments =
        parse_compare_segments(rows.Data(), rows.ElementLength(), arena->size());
    return runtime_->start(info.Env(), std::make_shared<CompareJob>(engine(), arena, std::move(segments)));
  });
}

Napi::Value EngineObject::pin(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    BufferObject& buffer = BufferObject::argument(info, 0);
    auto job = std::make_shared<PinJob>(engine(), buffer.memory());
    buffer.pinned_in(engine());
    return runtime_->start(info.Env(), std::move(job));
  });
}

Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  drop();
  return info.Env().Undefined();
}

// The context is the executor's: it closes there, behind the jobs already queued.
void EngineObject::drop() {
  if (!engine_) return;
  runtime_->post([engine = std::move(engine_)] { engine->close(); });
  engine_.reset();
}

}  // namespace wisemerge
