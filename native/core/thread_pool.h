// A fixed set of worker threads with one operation, parallel_for. Owned by whoever opens it (a CPU context);
// no process-wide state. Threads start with the first parallel call that can use them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace wisemerge {

class ThreadPool {
 public:
  // `threads` counts the calling thread; 0 = all CPUs this process may run on.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  // Calls fn(begin, end) for consecutive ranges of at most `grain` indices that cover [0, n), each exactly
  // once, on the workers and the calling thread; returns when all are done. fn must not throw.
  // Not reentrant, one caller at a time.
  void parallel_for(size_t n, size_t grain, const std::function<void(size_t, size_t)>& fn);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// CPUs this process may run on (affinity mask, not the machine's total).
int available_cpus();

}  // namespace wisemerge
