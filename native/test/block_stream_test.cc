// Blocks from files to files on the stream's own threads, compared with the bytes of the files. One writer's
// view of native/core/block_rows.h is tested here too; the rest through JavaScript.
#include "core/block_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <future>
#include <string>

#include "check.h"
#include "core/block_pieces.h"
#include "core/block_rows.h"
#include "cpu/cpu_backend.h"
#include "error_code.h"
#include "temporary_file.h"
#include "wisemerge/convert.h"

using namespace wisemerge;
using wisemerge::test::code_of;
using wisemerge::test::TemporaryFile;

namespace {

constexpr uint64_t kBlock = 64 << 10;
constexpr uint64_t kY = kBlock, kOut = 2 * kBlock, kSlot = 4 * kBlock;  // x, y and two outputs

std::vector<uint8_t> floats(size_t count, float first) {
  std::vector<uint8_t> bytes(count * 4);
  for (size_t i = 0; i < count; i++) {
    const float value = first + static_cast<float>(i % 4096);
    std::memcpy(&bytes[4 * i], &value, 4);
  }
  return bytes;
}

BlockStreamOptions options(std::vector<double> alphas, int threads = 2) {
  BlockStreamOptions made;
  made.arena = HostBuffer::allocate(4 * kSlot);
  made.slot_bytes = kSlot;
  EngineOptions cpu;
  cpu.threads = threads;
  made.engines = Engine::lanes(std::make_shared<Engine>(wisemerge_cpu_backend(), cpu));
  for (size_t k = 0; k < alphas.size(); k++) made.outs.push_back(kOut + k * kBlock);
  made.alphas = std::move(alphas);
  return made;
}

// Hands over the blocks that `numbers` describe, in one batch.
struct Begun {
  std::shared_ptr<BlockBatch> batch;
  std::future<void> done;

  bool over(int seconds = 60) const {
    return done.wait_for(std::chrono::seconds(seconds)) == std::future_status::ready;
  }
  std::string code() const { return batch->error ? batch->error->code() : "none"; }
};

Begun begin(BlockStream& stream, const std::vector<double>& numbers, const std::vector<uint64_t>& outs) {
  auto batch = std::make_shared<BlockBatch>();
  batch->blocks = parse_blocks(numbers.data(), numbers.size(), outs, kSlot);
  auto done = std::make_shared<std::promise<void>>();
  batch->done = [done] { done->set_value(); };
  stream.submit(batch);
  return {batch, done->get_future()};
}

// The same, and waits; returns what came of them.
std::shared_ptr<BlockBatch> run(BlockStream& stream, const std::vector<double>& numbers,
                                const std::vector<uint64_t>& outs) {
  const Begun begun = begin(stream, numbers, outs);
  CHECK(begun.over());
  return begun.batch;
}

// Rows that interpolate `elements` floats from byte 0 of both files, kBlock bytes at a time.
std::vector<double> lerp_rows(int x, int y, uint64_t elements, double output) {
  constexpr double kF32 = static_cast<double>(DType::kF32);
  std::vector<double> rows;
  for (uint64_t at = 0; at < elements * 4; at += kBlock) {
    const auto position = static_cast<double>(at),
               length = static_cast<double>(std::min(kBlock, elements * 4 - at));
    rows.insert(rows.end(), {2, 0, 1, output, position, length});
    rows.insert(rows.end(), {static_cast<double>(x), position, length, length, 0});
    rows.insert(rows.end(), {static_cast<double>(y), position, length, length, kY});
    rows.insert(rows.end(), {kF32, kF32, kF32, length / 4, 0, kY, 0, 0});
  }
  return rows;
}

}  // namespace

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

