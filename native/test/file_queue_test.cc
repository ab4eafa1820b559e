// Requests that the system carries out, on files in the page cache: those are whole at once, and as direct as
// any other to the queue.
#include "core/file_queue.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "core/file_io.h"
#include "core/host_buffer.h"
#include "error_code.h"
#include "temporary_file.h"

namespace wisemerge::test {
namespace {

// More than a queue hands over at once, and than it is deep.
constexpr size_t kCount = 300;

std::vector<uint8_t> pages(size_t count) {
  std::vector<uint8_t> bytes(count * kIoPage);
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<uint8_t>(i / kIoPage * 7 + i % 251);
  return bytes;
}

FileRequest page_read(const SharedFd& file, uint8_t* to, size_t page, size_t owner = 0) {
  return {&file, false, true, to, page * kIoPage, kIoPage, kIoPage, owner};
}

// Both kinds of queue; the system's is left out where there is none.
template <class Body>
void with_queues(const Body& body) {
  body(*std::make_unique<FileQueue>());
  if (const auto queue = FileQueue::asynchronous()) body(*queue);
}

// Starts all and finishes them as they come.
void carry_out(FileQueue& queue, std::vector<FileRequest>& requests) {
  for (FileRequest& request : requests) queue.start(request);
  std::vector<bool> seen(requests.size());
  for (size_t i = 0; i < requests.size(); i++) {
    FileRequest* const through = queue.next(true);
    CHECK(through != nullptr);
    if (!through) return;
    CHECK_EQ(through, &requests[through->owner]);
    CHECK(!seen[through->owner]);
    seen[through->owner] = true;
    finish(*through);
  }
  CHECK(queue.next(false) == nullptr);
}

}  // namespace

TEST("file queue: gives every request back once, written and read, direct or not") {
  const std::vector<uint8_t> bytes = pages(kCount);
  const auto memory = HostBuffer::allocate(bytes.size());
  with_queues([&](FileQueue& queue) {
    const TemporaryFile file;
    const SharedFd shared(file.fd());
    for (const bool writes : {true, false}) {
      std::vector<FileRequest> requests;
      for (size_t i = 0; i < kCount; i++) {
        requests.push_back(page_read(shared, memory->data() + i * kIoPage, i, i));
        requests.back().writes = writes;
        requests.back().direct = i % 5 != 0;
      }
      std::memcpy(memory->data(), bytes.data(), bytes.size());
      if (!writes) std::memset(memory->data(), 0, bytes.size());
      carry_out(queue, requests);
      CHECK(file.read() == bytes);
      CHECK(std::memcmp(memory->data(), bytes.data(), bytes.size()) == 0);
    }
  });
}

TEST("file queue: a read may reach past the end of its file, not what is wanted of it") {
  std::vector<uint8_t> bytes = pages(2);
  bytes.resize(kIoPage + 100);
  const TemporaryFile file(bytes);
  const SharedFd shared(file.fd());
  const auto memory = HostBuffer::allocate(2 * kIoPage);
  with_queues([&](FileQueue& queue) {
    for (const uint64_t wanted : {100, 101}) {
      FileRequest request = page_read(shared, memory->data(), 1);
      request.wanted = wanted;
      queue.start(request);
      CHECK_EQ(queue.next(true), &request);
      const std::string code = code_of([&] { finish(request); });
      CHECK_EQ(code, std::string(wanted == 100 ? "none" : "ERR_INPUT_CHANGED"));
      CHECK(std::memcmp(memory->data(), bytes.data() + kIoPage, 100) == 0);
    }
  });
}

TEST("file queue: what cannot be done fails with its file and what failed, and the rest is done") {
  const TemporaryFile file(pages(2));
  const std::string path = "/proc/self/fd/" + std::to_string(file.fd());
  const int readable = open(path.c_str(), O_RDONLY);
  CHECK(readable >= 0);
  const SharedFd shared(readable);
  const auto memory = HostBuffer::allocate(2 * kIoPage);
  with_queues([&](FileQueue& queue) {
    FileRequest bad = page_read(shared, memory->data(), 0, 0), good = page_read(shared, memory->data(), 1, 1);
    bad.writes = true;
    queue.start(bad);
    queue.start(good);
    for (int i = 0; i < 2; i++) {
      const FileRequest* const request = queue.next(true);
      CHECK(request != nullptr);
      if (!request) return;
      try {
        finish(*request);
        CHECK_EQ(request, &good);
      } catch (const FileError& error) {
        CHECK_EQ(request, &bad);
        CHECK_EQ(error.code(), std::string("ERR_IO"));
        CHECK_EQ(error.fd(), readable);
        CHECK_EQ(std::string(error.operation()), std::string("write"));
      }
    }
  });
  close(readable);
}

#ifdef F_SEAL_GROW
TEST("file queue: a write that the system begins, and cuts short or fails, is an error") {
  const SealedFile file;
  const SharedFd shared(file.fd());
  const auto memory = HostBuffer::allocate(2 * kIoPage);
  with_queues([&](FileQueue& queue) {
    for (const uint64_t page : {0, 1}) {
      FileRequest request = page_read(shared, memory->data(), page);
      request.writes = true;
      request.length = request.wanted = (2 - page) * kIoPage;
      queue.start(request);
      CHECK_EQ(queue.next(true), &request);
      CHECK_EQ(code_of([&] { finish(request); }), std::string("ERR_IO"));
    }
  });
}
#endif

TEST("file queue: those of ended streams serve the next ones") {
  for (int round = 0; round < 3000; round++) {
    const auto one = FileQueue::asynchronous(), other = FileQueue::asynchronous();
    // As long as there is one there are more: they are not used up.
    if (round == 0 && !other) return;
    CHECK(one && other);
  }
}

}  // namespace wisemerge::test
