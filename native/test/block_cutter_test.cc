// Blocks of any layout of tensors, held to what makes them right: they tile the output, cover every element
// once, and read exactly what they need to where it is used.
#include "core/block_cutter.h"

#include <algorithm>
#include <numeric>

#include "check.h"
#include "core/region_packer.h"
#include "error_code.h"
#include "wisemerge/compare.h"

namespace wisemerge::test {
namespace {

constexpr DType kF8 = DType::kF8E4M3, kBF16 = DType::kBF16, kF32 = DType::kF32, kF64 = DType::kF64;

class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed * 2 + 1) {}
  // Below `end`.
  uint64_t operator()(uint64_t end) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return (state_ >> 33) % end;
  }

 private:
  uint64_t state_;
};

struct Spec {
  uint64_t count;
  DType x, y, out;
  bool copied = false;
};

// Tensors one after another from `header` on, whose inputs lie in two files each, from `x_start` and
// `y_start` on; those of y in the order of `y_order`. Only the first file of either can be read past the page
// cache.
StreamWork make(const std::vector<Spec>& specs, uint64_t x_start, uint64_t y_start,
                const std::vector<size_t>& y_order, uint64_t header = 4096) {
  StreamWork work;
  work.files = {{10, 20}, {11, -1}, {12, 22}, {13, -1}};
  work.output = 3;
  work.position = 8192;
  work.length = header;
  for (size_t i = 0; i < specs.size(); i++) {
    const Spec& spec = specs[i];
    const auto alphas = static_cast<uint32_t>(i % 3);
    StreamSegment segment{spec.x, spec.y, spec.out, spec.count, {}, {}, work.length, alphas, spec.copied};
    segment.x.file = 2 * i < specs.size() ? 0 : 1;
    work.length += spec.count * item_size(spec.out);
    work.segments.push_back(segment);
  }
  uint64_t x_ends[2] = {x_start, x_start}, y_ends[2] = {y_start, y_start};
  for (StreamSegment& segment : work.segments) {
    segment.x.position = x_ends[segment.x.file];
    x_ends[segment.x.file] += segment.count * item_size(segment.x_dtype);
  }
  for (size_t i = 0; i < y_order.size(); i++) {
    StreamSegment& segment = work.segments[y_order[i]];
    const uint32_t file = 2 * i < specs.size() ? 0 : 1;
    segment.y = {2 + file, y_ends[file]};
    y_ends[file] += segment.count * item_size(segment.y_dtype);
  }
  return work;
}

std::vector<size_t> in_order(size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  return order;
}

SlotShape shape_for(const StreamWork& work, uint64_t block, uint32_t outputs) {
  uint64_t ratio = 1;
  for (const StreamSegment& s : work.segments) {
    ratio = std::max<uint64_t>(ratio, item_size(s.x_dtype) / item_size(s.out_dtype));
    ratio = std::max<uint64_t>(ratio, item_size(s.y_dtype) / item_size(s.out_dtype));
  }
  const uint64_t region = whole_pages(block * ratio + block * ratio / 8 + 2 * kIoPage);
  return {block, region, region, outputs};
}

// Reads keep inside their regions and off each other, and direct ones to whole pages.
void check_reads(const Block& block, const StreamWork& work, const SlotShape& shape) {
  std::vector<std::pair<uint64_t, uint64_t>> touched;
  for (const BlockRead& read : block.reads) {
    CHECK(read.wanted > 0 && read.wanted <= read.length);
    if (read.direct) {
      CHECK(work.files[read.file].direct >= 0);
      CHECK_EQ(read.position % kIoPage + read.length % kIoPage + read.at % kIoPage, uint64_t{0});
      CHECK(read.length < read.wanted + kIoPage);
      CHECK(read.wanted >= kMinDirectRead);
    } else {
      CHECK_EQ(read.length, read.wanted);
    }
    const uint64_t end = read.at + read.length;
    CHECK(end <= shape.x || (read.at >= shape.x && end <= shape.x + shape.y));
    touched.push_back({read.at, end});
  }
  std::sort(touched.begin(), touched.end());
  for (size_t i = 1; i < touched.size(); i++) CHECK(touched[i].first >= touched[i - 1].second);
}

