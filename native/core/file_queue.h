// Reads and writes of one thread, several of them under way at once. Linux's asynchronous I/O carries direct
// requests out while the thread does something else; with a thread for each, waking threads up would cost
// more than the requests. All others are carried out one after another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "core/shared_fd.h"

namespace wisemerge {

struct FileRequest {
  const SharedFd* file;
  bool writes;
  bool direct;  // past the page cache: whole pages of the file and of memory
  uint8_t* memory;
  uint64_t position, length;
  uint64_t wanted;  // of a read, as read_fully has it; of a write, all
  size_t owner;     // whatever the caller has it for
  // The queue's.
  bool done = false;
  FileRequest* behind = nullptr;
};

class FileQueue {
 public:
  // Leaves all requests to `finish`.
  FileQueue() = default;
  // Nothing may be under way.
  ~FileQueue();
  FileQueue(const FileQueue&) = delete;
  FileQueue& operator=(const FileQueue&) = delete;

  // A queue whose direct requests the system carries out. Null where it has no such queues, or no more.
  static std::unique_ptr<FileQueue> asynchronous();
  // Whether direct requests on this file return before they are carried out: true for the file systems known
  // to do that, ext4 and XFS. On others, and on files for which these two fall back to the page cache
  // (encrypted ones, journalled data), the thread carries them out itself.
  static bool leaves_thread_free(int fd);

  // The request must stay where it is until `next` gives it back.
  void start(FileRequest& request);
  // A request that is through, in any order, for `finish`; null if none is. Waits for one that is under way
  // if it is told to.
  FileRequest* next(bool waits);

 private:
  // Requests in a row, which need no memory of their own: where they are kept, nothing can fail.
  class Row {
   public:
    bool empty() const { return !first_; }
    FileRequest* first() const { return first_; }
    void push(FileRequest& request) {
      request.behind = nullptr;
      (first_ ? last_->behind : first_) = &request;
      last_ = &request;
    }
    FileRequest& pop() { return *std::exchange(first_, first_->behind); }

   private:
    FileRequest *first_ = nullptr, *last_ = nullptr;
  };
  void hand_over();
  void collect(bool waits);

  unsigned long context_ = 0;  // the system's queue; 0: none
  Row started_;                // not handed over yet
  size_t under_way_ = 0;
  Row through_;
};

// Carries out a request that `next` gave back where the system has not, or not all of it. Throws FileError as
// read_fully and write_fully do.
void finish(const FileRequest& request);

}  // namespace wisemerge
