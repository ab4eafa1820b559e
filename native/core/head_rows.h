// The numbers by which JavaScript describes one call of a head's evaluation: everything lies in one arena (a
// host buffer), at byte offsets that are multiples of the element's size; -1 stands for what is not there.
// Parsing checks that every range is inside the arena, so that a wrong caller gets an error and never touches
// other memory. Strides are in elements.
//
//   matmul   m n k  aDtype a aRowStride aColumnStride  wDtype w0 w1 wRowStride wColumnStride  alpha
//            bias0 bias1  out outStride
//   logits   rows classes stride z0 z1 labels
//   path     logits  from to  lo hi open
//   curve    rows classes dimension  aDtype features aRowStride aColumnStride  wDtype w0 w1 wRowStride
//            wColumnStride  bias0 bias1  labels  from to  lo hi open
//   metrics  logits  lo hi open  sums predicted predictions
//   moments  logits  weights b g  sums
//   outputs  logits  alpha  outputs
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "wisemerge/backend.h"

namespace wisemerge {

// All throw Error: ERR_INTERNAL_RANGE, ERR_INTERNAL_ARGUMENT.
WmMatmul parse_matmul(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
WmPath parse_head_path(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
WmCurve parse_head_curve(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
// `alphas` must outlive the call.
WmHeadMetrics parse_head_metrics(const double* numbers, size_t length, const std::vector<double>& alphas,
                                 uint8_t* arena, uint64_t bytes);
WmHeadMoments parse_head_moments(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
WmHeadOutputs parse_head_outputs(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);

}  // namespace wisemerge
