// How a stream of blocks ends: failures, cancellation, closing, and work that it refuses.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>

#include "block_stream_fixture.h"
#include "core/file_queue.h"
#include "error_code.h"

namespace wisemerge::test {

TEST("block stream: a failure stops it, whoever waits, and is every later batch's") {
  constexpr uint64_t kElements = 40 * kBlock / 4;
  const TemporaryFile x(floats(kElements, 1)), y(floats(kElements / 2, 9)), out;
  for (const Way& way : kWays) {
    BlockStream stream(way.options(options({0.5})));
    const uint32_t output = stream.add_output({out.fd()}, way.outputs(1), {});
    for (int repeat = 0; repeat < 2; repeat++) {
      const auto batch = run(stream, way.work(lerp_work(x.fd(), y.fd(), kElements, output)));
      CHECK(batch->error.has_value());
      if (!batch->error) continue;
      CHECK_EQ(batch->error->code(), std::string("ERR_INPUT_CHANGED"));
      CHECK_EQ(batch->error->fd(), y.fd());
    }
  }
}

TEST("block stream: a write that fails stops it, while other blocks are under way") {
  constexpr uint64_t kElements = 40 * kBlock / 4;
  const TemporaryFile x(floats(kElements, 1)), out;
  const std::string path = "/proc/self/fd/" + std::to_string(out.fd());
  const int readable = open(path.c_str(), O_RDONLY);
  for (const Way& way : kWays) {
    BlockStream stream(way.options(options({0.5})));
    const uint32_t output = stream.add_output({readable}, way.outputs(1), {});
    const auto batch = run(stream, way.work(lerp_work(x.fd(), x.fd(), kElements, output)));
    CHECK(batch->error && batch->error->code() == "ERR_IO");
    CHECK(batch->error && batch->error->fd() == readable);
  }
  close(readable);
}

#ifdef F_SEAL_GROW
TEST("block stream: a write that is cut short stops it") {
  const TemporaryFile x(floats(4 * kBlock / 4, 1));
  for (const Way& way : kWays) {
    const SealedFile out;
    BlockStream stream(way.options(options({0.5})));
    const uint32_t output = stream.add_output({out.fd()}, way.outputs(1), {});
    const auto batch = run(stream, way.work(lerp_work(x.fd(), x.fd(), 4 * kBlock / 4, output)));
    CHECK(batch->error && batch->error->code() == "ERR_IO");
    CHECK(batch->error && batch->error->fd() == out.fd());
  }
}
#endif

TEST("block stream: one thread for all blocks where no request holds it up, else one for each slot") {
  if (!FileQueue::asynchronous()) return;
  const TemporaryFile x(floats(kBlock / 4, 1)), out;
  const auto threads = [&](BlockStreamOptions made, int x_direct, bool out_direct) {
    BlockStream stream(std::move(made));
    StreamWork work = lerp_work(x.fd(), x.fd(), kBlock / 4, 0);
    work.files[0].direct = x_direct;
    work.files[1].direct = x.fd();
    if (stream.shape().outputs > 0) {
      stream.add_output({out.fd()}, {out_direct}, {});
    } else {
      work.length = 0;
    }
    CHECK(!run(stream, work)->error);
    return stream.threads();
  };
  const Way& direct = kWays[1];
  CHECK_EQ(threads(direct.options(options({0.5})), x.fd(), true), size_t{1});
  CHECK_EQ(threads(direct.options(options({0.5})), -1, true), size_t{4});
  CHECK_EQ(threads(direct.options(options({0.5})), x.fd(), false), size_t{4});
  const uint64_t region = 4 * kCompareSpan + 4 * kIoPage;
  CHECK_EQ(threads(direct.options(options(SlotShape{0, region, region, 0}, {})), x.fd(), true), size_t{4});
  // In memory, where a request is carried out at once.
  const SealedFile memory;
  CHECK(!FileQueue::leaves_thread_free(memory.fd()));
}

// Past the page cache, where temporary files are on a file system that has that: requests are under way then.
TEST("block stream: closed or cancelled at any moment with requests under way, it ends") {
  const TemporaryFile x(floats(200 * kBlock / 4, 1)), out;
  if (!FileQueue::leaves_thread_free(x.fd())) return;
  const auto past_cache = [](const TemporaryFile& file, int flags) {
    return open(("/proc/self/fd/" + std::to_string(file.fd())).c_str(), flags | O_DIRECT);
  };
  const int from = past_cache(x, O_RDONLY), to = past_cache(out, O_WRONLY);
  CHECK(from >= 0 && to >= 0);
  for (int round = 0; round < 60; round++) {
    BlockStream stream(options({0.5}));
    const uint32_t output = stream.add_output({to}, {true}, {});
    StreamWork work = lerp_work(x.fd(), x.fd(), 200 * kBlock / 4, output);
    for (StreamFile& file : work.files) file.direct = from;
    const Begun begun = begin(stream, work);
    std::this_thread::sleep_for(std::chrono::microseconds(100 * round));
    if (round % 2) {
      stream.cancel(*begun.batch);
    } else {
      stream.shutdown();
    }
    CHECK(begun.over());
    CHECK(begun.code() == "ERR_ABORTED" || begun.code() == "none");
    if (round % 2) CHECK_EQ(stream.threads(), size_t{1});
  }
  close(from);
  close(to);
}

TEST("block stream: a cancelled batch aborts") {
  const TemporaryFile x(floats(kBlock, 1)), out;
  for (const Way& way : kWays) {
    BlockStream stream(way.options(options({0.5})));
    const uint32_t output = stream.add_output({out.fd()}, way.outputs(1), {});
    auto batch = std::make_shared<BlockBatch>();
    batch->work = way.work(lerp_work(x.fd(), x.fd(), kBlock / 4, output));
    batch->cancelled = 1;
    std::atomic<bool> done{false};
    batch->done = [&] { done = true; };
    stream.submit(batch);
    while (!done) std::this_thread::yield();
    CHECK(batch->error && batch->error->code() == "ERR_ABORTED");
  }
}

TEST("block stream: closing fails what is queued and joins") {
  const TemporaryFile x(floats(100 * kBlock / 4, 1)), out;
  std::atomic<int> done{0};
  for (int round = 0; round < 20; round++) {
    const Way& way = kWays[round % 2];
    BlockStream stream(way.options(options({0.5})));
    const uint32_t output = stream.add_output({out.fd()}, way.outputs(1), {});
    auto batch = std::make_shared<BlockBatch>();
    batch->work = way.work(lerp_work(x.fd(), x.fd(), 100 * kBlock / 4, output));
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
  BlockStream stream(options({0.5}));
  const uint32_t output = stream.add_output({out.fd()}, {false}, {});
  const StreamWork first = lerp_work(kNoFile, x.fd(), kBlock / 4, output);
  CHECK_EQ(code_of([&] { begin(stream, first); }), std::string("ERR_IO"));
  StreamWork second = lerp_work(x.fd(), x.fd(), kBlock / 4, output);
  second.position = kBlock;
  const Begun begun = begin(stream, second);
  CHECK(begun.over());
  CHECK_EQ(begun.code(), std::string("ERR_IO"));
}

TEST("block stream: a range that leaves a gap in its output, or comes twice, is refused") {
  const TemporaryFile x(floats(2 * kBlock / 4, 1)), out;
  for (const uint64_t position : {uint64_t{4096}, uint64_t{0}}) {
    BlockStream stream(options({0.5}));
    const uint32_t output = stream.add_output({out.fd()}, {false}, {});
    StreamWork work = lerp_work(x.fd(), x.fd(), kBlock / 4, output);
    if (position == 0) CHECK(!run(stream, work)->error);
    work.position = position;
    CHECK_EQ(code_of([&] { begin(stream, work); }), std::string("ERR_INTERNAL_RANGE"));
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
    stream.emplace(std::move(made));
    const uint32_t output = stream->add_output({out.fd()}, {false}, {});
    StreamWork work = lerp_work(x.fd(), x.fd(), kBlock / 4, output);
    first = begin(*stream, work);
    work.position = kBlock;
    second = begin(*stream, work);
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

TEST("block stream: work and slots that cannot be are refused") {
  const std::string range = "ERR_INTERNAL_RANGE", argument = "ERR_INTERNAL_ARGUMENT";
  const TemporaryFile x(floats(kBlock / 4, 1)), out;
  const auto submit = [&](const std::function<void(StreamWork&)>& change) {
    BlockStream stream(options({0.5}));
    StreamWork work = lerp_work(x.fd(), x.fd(), kBlock / 4, stream.add_output({out.fd()}, {false}, {}));
    change(work);
    return code_of([&] { begin(stream, work); });
  };
  CHECK_EQ(submit([](StreamWork& work) { work.length = 0; }), argument);
  CHECK_EQ(submit([](StreamWork& work) { work.output = 1; }), range);
  CHECK_EQ(submit([](StreamWork& work) { work.segments[0].alpha_set = 1; }), range);
  CHECK_EQ(code_of([] { BlockStream(options({0.5})).finish_output(7); }), range);
  CHECK_EQ(code_of([] { BlockStream(options({0.5})).add_output({1, 2}, {false, false}, {}); }), argument);
  const auto open = [](SlotShape shape, std::vector<double> alphas) {
    return code_of([&] {
      BlockStreamOptions made = options({0.5});
      made.shape = shape;
      made.alphas = alphas;
      BlockStream never(std::move(made));
    });
  };
  CHECK_EQ(open({kBlock, 4097, 4096, 1}, {0.5}), argument);
  CHECK_EQ(open({kBlock, 4096, 4097, 1}, {0.5}), argument);
  CHECK_EQ(open({0, 4096, 4096, 1}, {0.5}), argument);
  CHECK_EQ(open({kBlock + 2, kRegion, kRegion, 1}, {0.5}), argument);
  CHECK_EQ(open({kBlock, UINT64_MAX / 4096 * 4096, 8192, 1}, {0.5}), argument);
  CHECK_EQ(open({UINT64_MAX, 4096, 4096, 1}, {0.5}), argument);
  CHECK_EQ(open({kBlock, 4096, 4096, UINT32_MAX}, {0.5}), argument);
  CHECK_EQ(open({0, 0, 0, 0}, {}), argument);
  CHECK_EQ(open({kBlock, 4096, 4096, 2}, {0.5}), argument);
  CHECK_EQ(open({kBlock, 4096, 4096, 0}, {0.5}), argument);
}

}  // namespace wisemerge::test
