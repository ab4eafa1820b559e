// regmean: every linear layer by regression on the Gram matrices of its inputs (Jin et al., 2023, equation
// 2): W = (sum w_i W_i G_i) (sum w_i G_i)^-1, off-diagonal elements times alpha. In f64, as the weighted mean
// of the models and a correction, so that what all models agree on stays:
//   W = M + (sum w_i (W_i - M) G_i) (sum w_i G_i)^-1
//
//   parameters: alpha; per input: weight (that of the matrices is ignored)
#include <algorithm>

#include "merge/cholesky.h"
#include "merge/elements.h"
#include "merge/methods.h"
#include "wisemerge/merge.h"

namespace wisemerge {
namespace {

// Rows of a Gram matrix in memory at once.
constexpr uint64_t kBlock = 64;

class Regression {
 public:
  explicit Regression(TensorRun& run)
      : run_(run), n_(run.job().row), alpha_(run.parameter(0)), pool_(run.engine().threads()) {
    for (uint32_t i = 0; i < run.models(); i++) {
      weights_.push_back(run.model(i).parameters[0]);
      total_ += weights_.back();
    }
  }

  void merge() {
    const Cholesky system(sum(), n_, pool_);
    if (!system.definite()) {
      throw Error(
          "ERR_MERGE",
          "its Gram matrices are not finite or do not determine the weights (too few inputs for their "
          "number of features); choose an alpha below 1, or collect more inputs");
    }
    run_.write_values([&](const WmMergeInputs& inputs, double* out) {
      const uint64_t rows = inputs.count / n_;
      mean(inputs, out);
      correction_.assign(inputs.count, 0);
      for (uint32_t i = 0; i < run_.models(); i++) add_products(inputs, i, out, rows);
      system.solve(correction_.data(), rows);
      for (uint64_t e = 0; e < inputs.count; e++) out[e] = merge_add_to(out[e], correction_[e]);
    });
  }

 private:
  // Rows [first, first + count) of w_i G_i with its off-diagonal elements scaled, in block_.
  void load(uint32_t i, uint64_t first, uint64_t count) {
    const DType dtype = run_.job().statistics[i].dtype;
    stored_.resize(kBlock * n_);
    block_.resize(kBlock * n_);
    run_.read_statistics(i, first * n_, count * n_, stored_.data());
    for (uint64_t e = 0; e < count * n_; e++) {
      block_[e] = weights_[i] * alpha_ * load_element<double>(dtype, stored_.data(), e);
    }
    for (uint64_t r = 0; r < count; r++) {
      const uint64_t e = r * n_ + first + r;
      block_[e] = weights_[i] * load_element<double>(dtype, stored_.data(), e);
    }
  }

  std::vector<double> sum() {
    std::vector<double> sum(n_ * n_);
    for (uint32_t i = 0; i < run_.models(); i++) {
      for (uint64_t first = 0; first < n_; first += kBlock) {
        const uint64_t count = std::min(kBlock, n_ - first);
        load(i, first, count);
        for (uint64_t e = 0; e < count * n_; e++) sum[first * n_ + e] += block_[e];
      }
    }
    return sum;
  }

  double element(const WmMergeInputs& inputs, uint32_t i, uint64_t e) const {
    return load_element<double>(static_cast<DType>(inputs.x_dtypes[i]), inputs.x[i], e);
  }

  // From the first model on: models that agree have no mean but themselves.
  void mean(const WmMergeInputs& inputs, double* out) const {
    for (uint64_t e = 0; e < inputs.count; e++) {
      const double first = element(inputs, 0, e);
      double away = 0;
      for (uint32_t i = 1; i < run_.models(); i++) {
        away += weights_[i] * merge_delta(element(inputs, i, e), first);
      }
      out[e] = merge_add_to(first, away / total_);
    }
  }

  // correction_ += (W_i - M) (w_i G_i), by blocks of the products' terms.
  void add_products(const WmMergeInputs& inputs, uint32_t i, const double* mean, uint64_t rows) {
    for (uint64_t first = 0; first < n_; first += kBlock) {
      const uint64_t count = std::min(kBlock, n_ - first);
      load(i, first, count);
      pool_.parallel_for(rows, 8, [&](size_t from, size_t to) {
        for (uint64_t r = from; r < to; r++) {
          double* const row = correction_.data() + r * n_;
          for (uint64_t k = 0; k < count; k++) {
            const uint64_t e = r * n_ + first + k;
            const double change = merge_delta(element(inputs, i, e), mean[e]);
            const double* const gram = block_.data() + k * n_;
            for (uint64_t j = 0; j < n_; j++) row[j] += change * gram[j];
          }
        }
      });
    }
  }

  TensorRun& run_;
  const uint64_t n_;
  const double alpha_;
  ThreadPool pool_;
  std::vector<double> weights_;
  double total_ = 0;
  std::vector<double> stored_;  // room for elements of any dtype
  std::vector<double> block_, correction_;
};

}  // namespace

void merge_regmean(TensorRun& run) { Regression(run).merge(); }

}  // namespace wisemerge