// `bytes` bytes at `at` of the slot hold those of the file from `from` on.
void check_holds(const Block& block, uint64_t at, uint64_t bytes, FilePlace from) {
  CHECK(std::any_of(block.reads.begin(), block.reads.end(), [&](const BlockRead& read) {
    return read.file == from.file && read.position <= from.position && read.at <= at &&
           from.position - read.position == at - read.at && at + bytes <= read.at + read.wanted;
  }));
}

std::vector<Block> check_range(const StreamWork& work, const SlotShape& shape, bool aligned) {
  const std::vector<Block> blocks = cut_blocks(work, shape);
  std::vector<uint64_t> done(work.segments.size());
  uint64_t position = work.position;
  for (const Block& block : blocks) {
    CHECK_EQ(block.output, work.output);
    CHECK_EQ(block.position, position);
    CHECK(block.length > 0 && block.length <= shape.block);
    position += block.length;
    if (aligned && position < work.position + work.length) CHECK_EQ(position % kIoPage, uint64_t{0});
    check_reads(block, work, shape);
    CHECK_EQ(block.outs.size(), size_t{shape.outputs});
    for (uint32_t k = 0; k < shape.outputs; k++) CHECK_EQ(block.outs[k], shape.out(k));
    const LerpSegments& lerp = block.lerp;
    CHECK_EQ(lerp.alpha_count, shape.outputs);
    // Copies and interpolated rows, each in the order of their segments.
    size_t row = 0, copy = 0;
    for (size_t i = 0; i < work.segments.size(); i++) {
      const StreamSegment& segment = work.segments[i];
      const uint64_t begin = segment.out_at + done[i] * item_size(segment.out_dtype);
      const uint64_t block_begin = block.position - work.position, block_end = block_begin + block.length;
      if (done[i] == segment.count || begin >= block_end) continue;
      const uint64_t x_bytes = done[i] * item_size(segment.x_dtype);
      const FilePlace x = {segment.x.file, segment.x.position + x_bytes};
      if (segment.copied) {
        const uint64_t bytes = std::min(block_end, segment.out_at + segment.count) - begin;
        for (uint32_t k = 0; k < shape.outputs; k++, copy++) {
          CHECK_EQ(block.copies[copy].length, bytes);
          CHECK_EQ(block.copies[copy].to, block.outs[k] + begin - block_begin);
          check_holds(block, block.copies[copy].from, bytes, x);
        }
        done[i] += bytes;
        continue;
      }
      const LerpSegment& part = lerp.rows[row];
      CHECK_EQ(block.results[row], i);
      CHECK_EQ(lerp.alpha_sets[row], segment.alpha_set);
      CHECK(part.count > 0);
      CHECK(part.x_dtype == segment.x_dtype && part.y_dtype == segment.y_dtype &&
            part.out_dtype == segment.out_dtype);
      for (uint32_t k = 0; k < shape.outputs; k++) {
        CHECK_EQ(lerp.out_offsets[row * shape.outputs + k], block.outs[k] + begin - block_begin);
        CHECK(begin + part.count * item_size(segment.out_dtype) <= block_end);
      }
      check_holds(block, part.x_offset, part.count * item_size(segment.x_dtype), x);
      check_holds(block, part.y_offset, part.count * item_size(segment.y_dtype),
                  {segment.y.file, segment.y.position + done[i] * item_size(segment.y_dtype)});
      done[i] += part.count;
      row++;
    }
    CHECK_EQ(row, lerp.rows.size());
    CHECK_EQ(row, lerp.alpha_sets.size());
    CHECK_EQ(copy, block.copies.size());
  }
  CHECK_EQ(position, work.position + work.length);
  for (size_t i = 0; i < done.size(); i++) CHECK_EQ(done[i], work.segments[i].count);
  return blocks;
}

