// Memory for results and packed operands that calls use again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace wisemerge {

// A growing array on cache lines; its contents do not survive growth. Throws std::bad_alloc.
class FloatArray {
 public:
  float* reserve(size_t count) {
    if (count > size_) {
      if (count > SIZE_MAX / sizeof(float)) throw std::bad_array_new_length();
      data_.reset();
      size_ = 0;
      data_.reset(static_cast<float*>(::operator new(count * sizeof(float), kAlignment)));
      size_ = count;
    }
    return data_.get();
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<float, Free> data_;
  size_t size_ = 0;
};

}  // namespace wisemerge
