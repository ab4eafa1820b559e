// Temporary memory of the CPU backend's calls. Nothing in here allocates while threads compute: they must not
// throw.
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "core/float_array.h"

namespace wisemerge::cpu {

// As many arrays as threads, lent to whoever computes.
class ThreadScratch {
 public:
  void prepare(size_t threads, size_t floats) {
    if (arrays_.size() < threads) arrays_.resize(threads);
    idle_.clear();
    idle_.reserve(arrays_.size());
    for (FloatArray& array : arrays_) idle_.push_back(array.reserve(floats));
  }

  class Loan {
   public:
    explicit Loan(ThreadScratch& scratch) : scratch_(scratch) {
      std::lock_guard<std::mutex> lock(scratch_.mutex_);
      data_ = scratch_.idle_.back();
      scratch_.idle_.pop_back();
    }
    ~Loan() {
      std::lock_guard<std::mutex> lock(scratch_.mutex_);
      scratch_.idle_.push_back(data_);
    }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    float* data() const { return data_; }

   private:
    ThreadScratch& scratch_;
    float* data_;
  };

 private:
  std::mutex mutex_;
  std::vector<FloatArray> arrays_;
  std::vector<float*> idle_;
};

}  // namespace wisemerge::cpu
