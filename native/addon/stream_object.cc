#include "addon/stream_object.h"

#include <algorithm>
#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "addon/results.h"

namespace wisemerge {
namespace {

class BatchJob : public PromiseJob {
 public:
  BatchJob(std::shared_ptr<BlockStream> stream, std::shared_ptr<BlockBatch> batch)
      : stream_(std::move(stream)), batch_(std::move(batch)) {}

  // Any thread.
  void stop() {
    cancel();
    stream_->cancel(*batch_);
  }

  // The work is done by now.
  void execute() override {
    if (batch_->error) throw FileError(*batch_->error);
  }

  Napi::Value result(Napi::Env env) override {
    const size_t numbers = batch_->non_finite.size() + batch_->sums.size() * kCompareSumColumns;
    Napi::Float64Array array = Napi::Float64Array::New(env, numbers);
    put(put(array.Data(), batch_->non_finite), batch_->sums);
    return array;
  }

 private:
  const std::shared_ptr<BlockStream> stream_;
  const std::shared_ptr<BlockBatch> batch_;
};

std::vector<int> descriptors_argument(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Float64Array array = doubles_argument(info, index, "fds");
  std::vector<int> fds;
  for (size_t i = 0; i < array.ElementLength(); i++) {
    if (!(array[i] >= 0 && array[i] <= INT32_MAX)) throw_argument("fds", "file descriptors");
    fds.push_back(static_cast<int>(array[i]));
  }
  return fds;
}

std::vector<uint8_t> bytes_argument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw_argument(name, "a Uint8Array");
  }
  const auto array = info[index].As<Napi::Uint8Array>();
  return {array.Data(), array.Data() + array.ByteLength()};
}

}  // namespace

Napi::Function StreamObject::define(Napi::Env env) {
  return DefineClass(
      env, "BlockStream",
      {InstanceMethod("addOutput", &StreamObject::add_output), InstanceMethod("run", &StreamObject::run),
       InstanceMethod("finishOutput", &StreamObject::finish_output),
       InstanceMethod("close", &StreamObject::close)});
}

StreamObject::StreamObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    BlockStreamOptions options;
    const std::shared_ptr<Engine> engine = EngineObject::argument(info, 0).engine();
    options.engines = Engine::lanes(engine);
    if (!engine->on_host()) {
      options.piece_bytes = UINT64_MAX;  // a block is one transfer each way
      options.in_place = false;
    }
    options.arena = BufferObject::argument(info, 1).memory();
    options.shape.block = whole_argument(info, 2, "block");
    options.shape.x = whole_argument(info, 3, "x");
    options.shape.y = whole_argument(info, 4, "y");
    options.shape.outputs = static_cast<uint32_t>(int_argument(info, 5, "outputs"));
    const Napi::Float64Array alphas = doubles_argument(info, 6, "alphas");
    if (alphas.ElementLength() > 0) options.alphas = alphas_argument(info, 6);
    stream_ = std::make_shared<BlockStream>(std::move(options));
    runtime_->adopt(stream_);
  });
}

StreamObject::~StreamObject() = default;

const std::shared_ptr<BlockStream>& StreamObject::stream() const {
  if (!stream_) throw Error("ERR_INTERNAL_ARGUMENT", "this stream is closed");
  return stream_;
}

Napi::Value StreamObject::add_output(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const std::vector<int> fds = descriptors_argument(info, 0);
    const std::vector<uint8_t> direct = bytes_argument(info, 1, "direct");
    const uint32_t output = stream()->add_output(fds, std::vector<bool>(direct.begin(), direct.end()),
                                                 bytes_argument(info, 2, "header"));
    return Napi::Number::New(info.Env(), output);
  });
}

Napi::Value StreamObject::run(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Napi::Float64Array files = doubles_argument(info, 0, "files");
    const Napi::Float64Array range = doubles_argument(info, 1, "range");
    auto batch = std::make_shared<BlockBatch>();
    batch->work = parse_work(files.Data(), files.ElementLength(), range.Data(), range.ElementLength(),
                             stream()->shape().outputs == 0);
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
    return runtime_->start(info.Env(), job, begin, [job = std::weak_ptr<BatchJob>(job)] {
      if (const auto live = job.lock()) live->stop();
    });
  });
}

Napi::Value StreamObject::finish_output(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const std::vector<uint64_t> all =
        stream()->finish_output(static_cast<uint32_t>(int_argument(info, 0, "output")));
    Napi::Array texts = Napi::Array::New(info.Env(), all.size());
    for (uint32_t i = 0; i < all.size(); i++) texts.Set(i, to_hex(info.Env(), all[i]));
    return texts;
  });
}

Napi::Value StreamObject::close(const Napi::CallbackInfo& info) {
  if (stream_) stream_->shutdown();
  stream_.reset();
  return info.Env().Undefined();
}

}  // namespace wisemerge
