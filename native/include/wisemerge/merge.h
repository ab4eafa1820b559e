// Merging of N tensors of one shape, element by element: the specification that SIMD and CUDA kernels equal
// bit for bit. d_i = x_i - base is model i's delta (task vector; Ilharco et al., 2023); without a base it is
// x_i.
//
// Arithmetic is in f64 where any input or the base is F64, else in f32 (`Scalar` below); coefficients are
// given in f64 and rounded to Scalar once. One rounding to the output dtype, to nearest even, at the end.
// Models are taken in the order in which they are given.
//
// Reductions have a fixed order, so that a result depends on neither threads, chunks, SIMD width nor device:
// - along a tensor or a row: element e of the span or row belongs to lane e % kMergeLanes; lanes add up their
//   elements in ascending order in f64 (products with fma) and fold as a halving tree, lane[i] += lane[i + s]
//   for s = 8, 4, 2, 1. Spans of kMergeSpan elements, counted from the tensor's first, add up in ascending
//   order (in the caller, which receives the sums of each);
// - down the columns: one chain of f64 fma per column, in ascending order of the rows.
// A sum that meets a NaN is one, whose payload no device promises.
#pragma once

#include <cmath>

#include "wisemerge/backend.h"
#include "wisemerge/convert.h"
#include "wisemerge/philox.h"
#include "wisemerge/softmax.h"

