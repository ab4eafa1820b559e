// The factor of a similarity.
#pragma once

#include <cmath>

#include "network/ops.h"
#include "wisemerge/lerp.h"

namespace wisemerge::network {

inline float stored_number(DType dtype, const void* data) {
  if (dtype == DType::kF32) return *static_cast<const float*>(data);
  const uint16_t bits = *static_cast<const uint16_t*>(data);
  return dtype == DType::kBF16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

// e^s, s one number between both models.
inline float similarity_scale(const Parameter& parameter, double alpha) {
  const float x = stored_number(parameter.zeroshot_dtype, parameter.zeroshot);
  const float y = parameter.finetuned ? stored_number(parameter.finetuned_dtype, parameter.finetuned) : x;
  const uint32_t s = lerp_element<DType::kF32, DType::kF32, DType::kF32>(bit_cast<uint32_t>(x),
                                                                         bit_cast<uint32_t>(y), alpha);
  return static_cast<float>(std::exp(static_cast<double>(bit_cast<float>(s))));
}

}  // namespace wisemerge::network
