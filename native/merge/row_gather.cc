#include "merge/row_gather.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "merge/elements.h"
#include "merge/low_rank.h"

namespace wisemerge {
namespace {

// Mixes of more rows than this are kept: those of padding are the mean of all tokens.
constexpr size_t kManyParts = 16;

uint8_t* page_aligned(std::vector<uint8_t>& scratch, uint64_t bytes) {
  scratch.resize(bytes + kReadSlack + kReadPage);
  return scratch.data() + (0 - reinterpret_cast<uintptr_t>(scratch.data())) % kReadPage;
}

template <DType D>
void store(const double* values, uint64_t count, void* out) {
  auto* const to = static_cast<typename Element<D>::Bits*>(out);
  for (uint64_t e = 0; e < count; e++) to[e] = Element<D>::store64(values[e]);
}

void store(DType dtype, const double* values, uint64_t count, void* out) {
  switch (dtype) {
    case DType::kF64:
      return store<DType::kF64>(values, count, out);
    case DType::kF32:
      return store<DType::kF32>(values, count, out);
    case DType::kF16:
      return store<DType::kF16>(values, count, out);
    case DType::kBF16:
      return store<DType::kBF16>(values, count, out);
    case DType::kF8E5M2:
      return store<DType::kF8E5M2>(values, count, out);
    default:
      return store<DType::kF8E4M3>(values, count, out);
  }
}

}  // namespace

RowGather::RowGather(std::shared_ptr<const RowMap> map, std::vector<RowTable> tables, uint64_t width)
    : map_(std::move(map)),
      tables_(std::move(tables)),
      width_(width),
      dtype_(loaded_dtype(tables_[0].dtype, tables_[0].addend != nullptr)) {}

// The elements as the file has them; valid until `scratch` is used again.
const uint8_t* RowGather::stored(const SharedFiles& files, const Range& range,
                                 std::vector<uint8_t>& scratch) const {
  const uint64_t item = item_size(range.table.dtype);
  uint8_t* const room = page_aligned(scratch, range.count * item);
  return read_range(files, range.table.file, range.table.position + range.first * item, range.count * item,
                    item, room);
}

void RowGather::copy(const SharedFiles& files, const Range& range, uint8_t* out,
                     std::vector<uint8_t>& scratch) const {
  const uint8_t* const data = stored(files, range, scratch);
  if (range.table.addend) {
    add_low_rank(*range.table.addend, range.table.dtype, data, range.first, range.count, out);
  } else {
    std::memcpy(out, data, range.count * item_size(range.table.dtype));
  }
}

std::vector<double> RowGather::mean(const SharedFiles& files, const RowMap::Part* parts, size_t size,
                                    uint64_t from, uint64_t count, std::vector<uint8_t>& scratch) const {
  std::vector<double> sum(count);
  std::vector<uint8_t> widened;
  for (size_t i = 0; i < size; i++) {
    const RowTable& table = tables_[parts[i].table];
    const Range range{table, parts[i].row * width_ + from, count};
    const DType dtype = loaded_dtype(table.dtype, table.addend != nullptr);
    widened.resize(count * item_size(dtype));
    copy(files, range, widened.data(), scratch);
    for (uint64_t e = 0; e < count; e++) {
      const double value = load_element<double>(dtype, widened.data(), e);
      sum[e] = i == 0 ? value : sum[e] + value;
    }
  }
  if (size > 1) {
    for (double& value : sum) value /= static_cast<double>(size);
  }
  return sum;
}

void RowGather::mix(const SharedFiles& files, uint32_t index, uint64_t from, uint64_t count, uint8_t* out,
                    std::vector<uint8_t>& scratch) {
  const uint32_t begin = index == 0 ? 0 : map_->mix_ends[index - 1];
  const RowMap::Part* const parts = map_->parts.data() + begin;
  const size_t size = map_->mix_ends[index] - begin;
  if (size <= kManyParts) {
    if (size == 1 && !tables_[parts->table].addend && tables_[parts->table].dtype == dtype_) {
      return copy(files, {tables_[parts->table], parts->row * width_ + from, count}, out, scratch);
    }
    return store(dtype_, mean(files, parts, size, from, count, scratch).data(), count, out);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<double>& row = means_[index];
  if (row.empty()) row = mean(files, parts, size, 0, width_, scratch);
  store(dtype_, row.data() + from, count, out);
}

void RowGather::read(const SharedFiles& files, uint64_t first, uint64_t count, uint8_t* out,
                     std::vector<uint8_t>& scratch) {
  const std::vector<int32_t>& rows = map_->rows;
  for (uint64_t done = 0; done < count;) {
    uint64_t row = (first + done) / width_;
    const uint64_t from = (first + done) % width_, left = count - done;
    uint8_t* const to = out + done * item_size(dtype_);
    const int32_t source = rows[row];
    uint64_t length = width_ - from;
    if (source >= 0) {
      // Neighbours in the output that are neighbours in the file are read at once.
      for (; length < left && rows[row + 1] == rows[row] + 1; row++) length += width_;
      length = std::min(length, left);
      copy(files, {tables_[0], static_cast<uint64_t>(source) * width_ + from, length}, to, scratch);
    } else {
      length = std::min(length, left);
      mix(files, static_cast<uint32_t>(-1 - source), from, length, to, scratch);
    }
    done += length;
  }
}

}  // namespace wisemerge
