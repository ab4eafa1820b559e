#include "core/block_pieces.h"

#include <algorithm>

#include "core/file_io.h"

namespace wisemerge {
namespace {

void append(LerpSegments& piece, const LerpSegments& all, size_t row, uint64_t first, uint64_t count) {
  LerpSegment part = all.rows[row];
  part.count = count;
  part.x_offset += first * item_size(part.x_dtype);
  part.y_offset += first * item_size(part.y_dtype);
  piece.rows.push_back(part);
  for (size_t k = 0; k < all.alpha_count; k++) {
    piece.out_offsets.push_back(all.out_offsets[row * all.alpha_count + k] +
                                first * item_size(part.out_dtype));
  }
  if (!all.alpha_sets.empty()) piece.alpha_sets.push_back(all.alpha_sets[row]);
}

}  // namespace

void for_each_piece(
    const LerpSegments& all, uint64_t bytes,
    const std::function<void(const LerpSegments& piece, const std::vector<size_t>& rows)>& use) {
  LerpSegments piece;
  piece.alpha_count = all.alpha_count;
  std::vector<size_t> rows;
  uint64_t left = bytes;
  const auto flush = [&] {
    if (rows.empty()) return;
    use(piece, rows);
    piece.rows.clear();
    piece.out_offsets.clear();
    piece.alpha_sets.clear();
    rows.clear();
    left = bytes;
  };
  for (size_t row = 0; row < all.rows.size(); row++) {
    const uint64_t item = item_size(all.rows[row].out_dtype), count = all.rows[row].count;
    for (uint64_t first = 0; first < count;) {
      const uint64_t some = std::min(count - first, std::max<uint64_t>(left / item, 1));
      append(piece, all, row, first, some);
      rows.push_back(row);
      first += some;
      left -= std::min(left, some * item);
      if (left < item) flush();
    }
  }
  flush();
}

uint64_t place_over_x(LerpSegments& segments, uint64_t out, uint64_t length) {
  if (segments.alpha_count != 1 || segments.rows.empty()) return out;
  const uint64_t x = segments.rows[0].x_offset;
  uint64_t done = 0;
  for (size_t row = 0; row < segments.rows.size(); row++) {
    const LerpSegment& segment = segments.rows[row];
    const uint64_t item = item_size(segment.out_dtype);
    if (segment.x_dtype != segment.out_dtype || segment.x_offset != x + done ||
        segments.out_offsets[row] != out + done) {
      return out;
    }
    // What is not aligned is computed aside and after the others: too late.
    if (segment.x_offset % item || done % item || segment.y_offset % item_size(segment.y_dtype)) return out;
    done += segment.count * item;
  }
  if (done != length) return out;
  const uint64_t place = x / kIoPage * kIoPage;
  for (const LerpSegment& segment : segments.rows) {
    const uint64_t y_end = segment.y_offset + segment.count * item_size(segment.y_dtype);
    if (segment.y_offset < x + length && y_end > place) return out;
  }
  for (uint64_t& offset : segments.out_offsets) offset = offset - out + place;
  return place;
}

}  // namespace wisemerge
