// convert.h against the oracle: every code of the small formats, and f32 and f64 values around every rounding
// boundary of every exponent.
#include "wisemerge/convert.h"

#include <cmath>
#include <random>

#include "check.h"
#include "oracle.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

// Widening and narrowing back of every code of dtype D.
template <DType D>
void check_all_codes() {
  using E = Element<D>;
  const Format f = format_of(D);
  for (uint64_t code = 0; code < 1ull << f.bits(); code++) {
    const auto bits = static_cast<typename E::Bits>(code);
    const uint32_t wide = bit_cast<uint32_t>(E::load32(bits));
    CHECK_EQ(E::non_finite(bits), !f.is_finite(code));
    if (f.is_nan(code)) {
      CHECK(kFormatF32.is_nan(wide));
      CHECK_EQ(wide >> 31, code >> (f.bits() - 1));
      CHECK(E::load64(bits) != E::load64(bits));
      CHECK(f.is_nan(E::store32(bit_cast<float>(wide))));
    } else if (f.is_infinite(code)) {
      CHECK_EQ(wide, static_cast<uint32_t>((code & f.sign_bit() ? 0x80000000u : 0u) | 0x7f800000u));
    } else {
      CHECK_EQ(wide, convert(f, code, kFormatF32));
      CHECK_EQ(bit_cast<uint64_t>(E::load64(bits)), convert(f, code, kFormatF64));
    }
    // F16 becomes quiet on the way, as F16C makes it.
    const bool signalling = D == DType::kF16 && f.is_nan(code) && !(code & 0x200);
    CHECK_EQ(uint64_t{E::store32(E::load32(bits))}, signalling ? code | 0x200 : code);
    if (!f.is_nan(code)) CHECK_EQ(uint64_t{E::store64(E::load64(bits))}, code);
  }
}

// f32 values next to each code boundary: every exponent, with the upper mantissa bits in all combinations
// that decide a rounding and the lower ones just below, at and above a tie.
template <class Fn>
void for_each_f32(Fn fn) {
  std::mt19937 random(7);
  for (uint32_t top = 0; top < 1u << 9; top++) {  // sign and exponent
    for (uint32_t i = 0; i < 400; i++) {
      uint32_t mantissa = random() & 0x7fffffu;
      const uint32_t kept = 1 + i % 12;  // keep a few bits, then a tie, its neighbours, or ones
      const uint32_t half = 1u << (22 - kept);
      mantissa &= ~(2 * half - 1);
      const uint32_t tails[] = {0, 1, half - 1, half, half + 1, 2 * half - 1, half / 2};
      fn(top << 23 | mantissa | tails[random() % 7]);
    }
    fn(top << 23 | (random() & 0x7fffffu));
  }
}

template <DType D>
void check_narrowing() {
  const Format f = format_of(D);
  for_each_f32([&](uint32_t bits) {
    const uint64_t code = Element<D>::store32(bit_cast<float>(bits));
    if (kFormatF32.is_nan(bits)) {
      CHECK(f.is_nan(code));
      CHECK_EQ(code >> (f.bits() - 1), uint64_t{bits >> 31});
    } else if (kFormatF32.is_infinite(bits)) {
      CHECK_EQ(code & (f.sign_bit() - 1), f.infinity ? f.infinity_code() : f.first_nan());
      CHECK_EQ(code >> (f.bits() - 1), uint64_t{bits >> 31});
    } else {
      CHECK_EQ(code, convert(kFormatF32, bits, f));
    }
  });
}

// A code of D, halfway to the next one, displaced by less than f32 can see: rounding by way of f32 would lose
// the displacement and break the tie wrongly.
template <DType D>
void check_single_rounding() {
  const Format f = format_of(D);
  std::mt19937_64 random(11);
  for (int i = 0; i < 20000; i++) {
    const uint64_t code = random() % (f.infinity ? f.infinity_code() : f.first_nan());
    const Parts p = decode(f, code);
    const double half = std::ldexp(static_cast<double>(2 * p.mantissa + 1), p.exponent - 1);
    const double values[] = {half, std::nextafter(half, 0.0), std::nextafter(half, INFINITY),
                             half * (1 + 0x1p-40), half * (1 - 0x1p-30)};
    for (double value : values) {
      if (random() & 1) value = -value;
      CHECK_EQ(uint64_t{Element<D>::store64(value)}, convert(kFormatF64, bit_cast<uint64_t>(value), f));
    }
  }
}

