// Numbers from JavaScript that describe a call, read one after another: none beyond the last is touched, and
// each is checked to be what it should be, so that a wrong caller gets an error and never touches other
// memory.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/status.h"
#include "wisemerge/dtype.h"

namespace wisemerge {

// All throw Error ERR_INTERNAL_ARGUMENT. `what` names the number in its message.
class Numbers {
 public:
  Numbers(const double* numbers, size_t length) : next_(numbers), left_(length) {}

  bool empty() const { return left_ == 0; }
  size_t left() const { return left_; }

  double number(const char* what = "a number") {
    const double value = take();
    if (!std::isfinite(value)) refuse(std::string(what) + " is not finite");
    return value;
  }

  uint64_t whole(const char* what = "a number") {
    constexpr double kMaxExact = 9007199254740991.0;  // 2^53 - 1
    const double value = take();
    if (!(value >= 0 && value <= kMaxExact) || value != static_cast<double>(static_cast<uint64_t>(value))) {
      refuse(std::string(what) + " must be a whole number from 0 to 2^53 - 1, not " + std::to_string(value));
    }
    return static_cast<uint64_t>(value);
  }

  uint32_t index(const char* what = "an index") {
    const uint64_t value = whole(what);
    if (value > INT32_MAX) refuse(std::string(what) + " is " + std::to_string(value) + ", beyond 2^31");
    return static_cast<uint32_t>(value);
  }

  // -1: there is none, of whatever the number would say. Takes it then.
  bool none() {
    if (left_ == 0 || *next_ != -1) return false;
    take();
    return true;
  }

  DType dtype(const char* what = "a dtype") {
    const uint64_t value = whole(what);
    if (value >= kDTypeCount) refuse(std::string(what) + " " + std::to_string(value) + " is no dtype");
    return static_cast<DType>(value);
  }

  DType float_dtype(const char* what = "a dtype") {
    const DType value = dtype(what);
    if (!is_float(value)) {
      refuse(std::string(what) + " must be a float dtype, not " + dtype_info(value).name);
    }
    return value;
  }

 private:
  [[noreturn]] static void refuse(const std::string& message) {
    throw Error("ERR_INTERNAL_ARGUMENT", message);
  }

  double take() {
    if (left_ == 0) refuse("the numbers of a call are cut short");
    left_--;
    return *next_++;
  }

  const double* next_;
  size_t left_;
};

}  // namespace wisemerge
