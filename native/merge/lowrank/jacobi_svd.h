// The singular value decomposition of a small square matrix.
#pragma once

#include <cstdint>
#include <vector>

namespace wisemerge {

// A = sum over i of values[i] u_i v_i^T, values descending. u_i and v_i are `size` numbers from left[i *
// size] and right[i * size] on; u_i is zero where values[i] is.
struct SmallSvd {
  std::vector<double> values, left, right;
};

// One-sided Jacobi rotations in f64 (Hestenes, 1958; Demmel and Veselic, 1992). `columns` [size, size]:
// column j of A from columns[j * size] on; overwritten.
SmallSvd jacobi_svd(std::vector<double>& columns, uint64_t size);

}  // namespace wisemerge
