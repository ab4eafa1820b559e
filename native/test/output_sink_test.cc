// Bytes made in the sink's blocks, and copied into them, compared with the file and its hash.
#include "merge/output_sink.h"

#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "core/file_io.h"
#include "core/host_buffer.h"
#include "core/xxh3.h"
#include "temporary_file.h"

namespace wisemerge::test {
namespace {

constexpr uint64_t kBlock = 16 << 10, kMost = kBlock - kIoPage;

uint64_t hash_of(const std::vector<uint8_t>& bytes) {
  Xxh3 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.digest();
}

}  // namespace

TEST("output sink: what is made in its blocks and what is copied come out in order, of any lengths") {
  std::mt19937 random(7);
  for (const bool direct : {false, true}) {
    for (const uint64_t most : {uint64_t{100}, kMost, 3 * kBlock}) {
      const auto memory = HostBuffer::allocate(3 * kBlock);
      OutputSink sink(memory->data(), memory->size(), kBlock, 2);
      const TemporaryFile file;
      const uint32_t output = sink.open(file.fd(), direct);
      std::vector<uint8_t> all;
      while (all.size() < 20 * kBlock) {
        std::vector<uint8_t> bytes(1 + random() % most);
        for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
        all.insert(all.end(), bytes.begin(), bytes.end());
        uint8_t* const room = random() % 2 ? sink.room(output, bytes.size()) : nullptr;
        if (room) {
          std::memcpy(room, bytes.data(), bytes.size());
          sink.added(output, bytes.size());
        } else {
          sink.append(output, bytes.data(), bytes.size());
        }
      }
      CHECK_EQ(sink.close(output), hash_of(all));
      std::vector<uint8_t> written = file.read();
      CHECK_EQ(written.size(), direct ? whole_pages(all.size()) : all.size());
      written.resize(all.size());
      CHECK(written == all);
    }
  }
}

TEST(
    "output sink: there is room for a block without a page, wherever in a page its file is, and none for "
    "more") {
  const auto memory = HostBuffer::allocate(2 * kBlock);
  OutputSink sink(memory->data(), memory->size(), kBlock, 1);
  const TemporaryFile file;
  const uint32_t output = sink.open(file.fd(), true);
  const std::vector<uint8_t> bytes(kIoPage - 1, 1);
  sink.append(output, bytes.data(), bytes.size());
  for (int i = 0; i < 5; i++) {
    uint8_t* const room = sink.room(output, kMost);
    CHECK(room != nullptr);
    if (!room) return;
    // The same place in its page as in the file, so that it is aligned as the file's tensors are.
    CHECK_EQ((room - memory->data()) % kIoPage, kIoPage - 1);
    std::memset(room, 1, kMost);
    sink.added(output, kMost);
  }
  CHECK(sink.room(output, kMost + 1) == nullptr);
  const std::vector<uint8_t> all(bytes.size() + 5 * kMost, 1);
  CHECK_EQ(sink.close(output), hash_of(all));
}

}  // namespace wisemerge::test