uint64_t any_count(Numbers& random) {
  switch (random(10)) {
    case 0:
      return random(400000);
    case 1:
    case 2:
      return 65530 + random(16);  // around the length from which reads are direct
    case 3:
    case 4:
    case 5:
      return random(9000);
    default:
      return random(40);
  }
}

DType any_float(Numbers& random) {
  constexpr DType kAll[] = {kF64, kF32, DType::kF16, kBF16, kF8};
  return kAll[random(5)];
}

}  // namespace

TEST("block cutter: blocks tile a range and read what they need, for any layout") {
  for (uint64_t seed = 0; seed < (kSanitized ? 30 : 150); seed++) {
    Numbers random(seed);
    std::vector<Spec> specs(random(40));
    for (Spec& spec : specs) {
      spec = {any_count(random), any_float(random), any_float(random), any_float(random)};
      if (random(4) == 0) spec = {spec.count, DType::kU8, DType::kU8, DType::kU8, true};
    }
    // In descending order of size every tensor is aligned to its elements, in any other perhaps not.
    const bool aligned = random(2) == 0;
    if (aligned) {
      std::stable_sort(specs.begin(), specs.end(),
                       [](const Spec& a, const Spec& b) { return item_size(a.out) > item_size(b.out); });
    }
    std::vector<size_t> order = in_order(specs.size());
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random(i)]);
    const auto start = [&] { return random(2) ? uint64_t{4096} : 10 + random(9000); };
    const uint64_t x_start = start(), y_start = start();
    const StreamWork work = make(specs, x_start, y_start, order);
    constexpr uint64_t kBlocks[] = {256 << 10, 320 << 10, 1 << 20};
    check_range(work, shape_for(work, kBlocks[random(3)], 1 + static_cast<uint32_t>(random(3))), aligned);
  }
}

TEST("block cutter: thousands of scattered tensors of one and eight bytes") {
  std::vector<Spec> specs;
  for (uint64_t i = 0; i < 3000; i++) {
    const DType dtype = i % 2 ? kF64 : kF8;
    specs.push_back({1 + i % 7, dtype, dtype, dtype});
  }
  std::vector<size_t> order = in_order(specs.size());
  std::stable_sort(order.begin(), order.end(),
                   [](size_t a, size_t b) { return a * 7919 % 3000 < b * 7919 % 3000; });
  const StreamWork work = make(specs, 8, 11, order);
  check_range(work, shape_for(work, 256 << 10, 1), false);
}

TEST("block cutter: neighbours in an input are read at once") {
  const std::vector<Spec> specs(50, {100, kBF16, kBF16, kBF16});
  const StreamWork work = make(specs, 4096, 4096, in_order(50));
  const std::vector<Block> blocks = check_range(work, shape_for(work, 1 << 20, 1), true);
  CHECK_EQ(blocks.size(), size_t{1});
  // Half of the tensors lie in either of the two files.
  CHECK_EQ(blocks[0].reads.size(), size_t{4});
  for (const BlockRead& read : blocks[0].reads) CHECK_EQ(read.length, uint64_t{5000});
}

TEST("block cutter: blocks shrink where their inputs would not fit, and are refused where a page would not") {
  // Direct reads of 64 KiB each, every one from an odd place: up to two pages of alignment per read.
  const std::vector<Spec> specs(128, {65537, kF8, kF8, kF8});
  std::vector<size_t> order;
  for (size_t i = 0; i < 128; i++) order.push_back(i * 37 % 128);
  StreamWork work = make(specs, 4097, 4099, order);
  for (StreamFile& file : work.files) file.direct = file.cached;
  SlotShape shape = shape_for(work, 1 << 20, 1);
  check_range(work, shape, true);
  shape.y = shape.block;
  const std::vector<Block> blocks = check_range(work, shape, true);
  CHECK(std::any_of(blocks.begin(), blocks.end() - 1, [](const Block& b) { return b.length < 1 << 20; }));
  shape.y = kIoPage;
  check_range(work, shape, true);
  const StreamWork wide = make({{5000, kF64, kF64, kF8}}, 4096, 4096, {0});
  CHECK_EQ(code_of([&] { cut_blocks(wide, shape); }), std::string("ERR_INTERNAL_RANGE"));
}

