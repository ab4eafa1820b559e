#include "core/stream_work.h"

#include <string>

#include "core/status.h"

namespace wisemerge {
namespace {

constexpr size_t kLerpNumbers = 10, kCompareNumbers = 7;
constexpr double kMaxExact = 9007199254740991.0;  // 2^53 - 1

[[noreturn]] void refuse(const std::string& message) { throw Error("ERR_INTERNAL_ARGUMENT", message); }

// Reads numbers in order.
class Numbers {
 public:
  Numbers(const double* numbers, size_t length) : next_(numbers), left_(length) {}

  bool empty() const { return left_ == 0; }

  size_t left() const { return left_; }

  uint64_t whole() {
    const double number = take();
    if (!(number >= 0 && number <= kMaxExact) ||
        number != static_cast<double>(static_cast<uint64_t>(number))) {
      refuse(std::to_string(number) + " is not a whole number from 0 to 2^53 - 1");
    }
    return static_cast<uint64_t>(number);
  }

  uint32_t index() {
    const uint64_t value = whole();
    if (value > INT32_MAX) refuse(std::to_string(value) + " is no index");
    return static_cast<uint32_t>(value);
  }

  // -1: none.
  int index_or_none() {
    if (left_ > 0 && *next_ == -1) {
      take();
      return -1;
    }
    return static_cast<int>(index());
  }

  DType dtype() {
    const uint64_t index = whole();
    if (index >= kDTypeCount) refuse(std::to_string(index) + " is no dtype");
    return static_cast<DType>(index);
  }

 private:
  double take() {
    if (left_ == 0) refuse("the numbers of a range are cut short");
    left_--;
    return *next_++;
  }

  const double* next_;
  size_t left_;
};

class Parser {
 public:
  Parser(Numbers numbers, StreamWork& work, bool compared)
      : numbers_(numbers), work_(work), compared_(compared) {}

  void range() {
    work_.output = numbers_.index();
    work_.position = numbers_.whole();
    work_.length = numbers_.whole();
    work_.segments.reserve(numbers_.left() / (compared_ ? kCompareNumbers : kLerpNumbers));
    for (uint64_t end = 0; !numbers_.empty();) {
      work_.segments.push_back(segment());
      if (!compared_) end = check_place(work_.segments.back(), end, work_.length);
    }
  }

 private:
  StreamSegment segment() {
    StreamSegment made{};
    made.x_dtype = numbers_.dtype();
    made.y_dtype = numbers_.dtype();
    made.out_dtype = compared_ ? made.x_dtype : numbers_.dtype();
    made.count = numbers_.whole();
    const int x = numbers_.index_or_none();
    made.x = {file(x), numbers_.whole()};
    const int y = numbers_.index_or_none();
    made.copied = y < 0 && !compared_;
    made.y = {made.copied ? 0 : file(y), numbers_.whole()};
    if (made.copied) made.x_dtype = made.y_dtype = made.out_dtype = DType::kU8;
    for (const DType dtype : {made.x_dtype, made.y_dtype, made.out_dtype}) {
      if (!made.copied && !is_float(dtype)) {
        refuse(std::string("a segment has a float dtype, not ") + dtype_info(dtype).name);
      }
    }
    if (!compared_) {
      made.out_at = numbers_.whole();
      made.alpha_set = numbers_.index();
    }
    return made;
  }

  uint32_t file(int index) const {
    if (index < 0 || static_cast<size_t>(index) >= work_.files.size()) {
      refuse("there is no file " + std::to_string(index));
    }
    return static_cast<uint32_t>(index);
  }

  // Returns where the segment ends. Counts and places are below 2^53, so that nothing wraps around.
  static uint64_t check_place(const StreamSegment& segment, uint64_t earlier_end, uint64_t length) {
    const uint64_t end = segment.out_at + segment.count * item_size(segment.out_dtype);
    if (segment.out_at < earlier_end || end > length) {
      throw Error("ERR_INTERNAL_RANGE", "a segment from byte " + std::to_string(segment.out_at) + " to " +
                                            std::to_string(end) + " of a range of " + std::to_string(length) +
                                            " bytes lies before the end of the one before it, at " +
                                            std::to_string(earlier_end) + ", or leaves the range");
    }
    return end;
  }

  Numbers numbers_;
  StreamWork& work_;
  const bool compared_;
};

}  // namespace

StreamWork parse_work(const double* files, size_t files_length, const double* range, size_t range_length,
                      bool compared) {
  StreamWork work;
  for (Numbers numbers(files, files_length); !numbers.empty();) {
    const int cached = static_cast<int>(numbers.index());
    work.files.push_back({cached, numbers.index_or_none()});
  }
  Parser({range, range_length}, work, compared).range();
  return work;
}

}  // namespace wisemerge