TEST("block stream: a failure stops it, whoever waits, and is every later batch's") {
  constexpr uint64_t kElements = 40 * kBlock / 4;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements / 2, 9)), out;
  BlockStreamOptions made = options({0.5});
  const std::vector<uint64_t> outs = made.outs;
  BlockStream stream(std::move(made));
  const uint32_t output = stream.add_output({out.fd()}, {false}, {});
  for (int repeat = 0; repeat < 2; repeat++) {
    const auto batch = run(stream, lerp_rows(x.fd(), y.fd(), kElements, output), outs);
    CHECK(batch->error.has_value());
    if (!batch->error) continue;
    CHECK_EQ(batch->error->code(), std::string("ERR_INPUT_CHANGED"));
    CHECK_EQ(batch->error->fd(), y.fd());
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

TEST("block stream: a cancelled batch aborts") {
  const TemporaryFile x(floats(kBlock, 1)), out;
  BlockStreamOptions made = options({0.5});
  const std::vector<uint64_t> outs = made.outs;
  BlockStream stream(std::move(made));
  const uint32_t output = stream.add_output({out.fd()}, {false}, {});
  const std::vector<double> rows = lerp_rows(x.fd(), x.fd(), kBlock, output);
  auto batch = std::make_shared<BlockBatch>();
  batch->blocks = parse_blocks(rows.data(), rows.size(), outs, kSlot);
  batch->cancelled = 1;
  std::atomic<bool> done{false};
  batch->done = [&] { done = true; };
  stream.submit(batch);
  while (!done) std::this_thread::yield();
  CHECK(batch->error && batch->error->code() == "ERR_ABORTED");
}

TEST("block stream: closing fails what is queued and joins") {
  const TemporaryFile x(floats(100 * kBlock / 4, 1)), out;
  std::atomic<int> done{0};
  for (int round = 0; round < 20; round++) {
    BlockStreamOptions made = options({0.5});
    const std::vector<uint64_t> outs = made.outs;
    BlockStream stream(std::move(made));
    const uint32_t output = stream.add_output({out.fd()}, {false}, {});
    const std::vector<double> rows = lerp_rows(x.fd(), x.fd(), 100 * kBlock / 4, output);
    auto batch = std::make_shared<BlockBatch>();
    batch->blocks = parse_blocks(rows.data(), rows.size(), outs, kSlot);
    batch->done = [&] { done++; };
    stream.submit(batch);
    stream.shutdown();
    CHECK_EQ(code_of([&] { stream.submit(batch); }), std::string("ERR_ABORTED"));
  }
  CHECK_EQ(done.load(), 20);
}

TEST("block stream: a batch that is refused fails those that come after it, and closing ends") {
  const TemporaryFile x(floats(2 * kBlock / 4, 1)), out;
  constexpr int kNoFile = 1 << 20;
  BlockStreamOptions made = options({0.5});
  const std::vector<uint64_t> outs = made.outs;
  BlockStream stream(std::move(made));
  const uint32_t output = stream.add_output({out.fd()}, {false}, {});
  const std::vector<double> first = lerp_rows(kNoFile, x.fd(), kBlock / 4, output);
  CHECK_EQ(code_of([&] { begin(stream, first, outs); }), std::string("ERR_IO"));
  std::vector<double> second = lerp_rows(x.fd(), x.fd(), kBlock / 4, output);
  second[4] = kBlock;
  const Begun begun = begin(stream, second, outs);
  CHECK(begun.over());
  CHECK_EQ(begun.code(), std::string("ERR_IO"));
}

TEST("block stream: a block that leaves a gap in its output, or comes twice, is refused") {
  const TemporaryFile x(floats(2 * kBlock / 4, 1)), out;
  for (const double position : {4096.0, 0.0}) {
    BlockStreamOptions made = options({0.5});
    const std::vector<uint64_t> outs = made.outs;
    BlockStream stream(std::move(made));
    const uint32_t output = stream.add_output({out.fd()}, {false}, {});
    std::vector<double> rows = lerp_rows(x.fd(), x.fd(), kBlock / 4, output);
    if (position == 0) CHECK(!run(stream, rows, outs)->error);
    rows[4] = position;
    CHECK_EQ(code_of([&] { begin(stream, rows, outs); }), std::string("ERR_INTERNAL_RANGE"));
  }
}

namespace {

// A device that computes nothing until it is let, so that the next block of the output waits for its turn.
std::promise<void>* held = nullptr;

WmCode open_nothing(const WmOpenOptions*, WmContext**, WmError*) { return WM_OK; }
WmCode lerp_held(WmContext*, const WmLerp*, uint32_t, WmCancelFlag, WmError*) {
  held->get_future().wait();
  return WM_OK;
}

// Two batches of one block each, of which the second waits for the first.
struct Waiting {
  explicit Waiting(const TemporaryFile& x, const TemporaryFile& out) {
    held = &let;
    backend.open = open_nothing;
    backend.lerp = lerp_held;
    BlockStreamOptions made = options({0.5});
    made.engines = {std::make_shared<Engine>(&backend, EngineOptions{})};
    const std::vector<uint64_t> outs = made.outs;
    stream.emplace(std::move(made));
    const uint32_t output = stream->add_output({out.fd()}, {false}, {});
    std::vector<double> rows = lerp_rows(x.fd(), x.fd(), kBlock / 4, output);
    first = begin(*stream, rows, outs);
    rows[4] = kBlock;
    second = begin(*stream, rows, outs);
    // Until both have been taken.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }

  WmBackend backend{};
  std::promise<void> let;
  std::optional<BlockStream> stream;
  Begun first, second;
};

}  // namespace

TEST("block stream: a block that waits for its turn stops when it is cancelled") {
  const TemporaryFile x(floats(2 * kBlock / 4, 1)), out;
  Waiting waiting(x, out);
  waiting.stream->cancel(*waiting.second.batch);
  CHECK(waiting.second.over(5));
  waiting.let.set_value();
  CHECK_EQ(waiting.second.code(), std::string("ERR_ABORTED"));
}

TEST("block stream: a block that waits for its turn stops when the stream is closed") {
  const TemporaryFile x(floats(2 * kBlock / 4, 1)), out;
  Waiting waiting(x, out);
  std::thread closing([&] { waiting.stream->shutdown(); });
  CHECK(waiting.second.over(5));
  waiting.let.set_value();
  closing.join();
  CHECK(waiting.first.over());
  CHECK_EQ(waiting.second.code(), std::string("ERR_ABORTED"));
}

TEST("block stream: blocks and rows that cannot be are refused") {
  BlockStreamOptions made = options({0.5});
  const std::vector<uint64_t> outs = made.outs;
  BlockStream stream(std::move(made));
  const auto submit = [&](const std::vector<double>& numbers) {
    return code_of([&] {
      auto batch = std::make_shared<BlockBatch>();
      batch->blocks = parse_blocks(numbers.data(), numbers.size(), outs, kSlot);
      stream.submit(batch);
    });
  };
  const std::string range = "ERR_INTERNAL_RANGE", argument = "ERR_INTERNAL_ARGUMENT";
  CHECK_EQ(submit({}), argument);
  CHECK_EQ(submit({0, 0, 0, 0, 0}), argument);              // a short head
  CHECK_EQ(submit({1, 0, 0, 0, 0, 0, 0, 0, 0}), argument);  // a short read
  CHECK_EQ(submit({0, 0, 0, 0, -1, 0}), argument);
  CHECK_EQ(submit({0, 0, 0, 0, 0.5, 0}), argument);
  CHECK_EQ(submit({1e15, 0, 0, 0, 0, 0}), argument);
  CHECK_EQ(submit({0, 0, 0, 0, 0, 0}), range);  // no such output
  TemporaryFile out;
  stream.add_output({out.fd()}, {false}, {});
  CHECK_EQ(submit({0, 0, 0, 0, 0, 3.0 * kBlock}), range);                    // longer than its region's slot
  CHECK_EQ(submit({1, 0, 0, 0, 0, 0, 0, 0, kBlock, kBlock, kSlot}), range);  // a read past the slot
  CHECK_EQ(submit({1, 0, 0, 0, 0, 0, 0, 0, 10, 11, 0}), range);              // wants more than it asks for
  CHECK_EQ(submit({0, 1, 0, 0, 0, 0, kSlot - 5.0, 0, 6}), range);            // a copy from past the slot
  CHECK_EQ(submit({0, 1, 0, 0, 0, 0, 0, kSlot - kOut - 5.0, 6}), range);     // a copy to past the slot
  const double f32 = static_cast<double>(DType::kF32);
  CHECK_EQ(submit({0, 0, 1, 0, 0, 4, f32, f32, f32, 1, 0, kY, 0, 1}), range);       // no such alphas
  CHECK_EQ(submit({0, 0, 1, 0, 0, 4, f32, f32, f32, 1, 0, kY, 0, 0.5}), argument);  // no index
  CHECK_EQ(submit({0, 0, 1, 0, 0, 4, f32, f32, f32, 2, 0, kY, 0, 0}), range);       // past its block
  CHECK_EQ(submit({0, 0, 2, 0, 0, 8, f32, f32, f32, 1, 0, kY, 4, 0, f32, f32, f32, 1, 4, kY, 0, 0}), range);
  CHECK_EQ(code_of([&] { stream.finish_output(7); }), range);
  CHECK_EQ(code_of([&] { stream.add_output({1, 2}, {false, false}, {}); }), argument);
  CHECK_EQ(code_of([] {
             BlockStreamOptions wrong = options({});
             wrong.slot_bytes = 4097;
             BlockStream never(std::move(wrong));
           }),
           argument);
}
