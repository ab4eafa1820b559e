#include "addon/merge_object.h"

#include <algorithm>
#include <type_traits>
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

template <class Array>
auto integers_argument(const Napi::CallbackInfo& info, size_t index, napi_typedarray_type type,
                       const char* name) {
  if (!info[index].IsTypedArray() || info[index].As<Napi::TypedArray>().TypedArrayType() != type) {
    throw_argument(name, "an Int32Array (rows) or a Uint32Array");
  }
  const auto array = info[index].As<Array>();
  using Integer = std::remove_pointer_t<decltype(array.Data())>;
  return std::vector<std::remove_const_t<Integer>>(array.Data(), array.Data() + array.ElementLength());
}

// Tables beyond this are no models.
constexpr uint32_t kMostTables = 1u << 16;

void check_row_map(const std::vector<int32_t>& rows, const std::vector<uint32_t>& mix_ends,
                   const std::vector<uint32_t>& tables, const std::vector<uint32_t>& table_rows) {
  const bool ascending = std::is_sorted(mix_ends.begin(), mix_ends.end());
  if (!ascending || tables.size() != table_rows.size() ||
      (mix_ends.empty() ? 0 : mix_ends.back()) != tables.size()) {
    throw_argument("mixEnds", "ascending, up to the number of parts");
  }
  for (const int32_t row : rows) {
    if (row < 0 && static_cast<uint64_t>(-1 - int64_t{row}) >= mix_ends.size()) {
      throw_argument("rows", "rows, or -1 - k for a mix k that there is");
    }
  }
  for (const uint32_t table : tables) {
    if (table >= kMostTables) throw_argument("tables", "numbers of tables");
  }
}

}  // namespace

Napi::Function MergeObject::define(Napi::Env env) {
  return DefineClass(
      env, "MergeStream",
      {InstanceMethod("addOutput", &MergeObject::add_output),
       InstanceMethod("addLowRank", &MergeObject::add_low_rank),
       InstanceMethod("addRowMap", &MergeObject::add_row_map), InstanceMethod("run", &MergeObject::run),
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
    parts_.addends.push_back(std::move(addend));
    return Napi::Number::New(info.Env(), static_cast<double>(parts_.addends.size() - 1));
  });
}

Napi::Value MergeObject::add_row_map(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    auto map = std::make_shared<RowMap>();
    map->rows = integers_argument<Napi::Int32Array>(info, 0, napi_int32_array, "rows");
    map->mix_ends = integers_argument<Napi::Uint32Array>(info, 1, napi_uint32_array, "mixEnds");
    const auto tables = integers_argument<Napi::Uint32Array>(info, 2, napi_uint32_array, "tables");
    const auto rows = integers_argument<Napi::Uint32Array>(info, 3, napi_uint32_array, "tableRows");
    check_row_map(map->rows, map->mix_ends, tables, rows);
    map->needed.resize(1);
    for (const int32_t row : map->rows) {
      if (row >= 0) map->needed[0] = std::max(map->needed[0], static_cast<uint64_t>(row) + 1);
    }
    for (size_t i = 0; i < tables.size(); i++) {
      if (tables[i] >= map->needed.size()) map->needed.resize(size_t{tables[i]} + 1);
      map->needed[tables[i]] = std::max(map->needed[tables[i]], uint64_t{rows[i]} + 1);
      map->parts.push_back({tables[i], rows[i]});
    }
    parts_.row_maps.push_back(std::move(map));
    return Napi::Number::New(info.Env(), static_cast<double>(parts_.row_maps.size() - 1));
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
    try {
      batch->jobs = parse_merge_jobs(rows.Data(), rows.ElementLength(), names, seed_, parts_);
    } catch (...) {
      stream()->fail(current_error());
      throw;
    }
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
  parts_ = {};
  return info.Env().Undefined();
}

}  // namespace wisemerge
