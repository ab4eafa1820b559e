// Matrices for tests of decompositions, and their singular values by a method that shares nothing with the
// code: the eigenvalues of the Gram matrix by two-sided Jacobi.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace wisemerge::test {

using Doubles = std::vector<double>;

// [rows, columns], row by row.
struct Matrix {
  uint64_t rows, columns;
  std::vector<float> data;

  Matrix(uint64_t r, uint64_t c) : rows(r), columns(c), data(r * c) {}
  double at(uint64_t i, uint64_t j) const { return static_cast<double>(data[i * columns + j]); }
};

inline Matrix normal(uint64_t rows, uint64_t columns, uint64_t seed, double size = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> draw(0, size);
  Matrix m(rows, columns);
  for (float& x : m.data) x = static_cast<float>(draw(random));
  return m;
}

// Sum over k of spectrum[k] u_k v_k^T with random, nearly orthogonal u and v.
inline Matrix planted(uint64_t rows, uint64_t columns, const Doubles& spectrum, uint64_t seed) {
  const Matrix u = normal(spectrum.size(), rows, seed, 1 / std::sqrt(static_cast<double>(rows)));
  const Matrix v = normal(spectrum.size(), columns, seed + 1, 1 / std::sqrt(static_cast<double>(columns)));
  Doubles sums(rows * columns);
  for (uint64_t k = 0; k < spectrum.size(); k++) {
    for (uint64_t i = 0; i < rows; i++) {
      for (uint64_t j = 0; j < columns; j++) sums[i * columns + j] += spectrum[k] * u.at(k, i) * v.at(k, j);
    }
  }
  Matrix m(rows, columns);
  for (uint64_t e = 0; e < sums.size(); e++) m.data[e] = static_cast<float>(sums[e]);
  return m;
}

// Eigenvalues of the smaller of M M^T and M^T M by classical two-sided Jacobi; their roots, descending.
inline Doubles singular_values(const Matrix& m) {
  const bool tall = m.rows > m.columns;
  const uint64_t n = std::min(m.rows, m.columns), depth = std::max(m.rows, m.columns);
  Doubles g(n * n);
  for (uint64_t i = 0; i < n; i++) {
    for (uint64_t j = 0; j < n; j++) {
      for (uint64_t k = 0; k < depth; k++) {
        g[i * n + j] += tall ? m.at(k, i) * m.at(k, j) : m.at(i, k) * m.at(j, k);
      }
    }
  }
  for (int sweep = 0; sweep < 30; sweep++) {
    double off = 0, all = 0;
    for (uint64_t p = 0; p < n; p++) {
      for (uint64_t q = 0; q < n; q++) {
        all += g[p * n + q] * g[p * n + q];
        if (p != q) off += g[p * n + q] * g[p * n + q];
      }
    }
    if (off <= 1e-32 * all) break;
    for (uint64_t p = 0; p + 1 < n; p++) {
      for (uint64_t q = p + 1; q < n; q++) {
        if (g[p * n + q] == 0) continue;
        const double theta = (g[q * n + q] - g[p * n + p]) / (2 * g[p * n + q]);
        const double t = (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (uint64_t k = 0; k < n; k++) {
          const double a = g[k * n + p], b = g[k * n + q];
          g[k * n + p] = c * a - s * b;
          g[k * n + q] = s * a + c * b;
        }
        for (uint64_t k = 0; k < n; k++) {
          const double a = g[p * n + k], b = g[q * n + k];
          g[p * n + k] = c * a - s * b;
          g[q * n + k] = s * a + c * b;
        }
      }
    }
  }
  Doubles values;
  for (uint64_t i = 0; i < n; i++) values.push_back(std::sqrt(std::max(0.0, g[i * n + i])));
  std::sort(values.rbegin(), values.rend());
  return values;
}

inline double squares(const Doubles& values, uint64_t from, uint64_t to) {
  double sum = 0;
  for (uint64_t i = from; i < std::min<uint64_t>(to, values.size()); i++) sum += values[i] * values[i];
  return sum;
}

inline bool near(double value, double wanted, double tolerance) {
  return std::fabs(value - wanted) <= tolerance;
}

}  // namespace wisemerge::test
