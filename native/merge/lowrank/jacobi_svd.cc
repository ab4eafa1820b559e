#include "merge/lowrank/jacobi_svd.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace wisemerge {
namespace {

// Columns this near to orthogonal are left alone: a few units in the last place of f64.
constexpr double kTolerance = 1e-15;
// Convergence is quadratic: ten sweeps are many.
constexpr int kSweeps = 60;

double dot(const double* x, const double* y, uint64_t n) {
  double even = 0, odd = 0;
  for (uint64_t i = 0; i + 1 < n; i += 2) {
    even += x[i] * y[i];
    odd += x[i + 1] * y[i + 1];
  }
  if (n % 2) even += x[n - 1] * y[n - 1];
  return even + odd;
}

void rotate(double* x, double* y, uint64_t n, double c, double s) {
  for (uint64_t i = 0; i < n; i++) {
    const double a = x[i], b = y[i];
    x[i] = c * a - s * b;
    y[i] = s * a + c * b;
  }
}

// One rotation of every pair. Gives whether there was any.
bool sweep(std::vector<double>& columns, std::vector<double>& right, uint64_t n) {
  bool rotated = false;
  for (uint64_t p = 0; p + 1 < n; p++) {
    for (uint64_t q = p + 1; q < n; q++) {
      double *const x = columns.data() + p * n, *const y = columns.data() + q * n;
      const double xx = dot(x, x, n), yy = dot(y, y, n), xy = dot(x, y, n);
      if (!(std::fabs(xy) > kTolerance * std::sqrt(xx * yy))) continue;
      rotated = true;
      const double zeta = (yy - xx) / (2 * xy);
      const double t = (zeta < 0 ? -1.0 : 1.0) / (std::fabs(zeta) + std::sqrt(1 + zeta * zeta));
      const double c = 1 / std::sqrt(1 + t * t);
      rotate(x, y, n, c, c * t);
      rotate(right.data() + p * n, right.data() + q * n, n, c, c * t);
    }
  }
  return rotated;
}

}  // namespace

SmallSvd jacobi_svd(std::vector<double>& columns, uint64_t n) {
  std::vector<double> right(n * n), values(n);
  for (uint64_t i = 0; i < n; i++) right[i * n + i] = 1;
  for (int i = 0; i < kSweeps && sweep(columns, right, n); i++) {
  }
  for (uint64_t i = 0; i < n; i++) {
    const double* const x = columns.data() + i * n;
    values[i] = std::sqrt(dot(x, x, n));
  }
  std::vector<uint64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) { return values[a] > values[b]; });
  SmallSvd svd;
  for (const uint64_t i : order) {
    svd.values.push_back(values[i]);
    for (uint64_t j = 0; j < n; j++) {
      svd.left.push_back(values[i] > 0 ? columns[i * n + j] / values[i] : 0);
      svd.right.push_back(right[i * n + j]);
    }
  }
  return svd;
}

}  // namespace wisemerge
