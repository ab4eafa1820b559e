#include "cpu/head_screen.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "wisemerge/dtype.h"

namespace wisemerge::cpu {
namespace {

// Features widened at a time; a multiple of every step, so that no padding falls between.
constexpr size_t kPackDepth = 64;
// Words of a block's samples: they stay in the L2 cache beside a panel.
constexpr size_t kBlockBytes = 256u << 10;
constexpr size_t kMaxTiles = 8;
// With fewer classes the exact logits of labels and candidates cost more than screening saves.
constexpr size_t kMinClasses = 32;
// An exact logit costs about 32 screened ones. Past this share of the classes, besides some per sample, two
// plain products cost less.
constexpr size_t kExactShare = 64, kExactSome = 4;

size_t ceil_div(size_t a, size_t b) { return (a + b - 1) / b; }

// An upper bound in f32; infinite where sums of such products could overflow.
float up(double v) {
  return v < 0x1p60 ? static_cast<float>(v * (1 + 0x1p-7)) + 0x1p-126f
                    : std::numeric_limits<float>::infinity();
}

float magnitude_of(const float* bias, size_t j) { return bias ? std::fabs(bias[j]) : 0; }

template <class T>
T* take(float*& at, size_t count) {
  T* const taken = reinterpret_cast<T*>(at);
  at += ceil_div(count * sizeof(T), 64) * 16;
  return taken;
}
template <class T>
size_t floats(size_t count) {
  return ceil_div(count * sizeof(T), 64) * 16;
}

}  // namespace

// Rows widened to f32, where they are not that already.
struct Screening::Lines {
  float *x[2], *w[4];
};

bool Screening::suits(const WmCurve& call) {
  return call.classes >= kMinClasses && call.dimension > 0 && call.dimension <= kScreenDepth;
}

Screening::Screening(WmContext& context, const ScreenKernels& screen, const WmCurve& call,
                     WmCancelFlag cancelled)
    : kernels_(*context.kernels),
      screen_(screen),
      call_(call),
      pairs_(ceil_div(call.dimension, 2 * screen.step) * screen.step),
      panels_(ceil_div(call.classes, kScreenColumns)),
      // Twice what head_path allows: a margin screened out here is one that head_path would pass over.
      allowance_(2 * margin_allowance(call.from, call.to)),
      reach_(std::max(std::fabs(1 - call.from) + std::fabs(call.from),
                      std::fabs(1 - call.to) + std::fabs(call.to))),
      chain_(3.1 * static_cast<double>(call.dimension + 8) * 0x1p-24) {
  const size_t whole_tiles = ceil_div(call.rows, screen_.rows);
  const size_t wanted = 4 * static_cast<size_t>(context.pool.size());
  const size_t fitting = kBlockBytes / (pairs_ * screen_.rows * sizeof(uint32_t));
  tiles_ = std::clamp<size_t>(std::min(fitting, ceil_div(whole_tiles, wanted)), 1, kMaxTiles);

  const size_t classes = panels_ * kScreenColumns;
  float* at = context.packed.reserve(5 * floats<float>(classes) + 2 * floats<uint32_t>(classes * pairs_));
  for (float** array : {&start0_, &start1_, &norm_, &norm_error_, &constant_}) {
    *array = take<float>(at, classes);
  }
  for (uint32_t** array : {&w0_, &w1_}) *array = take<uint32_t>(at, classes * pairs_);
  context.pool.parallel_for(panels_, 1, [&](size_t begin, size_t end) {
    for (size_t p = begin; p < end && !raised(cancelled); p++) pack_classes(p);
  });
}

void Screening::pack_classes(size_t panel) {
  const size_t first = panel * kScreenColumns;
  const size_t present = std::min<size_t>(kScreenColumns, call_.classes - first);
  double sums[2][3 * kScreenColumns] = {};
  for (const int end : {0, 1}) {
    uint32_t* const words = (end ? w1_ : w0_) + first * pairs_;
    for (size_t l = 0; l < call_.dimension; l += kPackDepth) {
      const size_t depth = std::min<size_t>(kPackDepth, call_.dimension - l);
      alignas(64) float wide[kPackDepth * kScreenColumns];
      kernels_.matmul_pack(end ? call_.w1 : call_.w0, nullptr, 0, first, present, l, depth, kScreenColumns,
                           wide);
      screen_.narrow_classes(wide, depth, words + l / 2 * kScreenColumns, sums[end]);
    }
  }
  for (size_t j = 0; j < kScreenColumns; j++) {
    const size_t c = first + j;
    const bool here = j < present;
    start0_[c] = here && call_.bias0 ? call_.bias0[c] : 0;
    start1_[c] = here && call_.bias1 ? call_.bias1[c] : 0;
    const auto larger = [&](size_t column) {
      const double a = sums[0][column * kScreenColumns + j], b = sums[1][column * kScreenColumns + j];
      return a >= b ? std::sqrt(a) : b >= a ? std::sqrt(b) : a + b;  // the last: a NaN
    };
    norm_[c] = up(larger(0));
    norm_error_[c] = up(larger(2));
    const float b0 = magnitude_of(start0_, c), b1 = magnitude_of(start1_, c);
    const bool moderate = b0 < 0x1p120f && b1 < 0x1p120f;
    // The last term: results of the bf16 instruction that became 0, and what f32 loses below 2^-126.
    const double lost = static_cast<double>(3 * call_.dimension + 16) * 0x1p-126;
    constant_[c] = moderate ? static_cast<float>(reach_ * (1 + 0x1p-7) *
                                                 (chain_ * static_cast<double>(std::max(b0, b1)) + lost))
                            : std::numeric_limits<float>::infinity();
  }
}

void Screening::pack_samples(size_t first, size_t rows, uint32_t* words, ScreenTile& tile) const {
  double sums[3 * kMaxScreenRows] = {};
  for (size_t l = 0; l < call_.dimension; l += kPackDepth) {
    const size_t depth = std::min<size_t>(kPackDepth, call_.dimension - l);
    alignas(64) float wide[kPackDepth * kMaxScreenRows];
    kernels_.matmul_pack(call_.features, nullptr, 0, first, rows, l, depth, screen_.rows, wide);
    screen_.narrow_samples(wide, depth, words + l / 2 * screen_.rows, sums);
  }
  for (size_t i = 0; i < rows; i++) {
    const double given = std::sqrt(sums[i]), kept = std::sqrt(sums[screen_.rows + i]),
                 lost = std::sqrt(sums[2 * screen_.rows + i]);
    // A norm of which not even the share k is used must still be moderate.
    tile.by_norm[i] = given < 0x1p60 ? up(reach_ * (lost + chain_ * given)) : up(given);
    tile.by_error[i] = up(reach_ * kept);
    tile.interval[i] = {call_.from, call_.to, 0};
    tile.lo[i] = static_cast<float>(call_.from);
    tile.hi[i] = static_cast<float>(call_.to);
    tile.label[i] = call_.labels[first + i];
    tile.lost[i] = 0;
    tile.count[i] = 0;
  }
}

const float* Screening::line(const WmMatrix& matrix, size_t row, float* buffer) const {
  if (static_cast<DType>(matrix.dtype) == DType::kF32 && matrix.column_stride == 1) {
    return static_cast<const float*>(matrix.data) + row * matrix.row_stride;
  }
  kernels_.matmul_pack(matrix, nullptr, 0, row, 1, 0, call_.dimension, 1, buffer);
  return buffer;
}

void Screening::label_logits(size_t first, size_t rows, Lines& lines, ScreenTile& tile) const {
  for (size_t i = 0; i < rows; i += 2) {
    const size_t other = std::min(i + 1, rows - 1);
    const size_t samples[2] = {i, other};
    const float *x[2], *w[4];
    float z[4];
    for (size_t n = 0; n < 2; n++) {
      const auto c = static_cast<size_t>(tile.label[samples[n]]);
      x[n] = line(call_.features, first + samples[n], lines.x[n]);
      w[2 * n] = line(call_.w0, c, lines.w[2 * n]);
      w[2 * n + 1] = line(call_.w1, c, lines.w[2 * n + 1]);
      z[2 * n] = start0_[c];
      z[2 * n + 1] = start1_[c];
    }
    screen_.chains(x[0], x[1], w, call_.dimension, z);
    tile.own0[i] = z[0], tile.own1[i] = z[1];
    tile.own0[other] = z[2], tile.own1[other] = z[3];
  }
}

// Decides the candidates of one sample: those that come lowest against the label at either end of the
// interval exactly, and then by the interval that they leave most of the others without. Gives how many were
// exact.
size_t Screening::settle(size_t sample, size_t i, Lines& lines, ScreenTile& tile) const {
  Interval& interval = tile.interval[i];
  int32_t* const classes = tile.candidate[i];
  float *const z0 = tile.z0[i], *const z1 = tile.z1[i];
  const double own0 = tile.own0[i], own1 = tile.own1[i];
  size_t count = tile.count[i], exact = 0;
  const float* x = nullptr;
  while (count > 0 && !interval.empty()) {
    size_t kept = 0, at_lo = 0, at_hi = 0;
    double lowest_lo = std::numeric_limits<double>::infinity(), lowest_hi = lowest_lo;
    for (size_t n = 0; n < count; n++) {
      const auto c = static_cast<size_t>(classes[n]);
      const double m0 = own0 - static_cast<double>(z0[n]), m1 = own1 - static_cast<double>(z1[n]);
      const double low = m0 + interval.lo * (m1 - m0), high = m0 + interval.hi * (m1 - m0);
      const double slack = static_cast<double>(tile.by_norm[i]) * static_cast<double>(norm_[c]) +
                           static_cast<double>(tile.by_error[i]) * static_cast<double>(norm_error_[c]) +
                           static_cast<double>(constant_[c]) +
                           static_cast<double>(allowance_) * (std::fabs(m0) + std::fabs(m1));
      if (low > slack && high > slack) continue;
      if (low < -slack && high < -slack) {
        interval = empty_interval();
        break;
      }
      if (low < lowest_lo) lowest_lo = low, at_lo = kept;
      if (high < lowest_hi) lowest_hi = high, at_hi = kept;
      classes[kept] = classes[n], z0[kept] = z0[n], z1[kept] = z1[n];
      kept++;
    }
    count = kept;
    if (count == 0 || interval.empty()) break;
    if (!x) x = line(call_.features, sample, lines.x[0]);
    const int32_t chosen[2] = {classes[at_lo], classes[at_hi]};
    const float* w[4];
    float z[4];
    for (size_t n = 0; n < 2; n++) {
      const auto c = static_cast<size_t>(chosen[n]);
      w[2 * n] = line(call_.w0, c, lines.w[2 * n]);
      w[2 * n + 1] = line(call_.w1, c, lines.w[2 * n + 1]);
      z[2 * n] = start0_[c];
      z[2 * n + 1] = start1_[c];
    }
    screen_.chains(x, x, w, call_.dimension, z);
    for (size_t n = 0; n < 2; n++) {
      bound(interval, own0 - static_cast<double>(z[2 * n]), own1 - static_cast<double>(z[2 * n + 1]),
            chosen[n] > tile.label[i]);
    }
    exact += 2;
    // The later one first: what takes its place is none of the two.
    for (const size_t gone : {std::max(at_lo, at_hi), std::min(at_lo, at_hi)}) {
      if (gone >= count || (classes[gone] != chosen[0] && classes[gone] != chosen[1])) continue;
      count--;
      classes[gone] = classes[count], z0[gone] = z0[count], z1[gone] = z1[count];
    }
  }
  tile.count[i] = 0;
  tile.lost[i] = interval.empty();
  tile.lo[i] = static_cast<float>(interval.lo);
  tile.hi[i] = static_cast<float>(interval.hi);
  return exact;
}

ScreenPanel Screening::panel(size_t index) const {
  const size_t first = index * kScreenColumns,
               present = std::min<size_t>(kScreenColumns, call_.classes - first);
  return {w0_ + first * pairs_,
          w1_ + first * pairs_,
          start0_ + first,
          start1_ + first,
          norm_ + first,
          norm_error_ + first,
          constant_ + first,
          static_cast<int32_t>(first),
          present < 32 ? (1u << present) - 1 : ~0u};
}

size_t Screening::scratch() const {
  return floats<uint32_t>(tiles_ * pairs_ * screen_.rows) + floats<ScreenTile>(tiles_) +
         6 * floats<float>(call_.dimension);
}

bool Screening::block(size_t first, size_t last, float* scratch) const {
  const size_t tiles = ceil_div(last - first, screen_.rows);
  uint32_t* const words = take<uint32_t>(scratch, tiles * pairs_ * screen_.rows);
  ScreenTile* const tile = take<ScreenTile>(scratch, tiles);
  Lines lines;
  for (float*& x : lines.x) x = take<float>(scratch, call_.dimension);
  for (float*& w : lines.w) w = take<float>(scratch, call_.dimension);

  const auto rows_of = [&](size_t t) { return std::min(screen_.rows, last - first - t * screen_.rows); };
  for (size_t t = 0; t < tiles; t++) {
    const size_t row = first + t * screen_.rows;
    pack_samples(row, rows_of(t), words + t * pairs_ * screen_.rows, tile[t]);
    label_logits(row, rows_of(t), lines, tile[t]);
  }
  size_t exact = 0;
  const size_t limit = (last - first) * (kExactSome + call_.classes / kExactShare);
  for (size_t p = 0; p < panels_; p++) {
    const ScreenPanel classes = panel(p);
    for (size_t t = 0; t < tiles; t++) {
      uint32_t full =
          screen_.screen(words + t * pairs_ * screen_.rows, pairs_, classes, allowance_, rows_of(t), tile[t]);
      for (; full != 0; full &= full - 1) {
        const auto i = static_cast<size_t>(__builtin_ctz(full));
        exact += settle(first + t * screen_.rows + i, i, lines, tile[t]);
      }
    }
    if (exact > limit) return false;
  }
  for (size_t t = 0; t < tiles; t++) {
    for (size_t i = 0; i < rows_of(t); i++) {
      const size_t sample = first + t * screen_.rows + i;
      if (!tile[t].lost[i]) exact += settle(sample, i, lines, tile[t]);
      const Interval result = tile[t].lost[i] ? empty_interval() : tile[t].interval[i];
      call_.lo[sample] = result.lo;
      call_.hi[sample] = result.hi;
      call_.open[sample] = result.open;
    }
    if (exact > limit) return false;
  }
  return true;
}

}  // namespace wisemerge::cpu
