// Decompositions as a JavaScript object: starts jobs on the executor.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/runtime.h"
#include "core/host_buffer.h"
#include "merge/lowrank/truncated_svd.h"

namespace wisemerge {

// The numbers are those of merge/lowrank/low_rank_rows.h; what they describe lies in the buffer the object
// was made with.
class LowRankObject : public Napi::ObjectWrap<LowRankObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new LowRank(engine, buffer, threads)
  explicit LowRankObject(const Napi::CallbackInfo& info);

 private:
  // (numbers, seed, name) -> { promise, cancel() } of [rank, squares of matrix, product and residual,
  // singular values ...]
  Napi::Value decompose(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<HostBuffer> arena_;
  std::shared_ptr<TruncatedSvd> svd_;  // null once closed; queued jobs keep theirs
};

}  // namespace wisemerge
