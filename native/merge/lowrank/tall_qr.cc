#include "merge/lowrank/tall_qr.h"

#include <algorithm>
#include <cmath>

#include "merge/lowrank/cancelled.h"

namespace wisemerge {
namespace {

// Rows of a block per column: the triangles' own QR is then a small part of the work.
constexpr uint64_t kBlockColumns = 8;
constexpr uint64_t kLeastBlock = 512;
// Chains of additions in a sum: a fixed order that vectors can follow.
constexpr size_t kLanes = 8;

double dot(const double* x, const double* y, uint64_t n) {
  double lane[kLanes] = {};
  uint64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t l = 0; l < kLanes; l++) lane[l] += x[i + l] * y[i + l];
  }
  for (; i < n; i++) lane[i % kLanes] += x[i] * y[i];
  for (size_t s = kLanes / 2; s > 0; s /= 2) {
    for (size_t l = 0; l < s; l++) lane[l] += lane[l + s];
  }
  return lane[0];
}

// x -= scale v (v . x).
void reflect(const double* v, double scale, double* x, uint64_t n) {
  const double factor = scale * dot(v, x, n);
  for (uint64_t i = 0; i < n; i++) x[i] -= factor * v[i];
}

// Householder QR of `count` columns of `length` numbers, `stride` apart. Column j keeps its reflector v from
// row j on; H = 1 - scale v v^T; r [count, count] receives the triangle.
void factorise(double* columns, uint64_t count, uint64_t length, uint64_t stride, double* scales, double* r) {
  std::fill_n(r, count * count, 0.0);
  for (uint64_t j = 0; j < count; j++) {
    double* const v = columns + j * stride + j;
    const uint64_t rest = length - j;
    const double norm = std::sqrt(dot(v, v, rest));
    const double head = v[0], sign = head < 0 ? -1.0 : 1.0;
    for (uint64_t i = 0; i < j; i++) r[i * count + j] = columns[j * stride + i];
    r[j * count + j] = -sign * norm;
    // The head moves away from 0, so that nothing cancels. A column of zeros is left as it is.
    v[0] = head + sign * norm;
    scales[j] = norm > 0 ? 1.0 / (norm * (norm + std::fabs(head))) : 0.0;
    for (uint64_t k = j + 1; k < count; k++) reflect(v, scales[j], columns + k * stride + j, rest);
  }
}

// Q x for a column x of `length` numbers, by the reflectors of factorise in reverse.
void apply(const double* columns, uint64_t count, uint64_t length, uint64_t stride, const double* scales,
           double* x) {
  for (uint64_t j = count; j-- > 0;) {
    reflect(columns + j * stride + j, scales[j], x + j, length - j);
  }
}

}  // namespace

void TallQr::run(float* vectors, uint64_t count, uint64_t length, WmCancelFlag cancelled) {
  const uint64_t wanted = std::max(kLeastBlock, kBlockColumns * count);
  const uint64_t blocks = std::max<uint64_t>(1, length / wanted);
  const auto begin = [&](uint64_t block) { return length * block / blocks; };
  const uint64_t square = count * count, tall = blocks * count;
  triangle_.resize(square);
  if (count == 0) return;
  reflectors_.resize(count * length);
  scales_.resize((blocks + 1) * count);
  stacked_.resize(2 * tall * count + blocks * square);
  column_.resize(length);
  double* const top = stacked_.data();             // the triangles one below another, by columns
  double* const basis = top + tall * count;        // their Q, by columns
  double* const triangles = basis + tall * count;  // [block][count, count]
  double* const top_scales = scales_.data() + tall;

  // Block b's columns begin at reflectors + count * begin(b), its own length apart.
  pool_.parallel_for(blocks, 1, [&](size_t from, size_t to) {
    for (size_t b = from; b < to && !is_cancelled(cancelled); b++) {
      const uint64_t first = begin(b), rows = begin(b + 1) - first;
      double* const columns = reflectors_.data() + count * first;
      for (uint64_t j = 0; j < count; j++) {
        for (uint64_t i = 0; i < rows; i++) {
          columns[j * rows + i] = static_cast<double>(vectors[j * length + first + i]);
        }
      }
      factorise(columns, count, rows, rows, scales_.data() + b * count, triangles + b * square);
    }
  });
  throw_if_cancelled(cancelled);
  for (uint64_t b = 0; b < blocks; b++) {
    for (uint64_t j = 0; j < count; j++) {
      for (uint64_t i = 0; i < count; i++) {
        top[j * tall + b * count + i] = triangles[b * square + i * count + j];
      }
    }
  }
  factorise(top, count, tall, tall, top_scales, triangle_.data());
  pool_.parallel_for(count, 1, [&](size_t from, size_t to) {
    for (size_t j = from; j < to; j++) {
      double* const x = basis + j * tall;
      std::fill_n(x, tall, 0.0);
      x[j] = 1;
      apply(top, count, tall, tall, top_scales, x);
    }
  });
  pool_.parallel_for(blocks, 1, [&](size_t from, size_t to) {
    for (size_t b = from; b < to && !is_cancelled(cancelled); b++) {
      const uint64_t first = begin(b), rows = begin(b + 1) - first;
      double* const x = column_.data() + first;
      for (uint64_t j = 0; j < count; j++) {
        std::copy_n(basis + j * tall + b * count, count, x);
        std::fill_n(x + count, rows - count, 0.0);
        apply(reflectors_.data() + count * first, count, rows, rows, scales_.data() + b * count, x);
        for (uint64_t i = 0; i < rows; i++) {
          vectors[j * length + first + i] = static_cast<float>(x[i]);
        }
      }
    }
  });
  throw_if_cancelled(cancelled);
}

}  // namespace wisemerge
