// Operations and parameters as a backend takes them.
#pragma once

#include <algorithm>

#include "network/ops.h"
#include "wisemerge/backend.h"

namespace wisemerge::network {

inline WmOperation backend_operation(const Op& op) {
  WmOperation operation{};
  operation.kind = static_cast<int32_t>(op.kind);
  for (size_t i = 0; i < kOpParameters; i++) {
    // A similarity's is a number that goes with the operands.
    operation.parameter[i] = op.kind == OpKind::kSimilarity ? WM_NO_PARAMETER : op.parameter[i];
  }
  std::copy_n(op.size, kOpSizes, operation.size);
  return operation;
}

inline WmParameter backend_parameter(const Parameter& parameter) {
  return {parameter.count, static_cast<int32_t>(parameter.zeroshot_dtype),
          static_cast<int32_t>(parameter.finetuned_dtype), parameter.zeroshot, parameter.finetuned};
}

}  // namespace wisemerge::network
