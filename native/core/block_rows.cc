#include "core/block_rows.h"

#include <string>

#include "core/status.h"

namespace wisemerge {
namespace {

constexpr size_t kBlockColumns = 6, kReadColumns = 5, kCopyColumns = 3, kRowColumns = kLerpColumns + 2;
constexpr double kMaxExact = 9007199254740991.0;

class Numbers {
 public:
  Numbers(const double* numbers, size_t length) : next_(numbers), left_(length) {}

  bool empty() const { return left_ == 0; }

  const double* take(uint64_t rows, size_t columns) {
    if (rows > left_ / columns) throw Error("ERR_INTERNAL_ARGUMENT", "the numbers of a block are cut short");
    const double* const from = next_;
    next_ += rows * columns;
    left_ -= rows * columns;
    return from;
  }

 private:
  const double* next_;
  size_t left_;
};

uint64_t whole(double number) {
  if (!(number >= 0 && number <= kMaxExact) || number != static_cast<double>(static_cast<uint64_t>(number))) {
    throw Error("ERR_INTERNAL_ARGUMENT",
                std::to_string(number) + " is not a whole number from 0 to 2^53 - 1");
  }
  return static_cast<uint64_t>(number);
}

uint32_t index(double number) {
  const uint64_t value = whole(number);
  if (value > UINT32_MAX) throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(value) + " is no index");
  return static_cast<uint32_t>(value);
}

int descriptor(double number) {
  const uint64_t fd = whole(number);
  if (fd > INT32_MAX) throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(fd) + " is no file descriptor");
  return static_cast<int>(fd);
}

// The rows of core/segments.h, which have the place of every output.
std::vector<double> widen(const double* rows, uint64_t count, const std::vector<uint64_t>& outs) {
  std::vector<double> wide;
  wide.reserve(count * (kLerpColumns + outs.size()));
  for (uint64_t row = 0; row < count; row++, rows += kRowColumns) {
    wide.insert(wide.end(), rows, rows + kLerpColumns);
    for (const uint64_t out : outs) wide.push_back(static_cast<double>(out) + rows[kLerpColumns]);
  }
  return wide;
}

}  // namespace

std::vector<Block> parse_blocks(const double* data, size_t length, const std::vector<uint64_t>& outs,
                                uint64_t slot_bytes) {
  Numbers numbers(data, length);
  std::vector<Block> blocks;
  while (!numbers.empty()) {
    const double* const head = numbers.take(1, kBlockColumns);
    const uint64_t reads = whole(head[0]), copies = whole(head[1]), segments = whole(head[2]);
    Block& block = blocks.emplace_back();
    block.output = static_cast<uint32_t>(descriptor(head[3]));
    block.position = whole(head[4]);
    block.length = whole(head[5]);
    const double* row = numbers.take(reads, kReadColumns);
    for (uint64_t i = 0; i < reads; i++, row += kReadColumns) {
      block.reads.push_back({descriptor(row[0]), whole(row[1]), whole(row[2]), whole(row[3]), whole(row[4])});
    }
    row = numbers.take(copies, kCopyColumns);
    for (uint64_t i = 0; i < copies; i++, row += kCopyColumns) {
      for (const uint64_t out : outs) {
        block.copies.push_back({whole(row[0]), out + whole(row[1]), whole(row[2])});
      }
    }
    if (outs.empty()) {
      const double* const rows = numbers.take(segments, kCompareColumns);
      block.compare = parse_compare_segments(rows, segments * kCompareColumns, slot_bytes);
    } else {
      const double* const rows = numbers.take(segments, kRowColumns);
      const std::vector<double> wide = widen(rows, segments, outs);
      const auto alphas = static_cast<uint32_t>(outs.size());
      block.lerp = parse_lerp_segments(wide.data(), wide.size(), alphas, slot_bytes);
      for (uint64_t i = 0; i < segments; i++) {
        block.lerp.alpha_sets.push_back(index(rows[(i + 1) * kRowColumns - 1]));
      }
    }
  }
  return blocks;
}

}  // namespace wisemerge
