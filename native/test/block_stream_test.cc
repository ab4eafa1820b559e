// Blocks from files to files on the stream's own threads, compared with the bytes of the files.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "block_stream_fixture.h"
#include "core/block_pieces.h"
#include "wisemerge/convert.h"

namespace wisemerge::test {

TEST("block stream: interpolates two files into one per alpha, and hashes them in order") {
  constexpr uint64_t kElements = 40 * kBlock / 4 + 123;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements, 9));
  for (const Way& way : kWays) {
    for (const int threads : {1, 4}) {
      const TemporaryFile half, all;
      BlockStream stream(way.options(options({0.5, 1}, threads)));
      const uint32_t output = stream.add_output({half.fd(), all.fd()}, way.outputs(2), {});
      const auto batch = run(stream, way.work(lerp_work(x.fd(), y.fd(), kElements, output)));
      CHECK(!batch->error);
      CHECK(batch->non_finite == (std::vector<uint64_t>{0, 0}));
      CHECK(way.read(half, 4 * kElements) == floats(kElements, 5));
      CHECK(way.read(all, 4 * kElements) == floats(kElements, 9));
      const std::vector<uint64_t> digests = stream.finish_output(output);
      for (size_t k = 0; k < 2; k++) {
        const std::vector<uint8_t> bytes = floats(kElements, k ? 9 : 5);
        Xxh3 whole;
        whole.update(bytes.data(), bytes.size());
        CHECK_EQ(digests[k], whole.digest());
      }
    }
  }
}

// x and y lie in their files, and so in the slot, at distances from a page like those behind real headers.
TEST("block stream: one output is written over its first input, to the same bytes and hash") {
  constexpr uint64_t kElements = 11 * kBlock / 4 + 37, kHeader = 4096 + 80, kFirst = kElements / 3;
  const auto behind = [](uint64_t bytes, const std::vector<uint8_t>& rest) {
    std::vector<uint8_t> all(bytes + rest.size(), 7);
    std::memcpy(all.data() + bytes, rest.data(), rest.size());
    return all;
  };
  const std::vector<uint8_t> wanted = behind(kHeader, floats(kElements, 5));
  Xxh3 whole;
  whole.update(wanted.data(), wanted.size());
  const TemporaryFile y(behind(4, floats(kElements, 9)));
  for (const uint64_t x_at : {uint64_t{0}, uint64_t{8}, uint64_t{4092}, uint64_t{4094}}) {
    const TemporaryFile x(behind(x_at, floats(kElements, 1)));
    for (const uint64_t piece : {uint64_t{4}, uint64_t{1000}, uint64_t{256 << 10}}) {
      for (const bool in_place : {true, false}) {
        const Way& way = kWays[piece == 1000];
        const TemporaryFile out;
        BlockStreamOptions made = way.options(options({0.5}));
        made.piece_bytes = piece;
        made.in_place = in_place;
        BlockStream stream(std::move(made));
        const uint32_t output =
            stream.add_output({out.fd()}, way.outputs(1), std::vector<uint8_t>(kHeader, 7));
        // Of two tensors side by side. Read in whole pages, as direct reads are.
        StreamWork work{{{x.fd(), x.fd()}, {y.fd(), y.fd()}}, output, 0, wanted.size(), {}};
        for (const uint64_t first : {uint64_t{0}, kFirst}) {
          const uint64_t count = first ? kElements - first : kFirst;
          work.segments.push_back(f32_segment(count, 0, kHeader + 4 * first));
          work.segments.back().x.position = x_at + 4 * first;
          work.segments.back().y.position = 4 + 4 * first;
        }
        CHECK(!run(stream, work)->error);
        CHECK(way.read(out, wanted.size()) == wanted);
        CHECK_EQ(stream.finish_output(output)[0], whole.digest());
      }
    }
  }
}

