#include "addon/merge_object.h"

#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "merge/job_rows.h"

namespace wisemerge {
namespace {

class BatchJob : public PromiseJob {
 public:
  BatchJob(std::shared_ptr<MergeStream> stream, std::shared_ptr<MergeBatch> batch)
      : stream_(std::move(stream)), batch_(std::move(batch)) {}

  // The work is done by now.
  void execute() override {
    if (batch_->error) throw FileError(*batch_->error);
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Float64Array array = Napi::Float64Array::New(env, batch_->reports.size() * 4);
    double* next = array.Data();
    for (size_t i = 0; i < batch_->reports.size(); i++) {
      *next++ = static_cast<double>(batch_->reports[i].non_finite);
      *next++ = batch_->reports[i].notes;
      *next++ = static_cast<double>(batch_->hashes[i] >> 32);
      *next++ = static_cast<double>(batch_->hashes[i] & 0xffffffffu);
    }
    return array;
  }

 private:
  const std::shared_ptr<MergeStream> stream_;
  const std::shared_ptr<MergeBatch> batch_;
};

std::vector<float> floats_argument(const Napi::CallbackInfo& info, size_t index, uint64_t length,
                                   const char* name) {
  if (!info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
      info[index].As<Napi::TypedArray>().ElementLength() != length) {
    throw_argument(name, "a Float32Array of as many numbers as its shape has");
  }
  const auto array = info[index].As<Napi::Float32Array>();
  return {array.Data(), array.Data() + array.ElementLength()};
}

}  // namespace

Napi::Function MergeObject::define(Napi::Env env) {
  return DefineClass(
      env, "MergeStream",
      {InstanceMethod("addOutput", &MergeObject::add_output),
       InstanceMethod("addLowRank", &MergeObject::add_low_rank), InstanceMethod("run", &MergeObject::run),
       InstanceMethod("close", &MergeObject::close)});
}

Napi::Value MergeObject::methods(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (const MergeMethod& method : merge_methods()) names.Set(names.Length(), method.name);
  return names;
}

MergeObject::MergeObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    MergeStreamOptions options;
    options.engine = EngineObject::argument(info, 0).engine();
    options.arena = BufferObject::argument(info, 1).memory();
    options.chunk_bytes = whole_argument(info, 2, "chunkBytes");
    seed_ = whole_argument(info, 3, "seed");
    stream_ = std::make_shared<MergeStream>(std::move(options));
    runtime_->adopt(stream_);
  });
}

MergeObject::~MergeObject() = default;

const std::shared_ptr<MergeStream>& MergeObject::stream() const {
  if (!stream_) throw Error("ERR_INTERNAL_ARGUMENT", "this stream is closed");
  return stream_;
}

Napi::Value MergeObject::add_output(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (!info[2].IsTypedArray()) throw_argument("header", "a Uint8Array");
    const auto header = info[2].As<Napi::Uint8Array>();
    const uint32_t output = stream()->add_output(int_argument(info, 0, "fd"), info[1].ToBoolean().Value(),
                                                 {header.Data(), header.Data() + header.ByteLength()});
    return Napi::Number::New(info.Env(), output);
  });
}

Napi::Value MergeObject::add_low_rank(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    auto addend = std::make_shared<LowRank>();
    addend->rows = whole_argument(info, 0, "rows");
    addend->columns = whole_argument(info, 1, "columns");
    addend->rank = whole_argument(info, 2, "rank");
    if (!info[3].IsNumber()) throw_argument("scale", "a number");
    addend->scale = info[3].As<Napi::Number>().DoubleValue();
    addend->transposed = info[4].ToBoolean().Value();
    addend->a = floats_argument(info, 5, addend->rank * addend->columns, "a");
    addend->b = floats_argument(info, 6, addend->rows * addend->rank, "b");
    addends_.push_back(std::move(addend));
    return Napi::Number::New(info.Env(), static_cast<double>(addends_.size() - 1));
  });
}

Napi::Value MergeObject::run(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Napi::Float64Array rows = doubles_argument(info, 0, "tensors");
    if (!info[1].IsArray()) throw_argument("names", "an array");
    const auto given = info[1].As<Napi::Array>();
    std::vector<std::string> names;
    for (uint32_t i = 0; i < given.Length(); i++) names.push_back(given.Get(i).ToString().Utf8Value());
    auto batch = std::make_shared<MergeBatch>();
    batch->jobs = parse_merge_jobs(rows.Data(), rows.ElementLength(), names, seed_, addends_);
    auto job = std::make_shared<BatchJob>(stream(), batch);
    // Gives its reference to the job away: the last one may close the stream, which no thread of it can do.
    batch->done = [runtime = runtime_, job]() mutable {
      job->run();
      runtime->finished(std::move(job));
    };
    const auto begin = [&] {
      try {
        stream_->submit(batch);
      } catch (...) {
        batch->done = nullptr;  // the two would keep each other alive
        throw;
      }
    };
    return runtime_->start(info.Env(), job, begin,
                           [job = std::weak_ptr<BatchJob>(job), batch = std::weak_ptr<MergeBatch>(batch)] {
                             if (const auto live = job.lock()) live->cancel();
                             if (const auto live = batch.lock())
                               __atomic_store_n(&live->cancelled, 1, __ATOMIC_RELAXED);
                           });
  });
}

Napi::Value MergeObject::close(const Napi::CallbackInfo& info) {
  if (stream_) stream_->shutdown();
  stream_.reset();
  addends_.clear();
  return info.Env().Undefined();
}

}  // namespace wisemerge
