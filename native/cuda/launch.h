// The kernels as the host sees them: choose one for a dtype combination, launch it over a table of segments.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernels/compare_blocks.h"
#include "cuda/kernels/lerp.h"

namespace wisemerge::cuda {

// What the segments of one launch add up to.
struct LerpTotals {
  uint32_t segments = 0, tiles = 0;
};

struct LerpKernel {
  using Segment = LerpSegment;
  using Totals = LerpTotals;
  using Function = void (*)(const LerpSegment*, uint32_t, uint32_t);
  Function function;
  uint32_t tile_elements;

  // Numbers the next segment of a table.
  void append(LerpSegment& segment, LerpTotals& totals) const {
    segment.first_tile = totals.tiles;
    totals.segments++;
    totals.tiles += static_cast<uint32_t>((segment.count + tile_elements - 1) / tile_elements);
  }
};

// Every triple of float dtypes has a kernel.
LerpKernel lerp_kernel(DType x, DType y, DType out);

// `segments` is a table in device memory whose rows were numbered by kernel.append(). Asynchronous.
cudaError_t launch(const LerpKernel& kernel, const LerpSegment* segments, const LerpTotals& totals,
                   cudaStream_t stream);

struct CompareTotals {
  uint32_t segments = 0, blocks = 0, spans = 0;
};

struct CompareKernel {
  using Segment = CompareSegment;
  using Totals = CompareTotals;
  using Function = void (*)(const CompareSegment*, uint32_t, uint32_t);
  Function function;

  void append(CompareSegment& segment, CompareTotals& totals) const {
    segment.first_block = totals.blocks;
    segment.first_span = totals.spans;
    totals.segments++;
    totals.blocks += compare_block_count(segment.count);
    totals.spans += compare_span_count(segment.count);
  }
};

// Every pair of float dtypes has a kernel.
CompareKernel compare_kernel(DType x, DType y);

// All phases, blocks and spans. Asynchronous.
cudaError_t launch(const CompareKernel& kernel, const CompareSegment* segments, const CompareTotals& totals,
                   cudaStream_t stream);

// Whether the current device runs the kernels: loads one.
cudaError_t try_kernels();

// The architectures of the embedded machine code, as nvcc lists them: "800,900".
const char* kernel_architectures();

}  // namespace wisemerge::cuda
