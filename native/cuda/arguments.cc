#include "cuda/arguments.h"

#include <cmath>
#include <string>

#include "cuda/failure.h"
#include "wisemerge/compare.h"

namespace wisemerge::cuda {
namespace {

[[noreturn]] void refuse(const char* call, uint32_t index, const std::string& fault) {
  throw Failure{WM_INVALID_ARGUMENT, 0, std::string(call) + ": item " + std::to_string(index) + ": " + fault};
}

bool aligned(const void* pointer, size_t alignment) {
  return reinterpret_cast<uintptr_t>(pointer) % alignment == 0;
}

// A pointer to `count` elements of `dtype`, called `name` in messages.
DType check_range(const char* call, uint32_t index, const char* name, int32_t dtype, const void* pointer,
                  uint64_t count) {
  const bool known = dtype >= 0 && static_cast<uint32_t>(dtype) < kDTypeCount;
  if (!known || !is_float(static_cast<DType>(dtype))) {
    const std::string text = known ? dtype_info(static_cast<DType>(dtype)).name : std::to_string(dtype);
    refuse(call, index, "dtype " + text + " of " + name + " is not a float dtype");
  }
  const size_t size = item_size(static_cast<DType>(dtype));
  if (count > SIZE_MAX / size)
    refuse(call, index, std::to_string(count) + " elements exceed the address space");
  if (count > 0 && !pointer) refuse(call, index, std::string(name) + " is null");
  if (!aligned(pointer, size)) {
    refuse(call, index,
           std::string(name) + " is not aligned to its elements of " + std::to_string(size) + " bytes");
  }
  return static_cast<DType>(dtype);
}

}  // namespace

LerpTypes check_lerp(const WmLerp& item, uint32_t index) {
  if (item.alpha_count > 0 && (!item.alphas || !item.outs || !item.non_finite)) {
    refuse("lerp", index, "alphas, outs or non_finite is null");
  }
  LerpTypes types{};
  types.x = check_range("lerp", index, "x", item.x_dtype, item.x, item.count);
  types.out = check_range("lerp", index, "the output", item.out_dtype, nullptr, 0);
  for (uint32_t k = 0; k < item.alpha_count; k++) {
    if (!std::isfinite(item.alphas[k]))
      refuse("lerp", index, "alpha " + std::to_string(k) + " is not finite");
    types.needs_y = types.needs_y || item.alphas[k] != 0;
    check_range("lerp", index, "an output", item.out_dtype, item.outs[k], item.count);
  }
  types.y = check_range("lerp", index, "y", item.y_dtype, item.y, types.needs_y ? item.count : 0);
  return types;
}

CompareTypes check_compare(const WmCompare& item, uint32_t index) {
  const CompareTypes types = {check_range("compare", index, "x", item.x_dtype, item.x, item.count),
                              check_range("compare", index, "y", item.y_dtype, item.y, item.count)};
  if (item.count > 0 && (!item.sums || !aligned(item.sums, alignof(CompareSums)))) {
    refuse("compare", index, "sums is null or not aligned");
  }
  return types;
}

}  // namespace wisemerge::cuda
