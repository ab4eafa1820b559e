#include "addon/engine_object.h"

#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/errors.h"
#include "addon/results.h"
#include "core/arena_compute.h"
#include "core/backends.h"

namespace wisemerge {
namespace {

constexpr napi_type_tag kEngineTag{0x9e0d3b7751c84f16ull, 0xa7f2c6d81b934e05ull};

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

  Napi::Value result(Napi::Env env) override { return to_array(env, non_finite_); }

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

  Napi::Value result(Napi::Env env) override { return to_array(env, sums_); }

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

}  // namespace

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(
      env, "Engine",
      {InstanceMethod("lerp", &EngineObject::lerp), InstanceMethod("compare", &EngineObject::compare),
       InstanceMethod("matmul", &EngineObject::matmul), InstanceMethod("headPath", &EngineObject::head_path),
       InstanceMethod("headCurve", &EngineObject::head_curve),
       InstanceMethod("headMetrics", &EngineObject::head_metrics),
       InstanceMethod("headMoments", &EngineObject::head_moments),
       InstanceMethod("headOutputs", &EngineObject::head_outputs),
       InstanceMethod("combine", &EngineObject::combine), InstanceMethod("pin", &EngineObject::pin),
       InstanceMethod("close", &EngineObject::close)});
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
    const std::string precision = string_argument(info, 4, "precision");
    if (precision == "fast") {
      options.precision = WM_FAST;
    } else if (precision == "tf32") {
      options.precision = WM_TF32;
    } else if (precision != "exact") {
      throw_argument("precision", "exact, fast or tf32");
    }
    WmError error{};
    const int count = backend->device_count(&error);
    if (options.ordinal >= count) {
      throw Error("ERR_DEVICE_UNAVAILABLE", "no " + kind + " device " + std::to_string(options.ordinal) +
                                                ": " + std::to_string(count) + " found, numbered from 0");
    }
    engine_ = std::make_shared<Engine>(backend, std::move(options));
    runtime_->adopt(engine_);
    info.This().As<Napi::Object>().TypeTag(&kEngineTag);
  });
}

EngineObject::~EngineObject() { drop(); }

EngineObject& EngineObject::argument(const Napi::CallbackInfo& info, size_t index) {
  if (!info[index].IsObject() || !info[index].As<Napi::Object>().CheckTypeTag(&kEngineTag)) {
    throw_argument("engine", "an Engine");
  }
  return *Unwrap(info[index].As<Napi::Object>());
}

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
    // Otherwise there is nothing to undo, and released memory would wait for the executor to find that out.
    if (engine()->pins()) buffer.pinned_in(engine());
    return runtime_->start(info.Env(), std::move(job));
  });
}

Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  drop();
  return info.Env().Undefined();
}

// On the executor, behind the jobs already queued; a stream's batches hold it open (Engine::Use).
void EngineObject::drop() {
  if (!engine_) return;
  runtime_->post([engine = std::move(engine_)] { engine->close(); });
  engine_.reset();
}

}  // namespace wisemerge
