// Blocks from files to files on the stream's own threads, compared with the bytes of the files.
#include <fcntl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "block_stream_fixture.h"
#include "core/block_pieces.h"
#include "wisemerge/convert.h"

namespace wisemerge::test {

TEST("block stream: interpolates two files into one per alpha, and hashes them in order") {
  constexpr uint64_t kElements = 40 * kBlock / 4 + 123;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements, 9));
  for (const int threads : {1, 4}) {
    const TemporaryFile half, all;
    BlockStreamOptions made = options({0.5, 1}, threads);
    const std::vector<uint64_t> outs = made.outs;
    BlockStream stream(std::move(made));
    const uint32_t output = stream.add_output({half.fd(), all.fd()}, {false, false}, {});
    const auto batch = run(stream, lerp_rows(x.fd(), y.fd(), kElements, output), outs);
    CHECK(!batch->error);
    CHECK_EQ(batch->non_finite.size(), size_t{41});
    for (const auto& counts : batch->non_finite) CHECK(counts == (std::vector<uint64_t>{0, 0}));
    CHECK(half.read() == floats(kElements, 5));
    CHECK(all.read() == floats(kElements, 9));
    const std::vector<uint64_t> digests = stream.finish_output(output);
    for (size_t k = 0; k < 2; k++) {
      const std::vector<uint8_t> bytes = floats(kElements, k ? 9 : 5);
      Xxh3 whole;
      whole.update(bytes.data(), bytes.size());
      CHECK_EQ(digests[k], whole.digest());
    }
  }
}

// x, y and the output lie in the slot at distances like those of files whose headers differ in length.
TEST("block stream: one output is written over its first input, to the same bytes and hash") {
  constexpr double kF32 = static_cast<double>(DType::kF32);
  constexpr uint64_t kElements = 11 * kBlock / 4 + 37, kHeader = 4096 + 80;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements, 9));
  std::vector<uint8_t> wanted(kHeader, ' ');
  const std::vector<uint8_t> halves = floats(kElements, 5);
  wanted.insert(wanted.end(), halves.begin(), halves.end());
  Xxh3 whole;
  whole.update(wanted.data(), wanted.size());
  for (const uint64_t x_at : {uint64_t{0}, uint64_t{8}, uint64_t{4092}}) {
    for (const uint64_t piece : {uint64_t{4}, uint64_t{1000}, uint64_t{256 << 10}}) {
      const TemporaryFile out;
      BlockStreamOptions made = options({0.5});
      made.piece_bytes = piece;
      const std::vector<uint64_t> outs = made.outs;
      BlockStream stream(std::move(made));
      const double output = stream.add_output({out.fd()}, {false}, std::vector<uint8_t>(kHeader, ' '));
      std::vector<double> rows;
      const uint64_t size = kBlock - 8192;
      for (uint64_t at = 0; at < wanted.size(); at += size) {
        const uint64_t length = std::min<uint64_t>(size, wanted.size() - at);
        const uint64_t head = at < kHeader ? std::min(kHeader - at, length) : 0;
        const auto bytes = static_cast<double>(length - head),
                   from = static_cast<double>(at + head - kHeader);
        const double first = std::floor(bytes / 4 / 3) * 4, rest = bytes - first;  // two segments
        const auto in = static_cast<double>(x_at), to = static_cast<double>(head);
        rows.insert(rows.end(), {2, 0, 2, output, static_cast<double>(at), static_cast<double>(length)});
        rows.insert(rows.end(), {static_cast<double>(x.fd()), from, bytes, bytes, in});
        rows.insert(rows.end(), {static_cast<double>(y.fd()), from, bytes, bytes, kY + 4});
        rows.insert(rows.end(), {kF32, kF32, kF32, first / 4, in, kY + 4, to, 0});
        rows.insert(rows.end(), {kF32, kF32, kF32, rest / 4, in + first, kY + 4 + first, to + first, 0});
      }
      CHECK(!run(stream, rows, outs)->error);
      CHECK(out.read() == wanted);
      CHECK_EQ(stream.finish_output(static_cast<uint32_t>(output))[0], whole.digest());
    }
  }
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

TEST("block stream: segments of a block have alphas of their own") {
  constexpr double kF32 = static_cast<double>(DType::kF32), kHalf = 128;
  const TemporaryFile x(floats(64, 1)), y(floats(64, 9)), first, second;
  BlockStreamOptions made = options({0.5, 1});
  made.alphas.insert(made.alphas.end(), {0.25, 0});
  const std::vector<uint64_t> outs = made.outs;
  BlockStream stream(std::move(made));
  const double output = stream.add_output({first.fd(), second.fd()}, {false, false}, {});
  std::vector<double> rows = {2, 0, 2, output, 0, 2 * kHalf};
  rows.insert(rows.end(), {static_cast<double>(x.fd()), 0, 2 * kHalf, 2 * kHalf, 0});
  rows.insert(rows.end(), {static_cast<double>(y.fd()), 0, 2 * kHalf, 2 * kHalf, kY});
  rows.insert(rows.end(), {kF32, kF32, kF32, 32, 0, kY, 0, 1});
  rows.insert(rows.end(), {kF32, kF32, kF32, 32, kHalf, kY + kHalf, kHalf, 0});
  CHECK(!run(stream, rows, outs)->error);
  const auto halves = [](float a, float b) {
    std::vector<uint8_t> bytes = floats(32, a);
    const std::vector<uint8_t> more = floats(32, b);
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
  };
  CHECK(first.read() == halves(3, 5 + 32));
  CHECK(second.read() == halves(1, 9 + 32));
}

TEST("block stream: compares, block by block") {
  constexpr uint64_t kElements = 3 * kBlock / 4;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements, 3));
  BlockStream stream(options({}));
  std::vector<double> rows;
  for (double position : {0.0, static_cast<double>(kBlock), 2.0 * kBlock}) {
    constexpr double kF32 = static_cast<double>(DType::kF32), length = kBlock;
    rows.insert(rows.end(), {2, 0, 1, 0, 0, 0});
    rows.insert(rows.end(), {static_cast<double>(x.fd()), position, length, length, 0});
    rows.insert(rows.end(), {static_cast<double>(y.fd()), position, length, length, kY});
    rows.insert(rows.end(), {kF32, kF32, length / 4, 0, kY});
  }
  const auto batch = run(stream, rows, {});
  CHECK(!batch->error);
  CHECK_EQ(batch->sums.size(), size_t{3});
  for (const auto& sums : batch->sums) {
    CHECK_EQ(sums.size(), size_t{1});
    CHECK_EQ(sums[0].dd, 4.0 * kBlock / 4);
    CHECK_EQ(sums[0].max_abs, 2.0);
  }
}

TEST("block stream: keeps its files, whatever becomes of the caller's descriptors") {
  constexpr uint64_t kElements = 10 * kBlock / 4;
  const TemporaryFile x(floats(kElements, 1)), out, bystander;
  BlockStreamOptions made = options({0.5});
  const std::vector<uint64_t> outs = made.outs;
  BlockStream stream(std::move(made));
  const int lent = dup(out.fd());
  const uint32_t output = stream.add_output({lent}, {false}, {});
  // The number now means another file, as when Node has closed it and somebody opened one.
  CHECK_EQ(dup2(bystander.fd(), lent), lent);
  const auto batch = run(stream, lerp_rows(x.fd(), x.fd(), kElements, output), outs);
  CHECK(!batch->error);
  CHECK(out.read() == floats(kElements, 1));
  CHECK(bystander.read().empty());
  close(lent);
}

}  // namespace wisemerge::test
