// How a stream of blocks ends: failures, cancellation, closing, and blocks that it refuses. One writer's view
// of native/core/block_rows.h is tested here too; the rest through JavaScript.
#include <atomic>
#include <optional>
#include <thread>

#include "block_stream_fixture.h"
#include "error_code.h"

namespace wisemerge::test {

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

}  // namespace wisemerge::test
