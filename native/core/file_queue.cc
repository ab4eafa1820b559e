#include "core/file_queue.h"

#include "core/file_io.h"

#if defined(__linux__) && __has_include(<linux/aio_abi.h>)
#include <linux/aio_abi.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <cstdlib>
#include <ctime>
#include <mutex>
#include <vector>
#define WM_ASYNCHRONOUS_IO 1
#endif

namespace wisemerge {

#ifdef WM_ASYNCHRONOUS_IO
namespace {

constexpr size_t kDepth = 128;  // requests of a queue with the system at once
constexpr size_t kBatch = 16;   // handed over, or collected, by one call

// The C library has no functions for these calls.
long io_submit(unsigned long context, size_t count, iocb** requests) {
  return syscall(SYS_io_submit, context, static_cast<long>(count), requests);
}
long io_getevents(unsigned long context, long least, size_t most, io_event* events) {
  timespec at_once{};
  return syscall(SYS_io_getevents, context, least, static_cast<long>(most), events,
                 least == 0 ? &at_once : nullptr);
}

// Giving a queue back takes the system tens of milliseconds, so those not in use are kept for later streams.
// It takes them back itself when the process ends.
class IdleContexts {
 public:
  // 0 where the system has no more of them, or where a sandbox does not let some of the calls through.
  unsigned long take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    unsigned long context = 0;
    if (!contexts_.empty()) {
      context = contexts_.back();
      contexts_.pop_back();
      return context;
    }
    contexts_.reserve(made_ + 1);  // so that `put` needs no memory
    if (syscall(SYS_io_setup, kDepth, &context) != 0) return 0;
    io_event none;
    if (io_submit(context, 0, nullptr) != 0 || io_getevents(context, 0, 1, &none) != 0) {
      syscall(SYS_io_destroy, context);
      return 0;
    }
    made_++;
    return context;
  }

  void put(unsigned long context) {
    const std::lock_guard<std::mutex> lock(mutex_);
    contexts_.push_back(context);
  }

 private:
  std::mutex mutex_;
  std::vector<unsigned long> contexts_;
  size_t made_ = 0;
};

// Never destroyed: streams may end after everything else.
IdleContexts& idle_contexts() {
  static IdleContexts& all = *new IdleContexts;
  return all;
}

iocb as_call(FileRequest& request) {
  iocb call{};
  call.aio_data = reinterpret_cast<uintptr_t>(&request);
  call.aio_lio_opcode = request.writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
  call.aio_fildes = static_cast<uint32_t>(request.file->get());
  call.aio_buf = reinterpret_cast<uintptr_t>(request.memory);
  call.aio_nbytes = request.length;
  call.aio_offset = static_cast<int64_t>(request.position);
  return call;
}

}  // namespace

FileQueue::~FileQueue() {
  if (context_ != 0) idle_contexts().put(context_);
}

std::unique_ptr<FileQueue> FileQueue::asynchronous() {
  auto queue = std::make_unique<FileQueue>();
  queue->context_ = idle_contexts().take();
  return queue->context_ != 0 ? std::move(queue) : nullptr;
}

bool FileQueue::leaves_thread_free(int fd) {
  constexpr long kExt4 = 0xef53, kXfs = 0x58465342;
  struct statfs info;
  return fstatfs(fd, &info) == 0 && (info.f_type == kExt4 || info.f_type == kXfs);
}

void FileQueue::hand_over() {
  while (!started_.empty()) {
    iocb calls[kBatch];
    iocb* all[kBatch];
    size_t count = 0;
    for (FileRequest* one = started_.first(); one && count < kBatch; one = one->behind, count++) {
      calls[count] = as_call(*one);
      all[count] = &calls[count];
    }
    const long taken = io_submit(context_, count, all);
    if (taken < 0 && errno == EAGAIN && under_way_ > 0) return;  // it is full
    for (long i = 0; i < taken; i++) started_.pop();
    if (taken > 0) {
      under_way_ += static_cast<size_t>(taken);
    } else {
      through_.push(started_.pop());  // it cannot be done so, and `finish` tells why
    }
  }
}

void FileQueue::collect(bool waits) {
  io_event events[kBatch];
  long count;
  do {
    count = io_getevents(context_, waits ? 1 : 0, kBatch, events);
  } while ((count < 0 && errno == EINTR) || (count == 0 && waits));
  // The system writes to memory that could never be given back.
  if (count < 0) std::abort();
  under_way_ -= static_cast<size_t>(count);
  for (long i = 0; i < count; i++) {
    auto& request = *reinterpret_cast<FileRequest*>(static_cast<uintptr_t>(events[i].data));
    request.done = events[i].res >= static_cast<int64_t>(request.wanted);
    through_.push(request);
  }
}

#else

FileQueue::~FileQueue() = default;
std::unique_ptr<FileQueue> FileQueue::asynchronous() { return nullptr; }
bool FileQueue::leaves_thread_free(int) { return false; }
void FileQueue::hand_over() {}
void FileQueue::collect(bool) {}

#endif

void FileQueue::start(FileRequest& request) {
  (context_ != 0 && request.direct ? started_ : through_).push(request);
}

FileRequest* FileQueue::next(bool waits) {
  hand_over();
  if (through_.empty() && under_way_ > 0) collect(waits);
  return through_.empty() ? nullptr : &through_.pop();
}

void finish(const FileRequest& request) {
  if (request.done) return;
  if (request.writes) {
    write_fully(*request.file, request.memory, request.length, request.position);
  } else {
    read_fully(*request.file, request.memory, request.position, request.length, request.wanted);
  }
}

}  // namespace wisemerge