TEST("block stream: copies bytes into every output, as they are, between what it interpolates") {
  constexpr uint64_t kElements = 3 * kBlock / 4, kBytes = 2 * kBlock + 31;
  std::vector<uint8_t> bytes(kBytes);
  for (size_t i = 0; i < kBytes; i++) bytes[i] = static_cast<uint8_t>(i * 37 + i / 256);
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements, 9)), other(bytes), first, second;
  BlockStream stream(options({0.5, 1}));
  const uint32_t output = stream.add_output({first.fd(), second.fd()}, {false, false}, {});
  StreamWork work = lerp_work(x.fd(), y.fd(), kElements, output);
  work.files.push_back({other.fd(), other.fd()});
  work.files.push_back({1 << 20, 1 << 20});  // of no use, and not shared
  constexpr DType kU8 = DType::kU8;
  work.segments.push_back({kU8, kU8, kU8, kBytes - 11, {2, 11}, {}, work.length, 0, true});
  work.length += kBytes - 11;
  CHECK(!run(stream, work)->error);
  for (const auto& [file, value] : {std::pair{&first, 5.0f}, {&second, 9.0f}}) {
    std::vector<uint8_t> wanted = floats(kElements, value);
    wanted.insert(wanted.end(), bytes.begin() + 11, bytes.end());
    CHECK(file->read() == wanted);
  }
}

TEST("block stream: ranges of several outputs, handed over together, in the order of each") {
  constexpr uint64_t kElements = 9 * kBlock / 4 + 5;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements, 9));
  for (const Way& way : kWays) {
    const TemporaryFile first, second;
    BlockStream stream(way.options(options({0.5})));
    std::vector<Begun> all;
    for (const TemporaryFile* const out : {&first, &second}) {
      const uint32_t output = stream.add_output({out->fd()}, way.outputs(1), {});
      StreamWork work = way.work(lerp_work(x.fd(), y.fd(), kElements, output));
      for (work.position = 0; work.position < 4 * kElements; work.position += work.length) {
        work.length = std::min<uint64_t>(3 * kBlock, 4 * kElements - work.position);
        work.segments = {f32_segment(work.length / 4, work.position)};
        all.push_back(begin(stream, work));
      }
    }
    for (const Begun& begun : all) CHECK(begun.over() && !begun.batch->error);
    CHECK(way.read(first, 4 * kElements) == floats(kElements, 5));
    CHECK(way.read(second, 4 * kElements) == floats(kElements, 5));
  }
}

TEST("block stream: counts what is not finite by segment and alpha, however segments are cut") {
  constexpr uint64_t kElements = 5 * kBlock / 4;
  std::vector<uint8_t> tuned = floats(kElements, 9);
  const float infinity = HUGE_VALF;
  for (const uint64_t at : {uint64_t{3}, uint64_t{40000}, kElements - 1}) {
    std::memcpy(&tuned[4 * at], &infinity, 4);
  }
  const TemporaryFile x(floats(kElements, 1)), y(tuned), none, all;
  BlockStream stream(options({0, 1}));
  const uint32_t output = stream.add_output({none.fd(), all.fd()}, {false, false}, {});
  StreamWork work{{{x.fd(), -1}, {y.fd(), -1}}, output, 0, kElements * 4, {}};
  work.segments = {f32_segment(1000), f32_segment(kElements - 1000, 4000, 4000)};
  CHECK(run(stream, work)->non_finite == (std::vector<uint64_t>{0, 1, 0, 2}));
}

