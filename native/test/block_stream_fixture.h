// Streams that interpolate or compare two files, and batches of their work to wait for.
#pragma once

#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "core/block_stream.h"
#include "cpu/cpu_backend.h"
#include "temporary_file.h"

namespace wisemerge::test {

inline constexpr uint64_t kBlock = 64 << 10, kRegion = 2 * kBlock;

inline std::vector<uint8_t> floats(size_t count, float first) {
  std::vector<uint8_t> bytes(count * 4);
  for (size_t i = 0; i < count; i++) {
    const float value = first + static_cast<float>(i % 4096);
    std::memcpy(&bytes[4 * i], &value, 4);
  }
  return bytes;
}

inline BlockStreamOptions options(SlotShape shape, std::vector<double> alphas, int threads = 2) {
  BlockStreamOptions made;
  made.shape = shape;
  made.arena = HostBuffer::allocate(4 * shape.bytes());
  EngineOptions cpu;
  cpu.threads = threads;
  made.engines = Engine::lanes(std::make_shared<Engine>(wisemerge_cpu_backend(), cpu));
  made.alphas = std::move(alphas);
  return made;
}

// One output per alpha.
inline BlockStreamOptions options(std::vector<double> alphas, int threads = 2) {
  const auto outputs = static_cast<uint32_t>(alphas.size());
  return options(SlotShape{kBlock, kRegion, kRegion, outputs}, std::move(alphas), threads);
}

// Who carries out reads and writes: a thread for each slot, or the system for one thread, to which all files
// here are as direct as any. Where the system does not, both are the same.
struct Way {
  bool direct;

  BlockStreamOptions options(BlockStreamOptions made) const {
    made.any_file_system = direct;
    return made;
  }
  std::vector<bool> outputs(size_t count) const { return std::vector<bool>(count, direct); }
  StreamWork work(StreamWork made) const {
    for (StreamFile& file : made.files) file.direct = direct ? file.cached : -1;
    return made;
  }
  // What an output of `length` bytes has in it, without the padding of its last page.
  std::vector<uint8_t> read(const TemporaryFile& file, uint64_t length) const {
    std::vector<uint8_t> bytes = file.read();
    CHECK_EQ(bytes.size(), direct ? whole_pages(length) : length);
    bytes.resize(length);
    return bytes;
  }
};
inline constexpr Way kWays[] = {{false}, {true}};

struct Begun {
  std::shared_ptr<BlockBatch> batch;
  std::future<void> done;

  bool over(int seconds = 60) const {
    return done.wait_for(std::chrono::seconds(seconds)) == std::future_status::ready;
  }
  std::string code() const { return batch->error ? batch->error->code() : "none"; }
};

inline Begun begin(BlockStream& stream, StreamWork work) {
  auto batch = std::make_shared<BlockBatch>();
  batch->work = std::move(work);
  auto done = std::make_shared<std::promise<void>>();
  batch->done = [done] { done->set_value(); };
  stream.submit(batch);
  return {batch, done->get_future()};
}

// The same, and waits; returns what came of it.
inline std::shared_ptr<BlockBatch> run(BlockStream& stream, StreamWork work) {
  const Begun begun = begin(stream, std::move(work));
  CHECK(begun.over());
  return begun.batch;
}

inline StreamSegment f32_segment(uint64_t count, uint64_t position = 0, uint64_t out_at = 0) {
  constexpr DType kF32 = DType::kF32;
  return {kF32, kF32, kF32, count, {0, position}, {1, position}, out_at, 0, false};
}

// The range that interpolates `elements` floats from byte 0 of both files.
inline StreamWork lerp_work(int x, int y, uint64_t elements, uint32_t output) {
  return {{{x, -1}, {y, -1}}, output, 0, elements * 4, {f32_segment(elements)}};
}

}  // namespace wisemerge::test