template <DType D>
void check_any_f64() {
  const Format f = format_of(D);
  for (uint64_t bits : sample_codes(kFormatF64, 20000, 3)) {
    const uint64_t code = Element<D>::store64(bit_cast<double>(bits));
    if (kFormatF64.is_finite(bits)) {
      CHECK_EQ(code, convert(kFormatF64, bits, f));
    } else if (kFormatF64.is_nan(bits)) {
      CHECK(f.is_nan(code));
    } else {
      CHECK_EQ(code & (f.sign_bit() - 1), f.infinity ? f.infinity_code() : f.first_nan());
    }
  }
}

}  // namespace

TEST("convert: every code widens exactly and comes back") {
  check_all_codes<DType::kF8E4M3>();
  check_all_codes<DType::kF8E5M2>();
  check_all_codes<DType::kF16>();
  check_all_codes<DType::kBF16>();
}

TEST("convert: f32 narrows to nearest even") {
  check_narrowing<DType::kF8E4M3>();
  check_narrowing<DType::kF8E5M2>();
  check_narrowing<DType::kF16>();
  check_narrowing<DType::kBF16>();
}

TEST("convert: f64 narrows with one rounding") {
  check_single_rounding<DType::kF8E4M3>();
  check_single_rounding<DType::kF8E5M2>();
  check_single_rounding<DType::kF16>();
  check_single_rounding<DType::kBF16>();
  check_single_rounding<DType::kF32>();
}

TEST("convert: f64 of every sort narrows to nearest even") {
  check_any_f64<DType::kF8E4M3>();
  check_any_f64<DType::kF8E5M2>();
  check_any_f64<DType::kF16>();
  check_any_f64<DType::kBF16>();
  check_any_f64<DType::kF32>();
}

TEST("convert: NaN keeps its sign and upper payload, and never becomes an infinity") {
  CHECK_EQ(f32_to_bf16(bit_cast<float>(0x7fa10000u)), 0x7fa1);
  CHECK_EQ(f32_to_bf16(bit_cast<float>(0x7f800001u)), 0x7fc0);
  CHECK_EQ(f32_to_bf16(bit_cast<float>(0xffffffffu)), 0xffff);
  CHECK_EQ(f32_to_f16(bit_cast<float>(0x7f800001u)), 0x7e00);
  CHECK_EQ(f32_to_f16(bit_cast<float>(0xffc02000u)), 0xfe01);
  CHECK_EQ(int{f32_to_f8e5m2(bit_cast<float>(0x7f800001u))}, 0x7e);
  CHECK_EQ(int{f32_to_f8e5m2(bit_cast<float>(0xffa00000u))}, 0xfd);
  CHECK_EQ(int{f32_to_f8e4m3(bit_cast<float>(0xff800001u))}, 0xff);
  CHECK_EQ(bit_cast<uint64_t>(f32_to_f64(bit_cast<float>(0x7f800001u))), 0x7ff8000020000000ull);
  CHECK_EQ(bit_cast<uint32_t>(f64_to_f32(bit_cast<double>(0xfff0000000000001ull))), 0xffc00000u);
}

// GCC 12 has the type in C++ on x86-64 only.
#if defined(__FLT16_MAX__) && (defined(__x86_64__) || defined(__clang__) || __GNUC__ >= 13)
TEST("convert: F16 agrees with the compiler's own type") {
  for (uint32_t code = 0; code < 1u << 16; code++) {
    const auto value = bit_cast<_Float16>(static_cast<uint16_t>(code));
    const float wide = f16_to_f32(static_cast<uint16_t>(code));
    if (wide == wide) CHECK_EQ(bit_cast<uint32_t>(wide), bit_cast<uint32_t>(static_cast<float>(value)));
  }
  for_each_f32([](uint32_t bits) {
    const float value = bit_cast<float>(bits);
    if (value == value) CHECK_EQ(f32_to_f16(value), bit_cast<uint16_t>(static_cast<_Float16>(value)));
  });
}
#endif
