#include "merge/low_rank.h"

#include <algorithm>
#include <vector>

#include "merge/elements.h"

namespace wisemerge {
namespace {

// The addend of row `i`, columns [from, to), of B A or of its transpose.
template <class Scalar>
void addend_row(const LowRank& addend, uint64_t i, uint64_t from, uint64_t to, Scalar* sum) {
  std::fill_n(sum, to - from, Scalar(0));
  for (uint64_t k = 0; k < addend.rank; k++) {
    if (!addend.transposed) {
      const auto b = static_cast<Scalar>(addend.b[i * addend.rank + k]);
      const float* a = addend.a.data() + k * addend.columns;
      for (uint64_t j = from; j < to; j++) sum[j - from] += b * static_cast<Scalar>(a[j]);
    } else {
      const auto a = static_cast<Scalar>(addend.a[k * addend.columns + i]);
      for (uint64_t j = from; j < to; j++) {
        sum[j - from] += static_cast<Scalar>(addend.b[j * addend.rank + k]) * a;
      }
    }
  }
}

template <class Scalar>
void add(const LowRank& addend, DType dtype, const void* matrix, uint64_t first, uint64_t count,
         Scalar* out) {
  const uint64_t row = addend.transposed ? addend.rows : addend.columns;
  const auto scale = static_cast<Scalar>(addend.scale);
  std::vector<Scalar> sum(row);
  for (uint64_t done = 0; done < count;) {
    const uint64_t i = (first + done) / row, from = (first + done) % row;
    const uint64_t to = std::min(row, from + count - done);
    addend_row(addend, i, from, to, sum.data());
    for (uint64_t j = from; j < to; j++, done++) {
      out[done] = load_element<Scalar>(dtype, matrix, done) + scale * sum[j - from];
    }
  }
}

}  // namespace

void add_low_rank(const LowRank& addend, DType dtype, const void* matrix, uint64_t first, uint64_t count,
                  void* out) {
  if (dtype == DType::kF64) {
    add(addend, dtype, matrix, first, count, static_cast<double*>(out));
  } else {
    add(addend, dtype, matrix, first, count, static_cast<float*>(out));
  }
}

}  // namespace wisemerge
