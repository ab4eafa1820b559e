// One thread that runs jobs in order. Computation happens here, never on the JavaScript thread and never on
// libuv's pool, which also serves fs, dns and zlib: a long job there stalls every file read of the process.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "wisemerge/backend.h"

namespace wisemerge {

class Job {
 public:
  virtual ~Job() = default;

  // On the executor thread. Must not throw: a job keeps its own outcome.
  virtual void run() = 0;

  // Any thread. A running job stops at its next check of the flag.
  void cancel() { __atomic_store_n(&cancelled_, 1, __ATOMIC_RELAXED); }
  bool cancelled() const { return __atomic_load_n(&cancelled_, __ATOMIC_RELAXED) != 0; }
  WmCancelFlag cancel_flag() const { return &cancelled_; }

 private:
  // Plain, not std::atomic: C backends read it through WmCancelFlag.
  int32_t cancelled_ = 0;
};

class Executor {
 public:
  // Called once for each job that ran or was cancelled in the queue, on the executor thread or the thread
  // that cancelled; never after shutdown() has returned.
  using Done = std::function<void(std::shared_ptr<Job>)>;

  explicit Executor(Done done);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Jobs run first in, first out. After shutdown() a job is dropped; returns false.
  bool submit(std::shared_ptr<Job> job);

  // A queued job leaves the queue at once, without running.
  void cancel(const std::shared_ptr<Job>& job);

  // Drops the queue, cancels the running job and joins. Idempotent; call from one thread.
  void shutdown();

 private:
  void loop();

  const Done done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::shared_ptr<Job> running_;
  bool stopping_ = false;
  std::thread thread_;  // started by the first job: an addon that is only loaded costs no thread
};

}  // namespace wisemerge
