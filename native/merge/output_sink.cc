#include "merge/output_sink.h"

#include <algorithm>
#include <cstring>

#include "core/file_io.h"
#include "core/start_threads.h"
#include "core/status.h"

namespace wisemerge {
namespace {

// Of what is copied: little enough to stay in the cache until it is hashed.
constexpr uint64_t kHashedTogether = 128 << 10;

}  // namespace

OutputSink::OutputSink(uint8_t* memory, uint64_t bytes, uint64_t block_bytes, unsigned threads)
    : block_bytes_(block_bytes) {
  for (uint64_t at = 0; at + block_bytes <= bytes; at += block_bytes) free_.push_back(memory + at);
  threads_ = start_threads(threads, [this](unsigned) { work(); });
}

OutputSink::~OutputSink() {
  stop();
  for (std::thread& thread : threads_) thread.join();
}

uint32_t OutputSink::open(int fd, bool direct) {
  File file;
  file.shared = std::make_unique<SharedFd>(fd);
  file.direct = direct;
  std::lock_guard<std::mutex> lock(mutex_);
  files_.push_back(std::move(file));
  return static_cast<uint32_t>(files_.size() - 1);
}

void OutputSink::check() const {
  if (failure_) std::rethrow_exception(failure_);
  if (stopping_) throw Error("ERR_ABORTED", "the merge was stopped");
}

// A file stays where it is while others are opened; the table of them does not.
OutputSink::File& OutputSink::find(uint32_t index) {
  std::lock_guard<std::mutex> lock(mutex_);
  return files_.at(index);
}

uint8_t* OutputSink::free_block() {
  std::unique_lock<std::mutex> lock(mutex_);
  freed_.wait(lock, [this] { return failure_ || stopping_ || !free_.empty(); });
  check();
  uint8_t* const block = free_.back();
  free_.pop_back();
  return block;
}

uint8_t* OutputSink::room(uint32_t index, uint64_t length) {
  if (length > block_bytes_ - kIoPage) return nullptr;
  File& file = find(index);
  if (!file.block) file.block = free_block();
  if (length > block_bytes_ - file.filled) next_block(index, file);
  return file.block + file.filled;
}

void OutputSink::added(uint32_t index, uint64_t length) {
  File& file = find(index);
  file.hash.update(file.block + file.filled, length);
  file.filled += length;
}

void OutputSink::append(uint32_t index, const void* data, uint64_t length) {
  const auto* from = static_cast<const uint8_t*>(data);
  for (uint64_t part; length > 0; from += part, length -= part) {
    part = std::min({length, kHashedTogether, block_bytes_ - kIoPage});
    std::memcpy(room(index, part), from, part);
    added(index, part);
  }
}

void OutputSink::next_block(uint32_t index, File& file) {
  uint8_t rest[kIoPage];
  const uint64_t whole = file.filled / kIoPage * kIoPage, left = file.filled - whole;
  std::memcpy(rest, file.block + whole, left);
  hand_over(index, file, whole);
  file.block = free_block();
  std::memcpy(file.block, rest, left);
  file.filled = left;
}

void OutputSink::hand_over(uint32_t index, File& file, uint64_t length) {
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.push_back({index, file.block, length, file.position, file.direct});
  file.position += length;
  file.block = nullptr;
  file.filled = 0;
  file.under_way++;
  // All of them: glibc before 2.41 can lose a signal to one of several waiters (its bug 25847), for which
  // nobody would make up here.
  queued_.notify_all();
}

uint64_t OutputSink::close(uint32_t index) {
  File& file = find(index);
  if (file.block) hand_over(index, file, file.filled);
  std::unique_lock<std::mutex> lock(mutex_);
  freed_.wait(lock, [&] { return failure_ || stopping_ || file.under_way == 0; });
  check();
  file.shared.reset();
  return file.hash.digest();
}

void OutputSink::stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stopping_ = true;
  queued_.notify_all();
  freed_.notify_all();
}

void OutputSink::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    queued_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const Write next = queue_.front();
    queue_.pop_front();
    const SharedFd& shared = *files_[next.file].shared;
    lock.unlock();
    std::exception_ptr failure;
    try {
      write(next, shared);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && !failure_) failure_ = failure;
    free_.push_back(next.block);
    files_[next.file].under_way--;
    freed_.notify_all();
  }
}

void OutputSink::write(const Write& write, const SharedFd& file) {
  const uint64_t length = write.direct ? pad_to_page(write.block, write.length) : write.length;
  write_fully(file, write.block, length, write.position);
}

}  // namespace wisemerge
