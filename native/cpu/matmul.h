// The matrix product of the CPU backend: WmMatmul cut into blocks that fit the caches.
#pragma once

#include "cpu/calls.h"

namespace wisemerge::cpu {

// `call` is what an error names.
WmCode check_matrix(const WmMatrix& matrix, const char* call, const char* name, uint64_t rows,
                    uint64_t columns, WmError* error);

WmCode run_matmul(WmContext& context, const WmMatmul& call, WmCancelFlag cancelled, WmError* error);

}  // namespace wisemerge::cpu