TEST("block cutter: offsets are exact in a tensor of 6 GB") {
  const std::vector<Spec> specs = {{3000000000, kBF16, kBF16, kBF16}, {5, kF32, kF32, kF32}};
  const StreamWork work = make(specs, 4096, 100, {0, 1});
  const std::vector<Block> blocks = check_range(work, shape_for(work, 8 << 20, 1), true);
  CHECK_EQ(blocks.back().position + blocks.back().length, uint64_t{8192 + 4096 + 6000000020});
  CHECK_EQ(blocks.back().lerp.rows.back().count, uint64_t{5});
}

TEST("block cutter: a range without tensors is one of header") {
  const StreamWork work = make({}, 4096, 4096, {});
  const std::vector<Block> blocks = check_range(work, shape_for(work, 256 << 10, 1), true);
  CHECK_EQ(blocks.size(), size_t{1});
  CHECK(blocks[0].reads.empty());
}

namespace {

// Blocks of a comparison hold every element once, in whole spans, inside their regions.
void check_spans(const StreamWork& work, uint64_t region) {
  const SlotShape shape{0, region, region, 0};
  size_t segment = 0, sums = 0;
  uint64_t done = 0;
  const auto next = [&] {
    while (segment < work.segments.size() && done == work.segments[segment].count) segment++, done = 0;
  };
  next();
  for (const Block& block : cut_blocks(work, shape)) {
    CHECK(!block.compare.empty());
    check_reads(block, work, shape);
    for (size_t row = 0; row < block.compare.size(); row++) {
      const CompareSegment& part = block.compare[row];
      const StreamSegment& of = work.segments[segment];
      CHECK(part.x_dtype == of.x_dtype && part.y_dtype == of.y_dtype);
      CHECK(done + part.count == of.count || part.count % kCompareSpan == 0);
      CHECK_EQ(block.results[row], sums);
      check_holds(block, part.x_offset, part.count * item_size(of.x_dtype),
                  {of.x.file, of.x.position + done * item_size(of.x_dtype)});
      check_holds(block, part.y_offset, part.count * item_size(of.y_dtype),
                  {of.y.file, of.y.position + done * item_size(of.y_dtype)});
      sums += spans_of(part.count);
      done += part.count;
      next();
    }
  }
  CHECK_EQ(segment, work.segments.size());
}

}  // namespace

TEST("block cutter: comparisons hold whole spans and fill their regions, for any tensors") {
  for (uint64_t seed = 0; seed < (kSanitized ? 30 : 150); seed++) {
    Numbers random(seed);
    std::vector<Spec> specs(1 + random(60));
    for (Spec& spec : specs) {
      const uint64_t most[] = {100, 40000, 3 * kCompareSpan};
      const DType x = any_float(random), y = any_float(random);
      spec = {random(most[random(3)] + 1), x, y, x};
    }
    const StreamWork work = make(specs, 10 + random(9000), 4096, in_order(specs.size()));
    check_spans(work, 8 * kCompareSpan + 4 * kIoPage);
    check_spans(work, 20 * kCompareSpan);
  }
}

TEST("block cutter: comparisons fit their regions where small neighbours join into one direct read") {
  // Each is below the length of a direct read; together they fill a region to the last bytes.
  for (const uint64_t bytes : {64, 999, 60000}) {
    const std::vector<Spec> specs(2000000 / bytes, {bytes, kF8, kF8, kF8});
    check_spans(make(specs, 4097, 8191, in_order(specs.size())), kCompareSpan + 4 * kIoPage);
  }
  const StreamWork wide = make({{kCompareSpan, kF64, kF8, kF8}}, 4096, 4096, {0});
  CHECK_EQ(code_of([&] {
             cut_blocks(wide, {0, 7 * kCompareSpan, 1 << 20, 0});
           }),
           std::string("ERR_INTERNAL_RANGE"));
}

}  // namespace wisemerge::test
