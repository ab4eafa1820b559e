#include "core/block_cutter.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/region_packer.h"
#include "core/status.h"
#include "wisemerge/compare.h"

namespace wisemerge {
namespace {

FilePlace skip(FilePlace from, uint64_t elements, DType dtype) {
  return {from.file, from.position + elements * item_size(dtype)};
}

uint64_t end_of(const StreamSegment& segment) {
  return segment.out_at + segment.count * item_size(segment.out_dtype);
}

// A range of an output, block by block.
class RangeCutter {
 public:
  RangeCutter(const StreamWork& work, const SlotShape& shape)
      : work_(work), segments_(work.segments), shape_(shape) {}

  void cut(std::vector<Block>& blocks) {
    for (uint64_t at = 0; at < work_.length; at += blocks.back().length) {
      while (first_ < segments_.size() && end_of(segments_[first_]) <= at) first_++;
      std::optional<Block> block;
      for (uint64_t size = shape_.block; !block; size = whole_pages(size / 2)) {
        block = build(at, whole_elements(at, std::min(at + size, work_.length)));
        if (!block && size <= kIoPage) {
          throw Error("ERR_INTERNAL_RANGE", "the inputs of one page of output do not fit into regions of " +
                                                std::to_string(shape_.x) + " and " +
                                                std::to_string(shape_.y) + " bytes");
        }
      }
      blocks.push_back(std::move(*block));
    }
  }

 private:
  // The largest place up to `limit` that does not split an element.
  uint64_t whole_elements(uint64_t at, uint64_t limit) const {
    for (size_t i = first_; i < segments_.size() && segments_[i].out_at < limit; i++) {
      const StreamSegment& segment = segments_[i];
      if (end_of(segment) <= limit) continue;
      return limit - (limit - std::max(at, segment.out_at)) % item_size(segment.out_dtype);
    }
    return limit;
  }

  // Bytes [from, to) of the range; none if their inputs do not fit.
  std::optional<Block> build(uint64_t from, uint64_t to) const {
    struct Piece {
      size_t segment;
      uint64_t count, out;
      RegionPacker::Place x, y;
    };
    RegionPacker x(work_.files), y(work_.files);
    std::vector<Piece> pieces;
    for (size_t i = first_; i < segments_.size() && segments_[i].out_at < to; i++) {
      const StreamSegment& segment = segments_[i];
      const uint64_t begin = std::max(from, segment.out_at), end = std::min(to, end_of(segment));
      if (begin >= end) continue;
      const uint64_t item = item_size(segment.out_dtype);
      const uint64_t before = (begin - segment.out_at) / item, count = (end - begin) / item;
      Piece piece{i, count, begin - from, {}, {}};
      piece.x = x.add(skip(segment.x, before, segment.x_dtype), count, item_size(segment.x_dtype));
      if (!segment.copied) {
        piece.y = y.add(skip(segment.y, before, segment.y_dtype), count, item_size(segment.y_dtype));
      }
      pieces.push_back(piece);
    }
    if (x.pack() > shape_.x || y.pack() > shape_.y) return std::nullopt;

    Block block;
    block.output = work_.output;
    block.position = work_.position + from;
    block.length = to - from;
    for (uint32_t k = 0; k < shape_.outputs; k++) block.outs.push_back(shape_.out(k));
    x.append_reads(0, block.reads);
    y.append_reads(shape_.x, block.reads);
    block.lerp.alpha_count = shape_.outputs;
    for (const Piece& piece : pieces) {
      const StreamSegment& segment = segments_[piece.segment];
      if (segment.copied) {
        for (const uint64_t out : block.outs) {
          block.copies.push_back({x.at(piece.x), out + piece.out, piece.count});
        }
        continue;
      }
      block.lerp.rows.push_back({segment.x_dtype, segment.y_dtype, segment.out_dtype, piece.count,
                                 x.at(piece.x), shape_.x + y.at(piece.y)});
      for (const uint64_t out : block.outs) block.lerp.out_offsets.push_back(out + piece.out);
      block.lerp.alpha_sets.push_back(segment.alpha_set);
      block.results.push_back(piece.segment);
    }
    return block;
  }

  const StreamWork& work_;
  const std::vector<StreamSegment>& segments_;
  const SlotShape& shape_;
  size_t first_ = 0;  // the first segment that is not behind us
};

// Segments to compare, as many together as fit.
class SpanCutter {
 public:
  SpanCutter(const StreamWork& work, const SlotShape& shape)
      : work_(work), shape_(shape), x_(work.files), y_(work.files) {}

  void add(const StreamSegment& segment, std::vector<Block>& blocks) {
    for (uint64_t first = 0; first < segment.count;) {
      const uint64_t count = room(segment, first);
      if (count == 0) {
        if (pieces_.empty()) {
          throw Error("ERR_INTERNAL_RANGE", "a span does not fit into regions of " +
                                                std::to_string(shape_.x) + " and " +
                                                std::to_string(shape_.y) + " bytes");
        }
        finish(blocks);
        continue;
      }
      pieces_.push_back({segment.x_dtype, segment.y_dtype, count,
                         x_.add(skip(segment.x, first, segment.x_dtype), count, item_size(segment.x_dtype)),
                         y_.add(skip(segment.y, first, segment.y_dtype), count, item_size(segment.y_dtype)),
                         sums_});
      sums_ += spans_of(count);
      first += count;
    }
  }

  void finish(std::vector<Block>& blocks) {
    if (pieces_.empty()) return;
    x_.pack();
    y_.pack();
    Block& block = blocks.emplace_back();
    x_.append_reads(0, block.reads);
    y_.append_reads(shape_.x, block.reads);
    for (const Piece& piece : pieces_) {
      block.compare.push_back(
          {piece.x_dtype, piece.y_dtype, piece.count, x_.at(piece.x), shape_.x + y_.at(piece.y)});
      block.results.push_back(piece.sums);
    }
    pieces_.clear();
    x_ = RegionPacker(work_.files);
    y_ = RegionPacker(work_.files);
  }

 private:
  struct Piece {
    DType x_dtype, y_dtype;
    uint64_t count;
    RegionPacker::Place x, y;
    size_t sums;
  };

  // Elements from `first` on that still fit: whole spans, or the rest of the segment.
  uint64_t room(const StreamSegment& segment, uint64_t first) const {
    const auto elements = [](const RegionPacker& region, uint64_t bytes, DType dtype) {
      const uint64_t taken = region.bound(1) - 1;
      return taken < bytes ? (bytes - taken) / item_size(dtype) : 0;
    };
    const uint64_t most =
        std::min(elements(x_, shape_.x, segment.x_dtype), elements(y_, shape_.y, segment.y_dtype));
    const uint64_t rest = segment.count - first;
    return rest <= most ? rest : most / kCompareSpan * kCompareSpan;
  }

  const StreamWork& work_;
  const SlotShape& shape_;
  RegionPacker x_, y_;
  std::vector<Piece> pieces_;
  size_t sums_ = 0;
};

}  // namespace

std::vector<Block> cut_blocks(const StreamWork& work, const SlotShape& shape) {
  std::vector<Block> blocks;
  if (shape.outputs > 0) {
    RangeCutter(work, shape).cut(blocks);
  } else {
    SpanCutter spans(work, shape);
    for (const StreamSegment& segment : work.segments) spans.add(segment, blocks);
    spans.finish(blocks);
  }
  return blocks;
}

}  // namespace wisemerge
