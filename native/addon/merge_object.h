// MergeStream as a JavaScript object.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "addon/runtime.h"
#include "merge/job_rows.h"
#include "merge/merge_stream.h"

namespace wisemerge {

class MergeObject : public Napi::ObjectWrap<MergeObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // The names of merge_methods(), in order.
  static Napi::Value methods(const Napi::CallbackInfo& info);

  // new MergeStream(engine, buffer, chunkBytes, seed)
  explicit MergeObject(const Napi::CallbackInfo& info);
  ~MergeObject() override;

 private:
  Napi::Value add_output(const Napi::CallbackInfo& info);  // (fd, direct, header) -> its number
  // (rows, columns, rank, scale, transposed, a, b) -> the number of an addend (merge/merge_job.h), whose
  // factors are Float32Arrays
  Napi::Value add_low_rank(const Napi::CallbackInfo& info);
  // (rows, mixEnds, tables, tableRows) -> the number of a row map (merge/row_gather.h): an Int32Array, and
  // Uint32Arrays of which the latter two are the parts
  Napi::Value add_row_map(const Napi::CallbackInfo& info);
  // (rows of merge/job_rows.h, names) -> { promise, cancel() } of a Float64Array: per tensor its non-finite
  // elements, notes, and the upper and lower half of the output's XXH3 where it was the last.
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  const std::shared_ptr<MergeStream>& stream() const;

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<MergeStream> stream_;  // null once closed
  MergeParts parts_;
  uint64_t seed_ = 0;
};

}  // namespace wisemerge
