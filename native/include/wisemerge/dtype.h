// The dtypes of the safetensors format, in the format's own order (by alignment, ascending).
//
// The numeric values cross the C ABI and the JavaScript boundary: append only.
#pragma once

#include <cstdint>

namespace wisemerge {

// X(enumerator, safetensors name, bits per element, kind)
#define WM_DTYPES(X)                        \
  X(kBool, "BOOL", 8, kBoolean)             \
  X(kF4, "F4", 4, kPacked)                  \
  X(kF6E2M3, "F6_E2M3", 6, kPacked)         \
  X(kF6E3M2, "F6_E3M2", 6, kPacked)         \
  X(kU8, "U8", 8, kInteger)                 \
  X(kI8, "I8", 8, kInteger)                 \
  X(kF8E5M2, "F8_E5M2", 8, kFloat)          \
  X(kF8E4M3, "F8_E4M3", 8, kFloat)          \
  X(kF8E8M0, "F8_E8M0", 8, kPacked)         \
  X(kF8E4M3FNUZ, "F8_E4M3FNUZ", 8, kPacked) \
  X(kF8E5M2FNUZ, "F8_E5M2FNUZ", 8, kPacked) \
  X(kI16, "I16", 16, kInteger)              \
  X(kU16, "U16", 16, kInteger)              \
  X(kF16, "F16", 16, kFloat)                \
  X(kBF16, "BF16", 16, kFloat)              \
  X(kI32, "I32", 32, kInteger)              \
  X(kU32, "U32", 32, kInteger)              \
  X(kF32, "F32", 32, kFloat)                \
  X(kC64, "C64", 64, kComplex)              \
  X(kF64, "F64", 64, kFloat)                \
  X(kI64, "I64", 64, kInteger)              \
  X(kU64, "U64", 64, kInteger)

enum class DType : uint8_t {
#define X(id, name, bits, kind) id,
  WM_DTYPES(X)
#undef X
};

// Only kFloat is interpolated. kPacked covers block-scaled and sub-byte codes (F4, F6, E8M0 scales, FNUZ),
// which are not linear in their stored value or have no element function here.
enum class DTypeKind : uint8_t { kBoolean, kInteger, kFloat, kComplex, kPacked };

struct DTypeInfo {
  const char* name;
  uint8_t bits;
  DTypeKind kind;
};

inline constexpr DTypeInfo kDTypes[] = {
#define X(id, name, bits, kind) {name, bits, DTypeKind::kind},
    WM_DTYPES(X)
#undef X
};
inline constexpr uint32_t kDTypeCount = sizeof(kDTypes) / sizeof(kDTypes[0]);

inline constexpr const DTypeInfo& dtype_info(DType dtype) { return kDTypes[static_cast<uint32_t>(dtype)]; }
inline constexpr bool is_float(DType dtype) { return dtype_info(dtype).kind == DTypeKind::kFloat; }
// Bytes per element of a whole-byte dtype; 0 for sub-byte ones.
inline constexpr uint32_t item_size(DType dtype) { return dtype_info(dtype).bits / 8; }

}  // namespace wisemerge
