// An oracle for conversions and interpolation that shares nothing with convert.h and lerp.h: floats are
// decoded from their fields, arithmetic is exact in a fixed-point number wide enough for any product, and
// rounding looks at the exact value's bits.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "wisemerge/dtype.h"

namespace wisemerge::test {

// An IEEE-like format. `infinity` false: the E4M3 kind, whose all-ones code is NaN and the rest finite.
struct Format {
  int mantissa_bits, exponent_bits;
  bool infinity;

  int bits() const { return 1 + exponent_bits + mantissa_bits; }
  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  uint64_t sign_bit() const { return 1ull << (bits() - 1); }
  uint64_t infinity_code() const { return ((1ull << exponent_bits) - 1) << mantissa_bits; }
  // The smallest magnitude code that is no number.
  uint64_t first_nan() const { return infinity ? infinity_code() + 1 : sign_bit() - 1; }
  bool is_nan(uint64_t code) const { return (code & (sign_bit() - 1)) >= first_nan(); }
  bool is_infinite(uint64_t code) const { return infinity && (code & (sign_bit() - 1)) == infinity_code(); }
  bool is_finite(uint64_t code) const { return !is_nan(code) && !is_infinite(code); }
};

inline constexpr Format kFormatF64 = {52, 11, true}, kFormatF32 = {23, 8, true}, kFormatF16 = {10, 5, true},
                        kFormatBF16 = {7, 8, true}, kFormatF8E5M2 = {2, 5, true},
                        kFormatF8E4M3 = {3, 4, false};

inline constexpr DType kFloatDTypes[] = {DType::kF64,  DType::kF32,    DType::kF16,
                                         DType::kBF16, DType::kF8E5M2, DType::kF8E4M3};

inline Format format_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return kFormatF64;
    case DType::kF32:
      return kFormatF32;
    case DType::kF16:
      return kFormatF16;
    case DType::kBF16:
      return kFormatBF16;
    case DType::kF8E5M2:
      return kFormatF8E5M2;
    default:
      return kFormatF8E4M3;
  }
}

// A finite float: (-1)^negative * mantissa * 2^exponent.
struct Parts {
  bool negative;
  uint64_t mantissa;
  int exponent;
};

inline Parts decode(Format format, uint64_t code) {
  const uint64_t fraction = code & ((1ull << format.mantissa_bits) - 1);
  const int field = static_cast<int>((code >> format.mantissa_bits) & ((1ull << format.exponent_bits) - 1));
  const bool negative = (code & format.sign_bit()) != 0;
  const int unit = 1 - format.bias() - format.mantissa_bits;
  if (field == 0) return {negative, fraction, unit};
  return {negative, fraction | (1ull << format.mantissa_bits), unit + field - 1};
}

// Two's complement fixed point with 64 * Words bits and the unit 2^Unit.
template <int Words, int Unit>
class Exact {
 public:
  void add(Parts p) { add_shifted(p.negative, p.mantissa, 0, p.exponent); }
  void subtract(Parts p) { add_shifted(!p.negative, p.mantissa, 0, p.exponent); }
  void add_product(Parts a, Parts b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a.mantissa) * b.mantissa;
    add_shifted(a.negative != b.negative, static_cast<uint64_t>(product),
                static_cast<uint64_t>(product >> 64), a.exponent + b.exponent);
  }

  // The nearest code, ties to even. `zero_negative`: the sign when the value is exactly zero.
  uint64_t round(Format format, bool zero_negative) const {
    uint64_t magnitude[Words];
    const bool negative = word_[Words - 1] >> 63;
    uint64_t carry = negative;
    for (int i = 0; i < Words; i++) {
      magnitude[i] = (negative ? ~word_[i] : word_[i]) + carry;
      carry = carry && magnitude[i] == 0;
    }
    int top = 64 * Words - 1;
    while (top >= 0 && !bit(magnitude, top)) top--;
    if (top < 0) return zero_negative ? format.sign_bit() : 0;
    const uint64_t sign = negative ? format.sign_bit() : 0;

    // Position of the last bit that the result keeps: relative to the top bit, or fixed for subnormals.
    const int smallest = 1 - format.bias() - format.mantissa_bits - Unit;
    int last = top - format.mantissa_bits;
    if (last < smallest) last = smallest;
    uint64_t kept = 0;
    for (int i = top; i >= last; i--) kept = kept << 1 | bit(magnitude, i);
    bool half = bit(magnitude, last - 1), rest = false;
    for (int i = last - 2; i >= 0 && half && !rest; i--) rest = bit(magnitude, i);
    kept += half && (rest || (kept & 1));
    // A carry out of the mantissa moves into the exponent by itself.
    const uint64_t code = (static_cast<uint64_t>(last - smallest) << format.mantissa_bits) + kept;
    const uint64_t overflow = format.infinity ? format.infinity_code() : format.first_nan();
    return sign | (code < overflow ? code : overflow);
  }

 private:
  static bool bit(const uint64_t* words, int i) { return i >= 0 && (words[i / 64] >> (i % 64) & 1); }

  void add_shifted(bool negative, uint64_t low, uint64_t high, int exponent) {
    const int shift = exponent - Unit, first = shift / 64, offset = shift % 64;
    uint64_t parts[3] = {low << offset, high << offset, 0};
    if (offset) {
      parts[1] |= low >> (64 - offset);
      parts[2] |= high >> (64 - offset);
    }
    uint64_t carry = negative;
    for (int i = first; i < Words; i++) {
      uint64_t part = i - first < 3 ? parts[i - first] : 0;
      if (negative) part = ~part;
      const uint64_t sum = word_[i] + part;
      const uint64_t total = sum + carry;
      carry = (sum < part) | (total < sum);
      word_[i] = total;
    }
  }

  uint64_t word_[Words] = {};
};