namespace wisemerge {

inline constexpr uint32_t kMergeLanes = 16;
inline constexpr uint32_t kMergeSpan = 1u << 16;

// Columns of WmMergeSums::sums, per model.
inline constexpr uint32_t kMergeSumKept = 0;           // elements kept
inline constexpr uint32_t kMergeSumMagnitude = 1;      // sum |d|
inline constexpr uint32_t kMergeSumKeptMagnitude = 2;  // sum |d| over those kept
inline constexpr uint32_t kMergeSumKeptSquare = 3;     // sum d^2 over those kept
inline constexpr uint32_t kMergeSumColumns = 4;

// Equal values give 0, infinities included, so that what fine-tuning did not touch stays as it is.
template <class Scalar>
WM_HD Scalar merge_delta(Scalar x, Scalar base) {
  return x == base ? Scalar(0) : x - base;
}

template <class Scalar>
WM_HD Scalar merge_fma(Scalar a, Scalar b, Scalar c) {
  if constexpr (sizeof(Scalar) == 4) {
    return fmaf(a, b, c);
  } else {
    return fma(a, b, c);
  }
}

// A score's place in the order of magnitudes: the bits without the sign. Every NaN ranks alike, above
// infinity: devices differ in the payload of one that arithmetic made.
WM_HD uint64_t merge_key(float score) {
  const uint32_t key = bit_cast<uint32_t>(score) & 0x7fffffffu;
  return key > 0x7f800000u ? 0x7fc00000u : key;
}
WM_HD uint64_t merge_key(double score) {
  const uint64_t key = bit_cast<uint64_t>(score) & 0x7fffffffffffffffull;
  return key > 0x7ff0000000000000ull ? 0x7ff8000000000000ull : key;
}

// WM_SCORE_ROW_SCALED: the row's score is a coefficient, rounded to Scalar; the product too.
template <class Scalar>
WM_HD Scalar merge_row_scaled(Scalar delta, double row_score) {
  return (delta < 0 ? -delta : delta) * static_cast<Scalar>(row_score);
}

// The population variance of the models' deltas at one element; `delta(i)` for i < models.
template <class Scalar, class Delta>
WM_HD Scalar merge_variance(uint32_t models, const Delta& delta) {
  Scalar sum = 0;
  for (uint32_t i = 0; i < models; i++) sum += delta(i);
  const Scalar mean = sum / static_cast<Scalar>(models);
  Scalar squares = 0;
  for (uint32_t i = 0; i < models; i++) {
    const Scalar away = delta(i) - mean;
    squares = merge_fma(away, away, squares);
  }
  return squares / static_cast<Scalar>(models);
}

// WM_KEEP_RANKED: whether an element of this key and index lies between the two ends.
WM_HD bool merge_keep_ranked(const WmKeep& keep, uint64_t key, uint64_t index) {
  const bool above =
      key > keep.low_key || (key == keep.low_key && index >= keep.low_from && index < keep.low_to);
  return above && (key < keep.high_key || (key == keep.high_key && index < keep.high_to));
}

// WM_KEEP_RANDOM.
WM_HD bool merge_keep_random(const WmKeep& keep, uint64_t index) {
  return philox_bits(index, keep.stream, keep.key) < philox_threshold(keep.probability);
}

// The probability with which MagPrune keeps the element of ascending rank `rank` (from 0) among `length` of a
// row (Deep, Bhardwaj and Poria, 2024, section 3.1).
WM_HD double merge_rank_probability(double density, double epsilon, uint64_t rank, uint64_t length) {
  if (length < 2) return density;
  return density - epsilon + 2 * epsilon * (static_cast<double>(rank) / static_cast<double>(length - 1));
}

// e^x for x <= 0 within 4 units in the last place, e^-708 for all x below -708, from IEEE operations alone.
// e^x = 2^n e^r with n = round(x / ln 2), ln 2 in two parts of which the first times any n is exact, and the
// Taylor series of e^r, whose first term left out is below 2^-57.
WM_HD double merge_exp(double x) {
  constexpr double kMagic = 0x1.8p52;  // adding it rounds to a whole number
  const double inside = x > -708.0 ? x : -708.0;
  const double shifted = inside * 0x1.71547652b82fep+0 + kMagic;
  const double n = shifted - kMagic;
  const double r = (inside - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  double p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return bit_cast<double>(bit_cast<uint64_t>(p) +
                          ((bit_cast<uint64_t>(shifted) - bit_cast<uint64_t>(kMagic)) << 52));
}

// One term of WmMergeDivergence, fma(p, ln(p / q), sum), from the softmax's numerators and sums. Maxima are
// exact; sums of merge_exp(x - max) and of the terms are those of a row. A row that holds anything not finite
// gives NaN.
WM_HD double merge_divergence_term(double p_exp, double p_sum, double q_exp, double q_sum, double sum) {
  const double p = p_exp / p_sum + 1e-8, q = q_exp / q_sum + 1e-8;
  return fma(p, log_positive(p / q), sum);
}

// WM_MERGE_SUM: sum of w_i x_i.
template <class Scalar, class Value, class Weight>
WM_HD Scalar merge_sum(uint32_t models, const Value& x, const Weight& weight) {
  Scalar sum = weight(0) * x(0);
  for (uint32_t i = 1; i < models; i++) sum = merge_fma<Scalar>(weight(i), x(i), sum);
  return sum;
}

// One step of WM_MERGE_DELTA_SUM: base + sum of w_i d_i over what is kept. A delta of 0 leaves even the sign
// of a zero alone.
template <class Scalar>
WM_HD Scalar merge_add(Scalar sum, Scalar weight, Scalar delta, bool keep) {
  return !keep || delta == 0 ? sum : merge_fma(weight, delta, sum);
}

// What is added to the base by WM_MERGE_CONSENSUS (TIES: Yadav et al., 2023, section 3): D_i = factor_i d_i
// where kept, else 0; the elected sign is that of their sum, + for 0; those of that sign add up, divided by
// their weights' sum if `normalize` (by 1 where that is 0), times lambda.
template <class Scalar, class Value, class Weight>
WM_HD Scalar merge_consensus(uint32_t models, const Value& scaled, const Weight& weight, bool normalize,
                             Scalar lambda) {
  Scalar sum = 0;
  for (uint32_t i = 0; i < models; i++) sum += scaled(i);
  const bool positive = !(sum < 0);
  Scalar mixed = 0, divisor = 0;
  for (uint32_t i = 0; i < models; i++) {
    const Scalar value = scaled(i);
    const bool agrees = positive ? value > 0 : value < 0;
    mixed += agrees ? value : Scalar(0);
    divisor += agrees ? static_cast<Scalar>(weight(i)) : Scalar(0);
  }
  if (sum != sum) return sum;
  if (normalize && divisor != 0) mixed /= divisor;
  return mixed * lambda;
}

// What is added to the base by WM_MERGE_ELECTED (SCE: Wan et al., 2024, section 3.2): the sign is elected by
// the sum of the kept deltas themselves; those of that sign add up with their weights, over the weights' sum,
// at least `floor`.
template <class Scalar, class Value, class Weight>
WM_HD Scalar merge_elected(uint32_t models, const Value& kept, const Weight& weight, Scalar floor) {
  Scalar sum = 0;
  for (uint32_t i = 0; i < models; i++) sum += kept(i);
  const bool positive = !(sum < 0);
  Scalar mixed = 0, divisor = 0;
  for (uint32_t i = 0; i < models; i++) {
    const Scalar value = kept(i);
    const bool agrees = positive ? value > 0 : value < 0;
    mixed = agrees ? merge_fma<Scalar>(weight(i), value, mixed) : mixed;
    divisor += agrees ? static_cast<Scalar>(weight(i)) : Scalar(0);
  }
  if (sum != sum) return sum;
  return mixed / (divisor > floor ? divisor : floor);
}

// What is added to the base by WM_MERGE_OVERLAP (RAM: 2601.13572): a delta beyond epsilon counts fully, times
// its model's factor, where no other model has one, and as part of their mean where others have.
template <class Scalar, class Value, class Factor>
WM_HD Scalar merge_overlap(uint32_t models, const Value& delta, const Factor& factor, Scalar epsilon) {
  Scalar sum = 0, alone = 0, invalid = 0;
  uint32_t count = 0;
  for (uint32_t i = 0; i < models; i++) {
    const Scalar value = delta(i);
    invalid = value != value ? value : invalid;
    const bool counts = (value < 0 ? -value : value) > epsilon;
    count += counts;
    sum += counts ? value : Scalar(0);
    alone = counts ? static_cast<Scalar>(factor(i)) * value : alone;
  }
  if (invalid != invalid) return invalid;
  if (count == 0) return 0;
  return count == 1 ? alone : sum / static_cast<Scalar>(count);
}

// WM_MERGE_NEARSWAP: x moves towards the other model where the two are within t of each other.
template <class Scalar>
WM_HD Scalar merge_nearswap(Scalar base, Scalar other, Scalar t) {
  if (base == other) return base;
  const Scalar away = base < other ? other - base : base - other;
  const Scalar share = t / (away > Scalar(1e-6) ? away : Scalar(1e-6));
  const Scalar weight = share < 0 ? Scalar(0) : share > 1 ? Scalar(1) : share;
  return merge_fma(weight, other, (Scalar(1) - weight) * base);
}

// A value as `dtype` holds it: for arithmetic that rounds after every step.
template <class Scalar>
WM_HD Scalar merge_round(DType dtype, Scalar value) {
  switch (dtype) {
#define WM_ROUND(d)                                                        \
  case DType::d:                                                           \
    if constexpr (sizeof(Scalar) == 4) {                                   \
      return Element<DType::d>::load32(Element<DType::d>::store32(value)); \
    } else {                                                               \
      return Element<DType::d>::load64(Element<DType::d>::store64(value)); \
    }
    WM_ROUND(kF32)
    WM_ROUND(kF16)
    WM_ROUND(kBF16)
#undef WM_ROUND
    default:
      return value;
  }
}

// WM_MERGE_ROUNDED_SUM and WM_MERGE_ROUNDED_DELTA_SUM: the arithmetic of programs that compute in the dtype
// of the tensors, R rounding to it. x_i and the base are rounded first; d_i = R(x_i - base), or x_i without a
// base; p_i = R(w_i d_i); their sum runs in f32 (f64 where the dtype is F64) and is rounded once, then
// R(sum / divisor), R(. lambda), and R(base + .). Weights, divisor and lambda come rounded as they should be.
template <class Scalar, class Value, class Weight>
WM_HD Scalar merge_rounded(uint32_t models, bool deltas, Scalar base, const Value& x, const Weight& weight,
                           Scalar divisor, Scalar lambda, DType dtype) {
  const DType sums = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const Scalar from = merge_round(dtype, base);
  Scalar sum = 0;
  for (uint32_t i = 0; i < models; i++) {
    const Scalar value = merge_round<Scalar>(dtype, x(i));
    const Scalar delta = deltas ? merge_round(dtype, value - from) : value;
    const Scalar part = merge_round(dtype, static_cast<Scalar>(weight(i)) * delta);
    sum = i == 0 ? part : merge_round(sums, sum + part);
  }
  sum = merge_round(dtype, sum);
  sum = merge_round(dtype, sum / divisor);
  sum = merge_round(dtype, sum * lambda);
  return deltas ? merge_round(dtype, from + sum) : sum;
}

// Adding nothing keeps the base's bits.
template <class Scalar>
WM_HD Scalar merge_add_to(Scalar base, Scalar mixed) {
  return mixed == 0 ? base : base + mixed;
}

// WM_MERGE_FISHER: the mean of the models weighted by w_i F_i, F_i at least `floor` (Matena and Raffel, 2022,
// section 3), from the first model on, so that what all agree on stays. F_i is input models + i.
template <class Scalar, class Value, class Fisher, class Weight>
WM_HD Scalar merge_fisher(uint32_t models, const Value& x, const Fisher& fisher, const Weight& weight,
                          Scalar floor) {
  const Scalar first = x(0);
  Scalar mixed = 0, total = 0;
  for (uint32_t i = 0; i < models; i++) {
    const Scalar given = fisher(i);
    const Scalar f = static_cast<Scalar>(weight(i)) * (given < floor ? floor : given);
    mixed = merge_fma(f, merge_delta(static_cast<Scalar>(x(i)), first), mixed);
    total += f;
  }
  return merge_add_to(first, mixed / total);
}

// WM_MERGE_TAKE: not base + delta, which is not always x.
template <class Scalar>
WM_HD Scalar merge_take(Scalar base, Scalar x, bool keep) {
  return keep ? x : base;
}

// The last step of every operation: a NaN has the same bits on every device.
template <class Scalar>
WM_HD Scalar merge_canonical(Scalar value) {
  if (value == value) return value;
  if constexpr (sizeof(Scalar) == 4) {
    return bit_cast<float>(0x7fc00000u);
  } else {
    return bit_cast<double>(0x7ff8000000000000ull);
  }
}

}  // namespace wisemerge