TEST("block pieces: an output takes the place of an x that is read in its order, and of no other") {
  const auto row = [](uint64_t count, uint64_t x, uint64_t y) {
    return LerpSegment{DType::kBF16, DType::kBF16, DType::kBF16, count, x, y};
  };
  LerpSegments good;
  good.alpha_count = 1;
  good.rows = {row(100, 5000, 20000), row(50, 5200, 20200)};
  good.out_offsets = {40960, 41160};
  LerpSegments one = good;
  CHECK_EQ(place_over_x(one, 40960, 300), uint64_t{4096});
  CHECK(one.out_offsets == (std::vector<uint64_t>{4096, 4296}));
  const auto refused = [&](const std::function<void(LerpSegments&)>& change, uint64_t length = 300) {
    LerpSegments other = good;
    change(other);
    const std::vector<uint64_t> before = other.out_offsets;
    CHECK_EQ(place_over_x(other, 40960, length), uint64_t{40960});
    CHECK(other.out_offsets == before);
  };
  refused([](LerpSegments& s) { s.alpha_count = 2; });
  refused([](LerpSegments& s) { s.rows[1].x_dtype = DType::kF16; });
  refused([](LerpSegments& s) { s.rows[1].x_offset += 2; });
  refused([](LerpSegments& s) { s.out_offsets[0] += 2; });
  refused([](LerpSegments& s) { s.rows[0].x_offset++, s.rows[1].x_offset++; });
  refused([](LerpSegments& s) { s.rows[1].y_offset++; });
  refused([](LerpSegments& s) { s.rows[0].y_offset = 4000; });
  refused([](LerpSegments& s) { s.rows[1].y_offset = 5250; });
  refused([](LerpSegments&) {}, 302);
}

TEST("block stream: segments have alphas of their own") {
  const TemporaryFile x(floats(64, 1)), y(floats(64, 9)), first, second;
  BlockStreamOptions made = options({0.5, 1});
  made.alphas.insert(made.alphas.end(), {0.25, 0});
  BlockStream stream(std::move(made));
  const uint32_t output = stream.add_output({first.fd(), second.fd()}, {false, false}, {});
  StreamWork work = lerp_work(x.fd(), y.fd(), 64, output);
  work.segments = {f32_segment(32), f32_segment(32, 128, 128)};
  work.segments[0].alpha_set = 1;
  CHECK(!run(stream, work)->error);
  const auto halves = [](float a, float b) {
    std::vector<uint8_t> bytes = floats(32, a);
    const std::vector<uint8_t> more = floats(32, b);
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
  };
  CHECK(first.read() == halves(3, 5 + 32));
  CHECK(second.read() == halves(1, 9 + 32));
}

TEST("block stream: compares, span by span, whatever fits a block") {
  constexpr uint64_t kElements = 3 * kCompareSpan + 5, kSpanBytes = 4 * kCompareSpan;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements, 3));
  for (const uint64_t region : {kSpanBytes + 4 * kIoPage, 2 * kSpanBytes + 7 * kIoPage}) {
    BlockStream stream(options(SlotShape{0, region, region, 0}, {}));
    StreamWork work{{{x.fd(), -1}, {y.fd(), y.fd()}}, 0, 0, 0, {}};
    work.segments = {f32_segment(7), f32_segment(kElements), f32_segment(1, 400)};
    const auto batch = run(stream, work);
    CHECK(!batch->error);
    const std::vector<uint64_t> counts = {7, kCompareSpan, kCompareSpan, kCompareSpan, 5, 1};
    CHECK_EQ(batch->sums.size(), counts.size());
    for (size_t i = 0; i < counts.size(); i++) {
      CHECK_EQ(batch->sums[i].dd, 4.0 * static_cast<double>(counts[i]));
      CHECK_EQ(batch->sums[i].max_abs, 2.0);
    }
  }
}

TEST("block stream: keeps its files, whatever becomes of the caller's descriptors") {
  constexpr uint64_t kElements = 10 * kBlock / 4;
  const TemporaryFile x(floats(kElements, 1)), out, bystander;
  BlockStream stream(options({0.5}));
  const int lent = dup(out.fd());
  const uint32_t output = stream.add_output({lent}, {false}, {});
  // The number now means another file, as when Node has closed it and somebody opened one.
  CHECK_EQ(dup2(bystander.fd(), lent), lent);
  const auto batch = run(stream, lerp_work(x.fd(), x.fd(), kElements, output));
  CHECK(!batch->error);
  CHECK(out.read() == floats(kElements, 1));
  CHECK(bystander.read().empty());
  close(lent);
}

}  // namespace wisemerge::test