using ExactF32 = Exact<10, -320>;
using ExactF64 = Exact<70, -2240>;

// A finite code in another format, rounded once.
inline uint64_t convert(Format from, uint64_t code, Format to) {
  ExactF64 exact;
  exact.add(decode(from, code));
  return exact.round(to, code & from.sign_bit());
}

// fma(alpha, y - x, x) in format `f` on finite codes. y - x may overflow: false then, and *result is unset.
template <class E>
bool lerp_exact(Format f, uint64_t x, uint64_t y, uint64_t alpha, uint64_t* result) {
  const Parts px = decode(f, x), py = decode(f, y), pa = decode(f, alpha);
  E difference;
  difference.add(py);
  difference.subtract(px);
  // IEEE: an exact zero is -0 only as the sum of two negative zeros.
  const uint64_t d = difference.round(f, py.negative && py.mantissa == 0 && !px.negative && px.mantissa == 0);
  if (!f.is_finite(d)) return false;
  const Parts pd = decode(f, d);
  E sum;
  sum.add_product(pa, pd);
  sum.add(px);
  const bool product_zero = pa.mantissa == 0 || pd.mantissa == 0;
  const bool both_negative_zero =
      product_zero && pa.negative != pd.negative && px.mantissa == 0 && px.negative;
  *result = sum.round(f, both_negative_zero);
  return true;
}

// Codes of every sort: special ones, values near 1 as weights are, and any bits at all.
inline std::vector<uint64_t> sample_codes(Format f, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  const uint64_t magnitude = f.sign_bit() - 1, quiet = 1ull << (f.mantissa_bits - 1);
  const uint64_t smallest_normal = 1ull << f.mantissa_bits;
  const uint64_t specials[] = {0,
                               1,
                               2,
                               quiet,
                               smallest_normal - 1,
                               smallest_normal,
                               smallest_normal + 1,
                               f.infinity_code() - 1,
                               f.infinity_code(),
                               f.infinity_code() | 1,
                               f.infinity_code() | quiet,
                               f.infinity_code() | quiet | 1,
                               f.first_nan() - 1,
                               magnitude,
                               static_cast<uint64_t>(f.bias()) << f.mantissa_bits};
  std::vector<uint64_t> codes(count);
  for (uint64_t& code : codes) {
    const uint64_t sort = random() % 8, sign = random() & 1 ? f.sign_bit() : 0;
    if (sort == 0) {
      code = specials[random() % (sizeof(specials) / sizeof(specials[0]))];
    } else if (sort == 1) {
      code = random() & magnitude;
    } else {
      const uint64_t exponent =
          static_cast<uint64_t>(f.bias()) - random() % (f.bias() > 15 ? 12 : f.bias() / 2);
      code = exponent << f.mantissa_bits | (random() & (smallest_normal - 1));
    }
    code |= sign;
  }
  return codes;
}

// Codes stored as elements of `dtype` at `to`, and one read back.
inline void store_codes(DType dtype, const std::vector<uint64_t>& codes, void* to) {
  const uint32_t size = item_size(dtype);
  for (size_t i = 0; i < codes.size(); i++)
    __builtin_memcpy(static_cast<char*>(to) + i * size, &codes[i], size);
}
inline uint64_t load_code(DType dtype, const void* from, size_t i) {
  uint64_t code = 0;
  __builtin_memcpy(&code, static_cast<const char*>(from) + i * item_size(dtype), item_size(dtype));
  return code;
}

}  // namespace wisemerge::test
