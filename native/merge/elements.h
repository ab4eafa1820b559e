// One element of a tensor of any float dtype, for the few places that look at single elements.
#pragma once

#include <cstdint>

#include "wisemerge/convert.h"

namespace wisemerge {

template <class Scalar>
Scalar load_element(DType dtype, const void* data, uint64_t index) {
  switch (dtype) {
#define WM_LOAD(d)                                                                     \
  case DType::d: {                                                                     \
    const auto bits = static_cast<const Element<DType::d>::Bits*>(data)[index];        \
    return sizeof(Scalar) == 4 ? static_cast<Scalar>(Element<DType::d>::load32(bits))  \
                               : static_cast<Scalar>(Element<DType::d>::load64(bits)); \
  }
    WM_LOAD(kF64)
    WM_LOAD(kF32)
    WM_LOAD(kF16)
    WM_LOAD(kBF16)
    WM_LOAD(kF8E5M2)
    WM_LOAD(kF8E4M3)
#undef WM_LOAD
    default:
      return 0;
  }
}

}  // namespace wisemerge
