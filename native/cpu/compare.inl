// The comparison kernel: the reduction of compare.h in its own order. A lane of a block is a lane of a
// vector, so the vector width changes nothing; groups of lanes are done one after another, since the
// accumulators of all 32 do not fit the registers.

// f64 accumulators of one block, by lane. Counts need no order and go straight to the block's sums.
struct LaneSums {
  alignas(64) double xx[kCompareLanes] = {}, yy[kCompareLanes] = {}, xy[kCompareLanes] = {},
                     dd[kCompareLanes] = {}, max_abs[kCompareLanes] = {};
};

template <class Scalar>
struct Wide;  // the two f64 vectors of one lane group, and how to read them
template <>
struct Wide<float> {
  static constexpr bool kExactProducts = true;
  WM_FORCE_INLINE static bool load(const float* from, Vd& lo, Vd& hi) {
    Vf v;
    __builtin_memcpy(&v, from, sizeof(v));
    to_doubles(v, lo, hi);
    return any_non_finite(v, v);
  }
};
template <>
struct Wide<double> {
  static constexpr bool kExactProducts = false;
  WM_FORCE_INLINE static bool load(const double* from, Vd& lo, Vd& hi) {
    __builtin_memcpy(&lo, from, sizeof(lo));
    __builtin_memcpy(&hi, from + kLanes / 2, sizeof(hi));
    return any_non_finite(lo, hi);
  }
};

inline double to_double(double value) { return value; }
inline double to_double(float value) { return f32_to_f64(value); }

// One element into its lane. Used where a vector is incomplete or holds a NaN or an infinity.
template <class Scalar>
void compare_scalar(LaneSums& lanes, CompareSums& counts, size_t lane, Scalar x_value, Scalar y_value) {
  CompareSums one;
  one.xx = lanes.xx[lane];
  one.yy = lanes.yy[lane];
  one.xy = lanes.xy[lane];
  one.dd = lanes.dd[lane];
  one.max_abs = lanes.max_abs[lane];
  compare_element<DType::kF64, DType::kF64>(one, bit_cast<uint64_t>(to_double(x_value)),
                                            bit_cast<uint64_t>(to_double(y_value)));
  lanes.xx[lane] = one.xx;
  lanes.yy[lane] = one.yy;
  lanes.xy[lane] = one.xy;
  lanes.dd[lane] = one.dd;
  lanes.max_abs[lane] = one.max_abs;
  counts.x_nan += one.x_nan;
  counts.x_inf += one.x_inf;
  counts.y_nan += one.y_nan;
  counts.y_inf += one.y_inf;
}

struct Accumulators {
  Vd xx, yy, xy, dd, max_abs;

  WM_FORCE_INLINE void load(const LaneSums& lanes, size_t lane) {
    __builtin_memcpy(&xx, lanes.xx + lane, sizeof(Vd));
    __builtin_memcpy(&yy, lanes.yy + lane, sizeof(Vd));
    __builtin_memcpy(&xy, lanes.xy + lane, sizeof(Vd));
    __builtin_memcpy(&dd, lanes.dd + lane, sizeof(Vd));
    __builtin_memcpy(&max_abs, lanes.max_abs + lane, sizeof(Vd));
  }
  WM_FORCE_INLINE void store(LaneSums& lanes, size_t lane) const {
    __builtin_memcpy(lanes.xx + lane, &xx, sizeof(Vd));
    __builtin_memcpy(lanes.yy + lane, &yy, sizeof(Vd));
    __builtin_memcpy(lanes.xy + lane, &xy, sizeof(Vd));
    __builtin_memcpy(lanes.dd + lane, &dd, sizeof(Vd));
    __builtin_memcpy(lanes.max_abs + lane, &max_abs, sizeof(Vd));
  }
  template <bool ExactProducts>
  WM_FORCE_INLINE void add(Vd x, Vd y) {
    const Vd d = y - x;
    if constexpr (ExactProducts) {
      xx = fma_exact_product(x, x, xx);
      yy = fma_exact_product(y, y, yy);
      xy = fma_exact_product(x, y, xy);
    } else {
      xx = fma(x, x, xx);
      yy = fma(y, y, yy);
      xy = fma(x, y, xy);
    }
    dd = fma(d, d, dd);
    max_abs = max_magnitude(max_abs, d);
  }
};

// The storage of the block after this one, whose lines are fetched while this one is in the arithmetic: bytes
// of kCompareLanes elements of each side.
struct NextBlock {
  uintptr_t x, y;
  size_t x_row, y_row;
};

