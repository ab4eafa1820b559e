// Blocks that interpolate two files, and batches of them to wait for.
#pragma once

#include <chrono>
#include <cstring>
#include <future>
#include <string>
#include <vector>

#include "check.h"
#include "core/block_rows.h"
#include "core/block_stream.h"
#include "cpu/cpu_backend.h"
#include "temporary_file.h"

namespace wisemerge::test {

inline constexpr uint64_t kBlock = 64 << 10;
inline constexpr uint64_t kY = kBlock, kOut = 2 * kBlock, kSlot = 4 * kBlock;  // x, y and two outputs

inline std::vector<uint8_t> floats(size_t count, float first) {
  std::vector<uint8_t> bytes(count * 4);
  for (size_t i = 0; i < count; i++) {
    const float value = first + static_cast<float>(i % 4096);
    std::memcpy(&bytes[4 * i], &value, 4);
  }
  return bytes;
}

inline BlockStreamOptions options(std::vector<double> alphas, int threads = 2) {
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

inline Begun begin(BlockStream& stream, const std::vector<double>& numbers,
                   const std::vector<uint64_t>& outs) {
  auto batch = std::make_shared<BlockBatch>();
  batch->blocks = parse_blocks(numbers.data(), numbers.size(), outs, kSlot);
  auto done = std::make_shared<std::promise<void>>();
  batch->done = [done] { done->set_value(); };
  stream.submit(batch);
  return {batch, done->get_future()};
}

// The same, and waits; returns what came of them.
inline std::shared_ptr<BlockBatch> run(BlockStream& stream, const std::vector<double>& numbers,
                                       const std::vector<uint64_t>& outs) {
  const Begun begun = begin(stream, numbers, outs);
  CHECK(begun.over());
  return begun.batch;
}

// Rows that interpolate `elements` floats from byte 0 of both files, kBlock bytes at a time.
inline std::vector<double> lerp_rows(int x, int y, uint64_t elements, double output) {
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

}  // namespace wisemerge::test
