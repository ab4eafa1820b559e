#include "core/stream_work.h"

#include <string>

#include "core/numbers.h"
#include "core/status.h"

namespace wisemerge {
namespace {

constexpr size_t kLerpNumbers = 10, kCompareNumbers = 7;

[[noreturn]] void refuse(const std::string& message) { throw Error("ERR_INTERNAL_ARGUMENT", message); }

int index_or_none(Numbers& numbers) { return numbers.none() ? -1 : static_cast<int>(numbers.index()); }

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
    const int x = index_or_none(numbers_);
    made.x = {file(x), numbers_.whole()};
    const int y = index_or_none(numbers_);
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
    work.files.push_back({cached, index_or_none(numbers)});
  }
  Parser({range, range_length}, work, compared).range();
  return work;
}

}  // namespace wisemerge