// Sums of `count` <= kCompareBlock values in f32 or f64, without `unchanged`.
template <class Scalar>
CompareSums compare_block(const Scalar* x, const Scalar* y, size_t count, NextBlock next) {
  CompareSums block;
  LaneSums lanes;
  const size_t whole = count / kCompareLanes * kCompareLanes;
  for (size_t lane = 0; lane < kCompareLanes; lane += kLanes) {
    Accumulators lo = {}, hi = {};
    for (size_t i = lane; i < whole; i += kCompareLanes) {
      Vd x_lo, x_hi, y_lo, y_hi;
      if (lane == 0) {
        prefetch(next.x + i / kCompareLanes * next.x_row, next.x_row);
        prefetch(next.y + i / kCompareLanes * next.y_row, next.y_row);
      }
      const bool x_special = Wide<Scalar>::load(x + i, x_lo, x_hi);
      const bool y_special = Wide<Scalar>::load(y + i, y_lo, y_hi);
      if (WM_UNLIKELY(x_special | y_special)) {
        lo.store(lanes, lane);
        hi.store(lanes, lane + kLanes / 2);
        for (size_t j = 0; j < kLanes; j++) compare_scalar(lanes, block, lane + j, x[i + j], y[i + j]);
        lo.load(lanes, lane);
        hi.load(lanes, lane + kLanes / 2);
        continue;
      }
      lo.add<Wide<Scalar>::kExactProducts>(x_lo, y_lo);
      hi.add<Wide<Scalar>::kExactProducts>(x_hi, y_hi);
    }
    lo.store(lanes, lane);
    hi.store(lanes, lane + kLanes / 2);
  }
  for (size_t i = whole; i < count; i++) compare_scalar(lanes, block, i - whole, x[i], y[i]);

  for (size_t s = kCompareLanes / 2; s > 0; s /= 2) {
    for (size_t i = 0; i < s; i++) {
      lanes.xx[i] += lanes.xx[i + s];
      lanes.yy[i] += lanes.yy[i + s];
      lanes.xy[i] += lanes.xy[i + s];
      lanes.dd[i] += lanes.dd[i + s];
      lanes.max_abs[i] = lanes.max_abs[i + s] > lanes.max_abs[i] ? lanes.max_abs[i + s] : lanes.max_abs[i];
    }
  }
  block.xx = lanes.xx[0];
  block.yy = lanes.yy[0];
  block.xy = lanes.xy[0];
  block.dd = lanes.dd[0];
  block.max_abs = lanes.max_abs[0];
  return block;
}

// Equal codes among at most kCompareBlock, which a counter as narrow as the 16-bit codes can hold.
template <class Bits>
uint64_t count_equal(const void* x_bits, const void* y_bits, size_t count) {
  using Counter = std::conditional_t<sizeof(Bits) == 1, uint16_t, Bits>;
  const Bits* x = static_cast<const Bits*>(x_bits);
  const Bits* y = static_cast<const Bits*>(y_bits);
  Counter equal = 0;
  for (size_t i = 0; i < count; i++) equal = static_cast<Counter>(equal + (x[i] == y[i]));
  return equal;
}
inline uint64_t count_equal(uint32_t item_size, const void* x, const void* y, size_t count) {
  switch (item_size) {
    case 1:
      return count_equal<uint8_t>(x, y, count);
    case 2:
      return count_equal<uint16_t>(x, y, count);
    case 4:
      return count_equal<uint32_t>(x, y, count);
    default:
      return count_equal<uint64_t>(x, y, count);
  }
}

template <class Scalar>
CompareSums compare_block(DType x_dtype, const char* x, DType y_dtype, const char* y, size_t count) {
  constexpr DType kSame = sizeof(Scalar) == 4 ? DType::kF32 : DType::kF64;
  alignas(64) Scalar a[kCompareBlock], b[kCompareBlock];
  const Scalar* wide_x = reinterpret_cast<const Scalar*>(x);
  const Scalar* wide_y = reinterpret_cast<const Scalar*>(y);
  if (x_dtype != kSame) widen(x_dtype, x, a, count), wide_x = a;
  if (y_dtype != kSame) widen(y_dtype, y, b, count), wide_y = b;
  const size_t x_row = kCompareLanes * item_size(x_dtype), y_row = kCompareLanes * item_size(y_dtype);
  const NextBlock next = {reinterpret_cast<uintptr_t>(x) + count * item_size(x_dtype),
                          reinterpret_cast<uintptr_t>(y) + count * item_size(y_dtype), x_row, y_row};
  CompareSums sums = compare_block(wide_x, wide_y, count, next);
  if (x_dtype == y_dtype) {
    sums.unchanged = count_equal(item_size(x_dtype), x, y, count);
  } else if (sums.x_nan == 0) {
    sums.unchanged = count_equal(sizeof(Scalar), wide_x, wide_y, count);
  } else {
    // As f64 a signalling NaN equals its quiet twin.
    for (size_t i = 0; i < count; i++) {
      sums.unchanged += bit_cast<uint64_t>(to_double(wide_x[i])) == bit_cast<uint64_t>(to_double(wide_y[i]));
    }
  }
  return sums;
}

inline void compare(const WmCompare& item, size_t span) {
  const auto x_dtype = static_cast<DType>(item.x_dtype), y_dtype = static_cast<DType>(item.y_dtype);
  const size_t begin = span * kCompareSpan;
  const size_t end = item.count - begin < kCompareSpan ? item.count : begin + kCompareSpan;
  CompareSums sums;
  for (size_t at = begin; at < end; at += kCompareBlock) {
    const size_t n = end - at < kCompareBlock ? end - at : kCompareBlock;
    const char* x = static_cast<const char*>(item.x) + at * item_size(x_dtype);
    const char* y = static_cast<const char*>(item.y) + at * item_size(y_dtype);
    const bool f64 = x_dtype == DType::kF64 || y_dtype == DType::kF64;
    compare_add(sums, f64 ? compare_block<double>(x_dtype, x, y_dtype, y, n)
                          : compare_block<float>(x_dtype, x, y_dtype, y, n));
  }
  static_cast<CompareSums*>(item.sums)[span] = sums;
}
