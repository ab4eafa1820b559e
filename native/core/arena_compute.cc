#include "core/arena_compute.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace wisemerge {
namespace {

// Elements per staged piece: one comparison span, so that staged sums fall on the contract's boundaries.
constexpr uint64_t kPiece = kCompareSpan;

// One operand of a staged segment: in place when its address is aligned, else a temporary of one piece.
class Operand {
 public:
  Operand(uint8_t* address, DType dtype, uint64_t count) : address_(address), size_(item_size(dtype)) {
    if (reinterpret_cast<uintptr_t>(address) % size_) {
      staged_ = std::make_unique<uint64_t[]>((std::min(count, kPiece) * size_ + 7) / 8);
    }
  }

  // Address of `count` elements from `first`, holding the operand's bytes if `load`.
  uint8_t* piece(uint64_t first, uint64_t count, bool load) {
    uint8_t* const source = address_ + first * size_;
    if (!staged_) return source;
    if (load) std::memcpy(staged_.get(), source, count * size_);
    return reinterpret_cast<uint8_t*>(staged_.get());
  }

  void store(uint64_t first, uint64_t count) {
    if (staged_) std::memcpy(address_ + first * size_, staged_.get(), count * size_);
  }

 private:
  uint8_t* const address_;
  const size_t size_;
  std::unique_ptr<uint64_t[]> staged_;
};

bool aligned(const void* address, DType dtype) {
  return reinterpret_cast<uintptr_t>(address) % item_size(dtype) == 0;
}

void lerp_staged(Engine& engine, const WmLerp& whole, WmCancelFlag cancelled) {
  const auto bytes = [](const void* address) { return static_cast<uint8_t*>(const_cast<void*>(address)); };
  Operand x(bytes(whole.x), static_cast<DType>(whole.x_dtype), whole.count);
  Operand y(bytes(whole.y), static_cast<DType>(whole.y_dtype), whole.count);
  std::vector<Operand> outs;
  for (uint32_t k = 0; k < whole.alpha_count; k++) {
    outs.emplace_back(bytes(whole.outs[k]), static_cast<DType>(whole.out_dtype), whole.count);
  }
  std::vector<void*> addresses(whole.alpha_count);
  std::vector<uint64_t> non_finite(whole.alpha_count);
  for (uint64_t first = 0; first < whole.count; first += kPiece) {
    WmLerp piece = whole;
    piece.count = std::min(kPiece, whole.count - first);
    piece.x = x.piece(first, piece.count, true);
    piece.y = y.piece(first, piece.count, true);
    for (uint32_t k = 0; k < whole.alpha_count; k++) {
      addresses[k] = outs[k].piece(first, piece.count, false);
    }
    piece.outs = addresses.data();
    piece.non_finite = non_finite.data();
    engine.lerp({piece}, cancelled);
    for (uint32_t k = 0; k < whole.alpha_count; k++) {
      outs[k].store(first, piece.count);
      whole.non_finite[k] += non_finite[k];
    }
  }
}

void compare_staged(Engine& engine, const WmCompare& whole, WmCancelFlag cancelled) {
  const auto bytes = [](const void* address) { return static_cast<uint8_t*>(const_cast<void*>(address)); };
  Operand x(bytes(whole.x), static_cast<DType>(whole.x_dtype), whole.count);
  Operand y(bytes(whole.y), static_cast<DType>(whole.y_dtype), whole.count);
  auto* sums = static_cast<CompareSums*>(whole.sums);
  for (uint64_t first = 0; first < whole.count; first += kPiece) {
    WmCompare piece = whole;
    piece.count = std::min(kPiece, whole.count - first);
    piece.x = x.piece(first, piece.count, true);
    piece.y = y.piece(first, piece.count, true);
    piece.sums = sums++;
    engine.compare({piece}, cancelled);
  }
}

}  // namespace

std::vector<uint64_t> lerp_arena(Engine& engine, uint8_t* arena, const LerpSegments& segments,
                                 const std::vector<double>& alphas, WmCancelFlag cancelled) {
  const size_t alpha_count = segments.alpha_count;
  std::vector<uint64_t> non_finite(segments.rows.size() * alpha_count, 0);
  std::vector<void*> outs(segments.out_offsets.size());
  std::transform(segments.out_offsets.begin(), segments.out_offsets.end(), outs.begin(),
                 [arena](uint64_t offset) { return arena + offset; });
  std::vector<WmLerp> in_place, staged;
  for (size_t row = 0; row < segments.rows.size(); row++) {
    const LerpSegment& segment = segments.rows[row];
    if (segment.count == 0) continue;
    const size_t set = segments.alpha_sets.empty() ? 0 : segments.alpha_sets[row];
    const WmLerp item{static_cast<int32_t>(segment.x_dtype),
                      static_cast<int32_t>(segment.y_dtype),
                      static_cast<int32_t>(segment.out_dtype),
                      static_cast<uint32_t>(alpha_count),
                      segment.count,
                      arena + segment.x_offset,
                      arena + segment.y_offset,
                      alphas.data() + set * alpha_count,
                      outs.data() + row * alpha_count,
                      non_finite.data() + row * alpha_count};
    const bool direct = aligned(item.x, segment.x_dtype) && aligned(item.y, segment.y_dtype) &&
                        std::all_of(item.outs, item.outs + alpha_count,
                                    [&](const void* out) { return aligned(out, segment.out_dtype); });
    (direct ? in_place : staged).push_back(item);
  }
  if (!in_place.empty()) engine.lerp(in_place, cancelled);
  for (const WmLerp& item : staged) lerp_staged(engine, item, cancelled);
  return non_finite;
}

std::vector<CompareSums> compare_arena(Engine& engine, const uint8_t* arena,
                                       const std::vector<CompareSegment>& segments, WmCancelFlag cancelled) {
  uint64_t spans = 0;
  for (const CompareSegment& segment : segments) spans += spans_of(segment.count);
  std::vector<CompareSums> sums(spans);
  CompareSums* next = sums.data();
  std::vector<WmCompare> in_place, staged;
  for (const CompareSegment& segment : segments) {
    if (segment.count == 0) continue;
    const WmCompare item{static_cast<int32_t>(segment.x_dtype),
                         static_cast<int32_t>(segment.y_dtype),
                         segment.count,
                         arena + segment.x_offset,
                         arena + segment.y_offset,
                         next};
    next += spans_of(segment.count);
    const bool direct = aligned(item.x, segment.x_dtype) && aligned(item.y, segment.y_dtype);
    (direct ? in_place : staged).push_back(item);
  }
  if (!in_place.empty()) engine.compare(in_place, cancelled);
  for (const WmCompare& item : staged) compare_staged(engine, item, cancelled);
  return sums;
}

}  // namespace wisemerge
