#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

namespace wisemerge {

int available_cpus() {
#if defined(__linux__)
  // The mask's size is the kernel's, which may exceed cpu_set_t's 1024: grow until it fits.
  for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (!set) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known && count > 0) return count;
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// A job hands out tickets: a worker that takes one joins it. The caller works too, then voids the tickets
// left (nothing remains to be done) and waits only for the workers inside, so a late waker delays nobody.
struct ThreadPool::State {
  explicit State(int threads) : size(threads > 0 ? threads : available_cpus()) {}

  const int size;
  std::vector<std::thread> workers;

  std::mutex mutex;
  std::condition_variable wake, done;
  size_t tickets = 0;
  size_t inside = 0;
  bool stop = false;

  // The job; constant while tickets or inside are not zero.
  const std::function<void(size_t, size_t)>* fn = nullptr;
  size_t n = 0, grain = 1;
  // On a line of its own: the only word that all threads write while they work.
  alignas(64) std::atomic<size_t> next{0};

  void run() {
    for (;;) {
      const size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= n) return;
      (*fn)(begin, std::min(n, begin + grain));
    }
  }

  void worker() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stop || tickets > 0; });
      if (stop) return;
      tickets--;
      inside++;
      lock.unlock();
      run();
      lock.lock();
      if (--inside == 0) done.notify_one();
    }
  }

  void start(size_t wanted) {
    try {
      while (workers.size() < wanted) workers.emplace_back([this] { worker(); });
    } catch (const std::system_error&) {
      // The process may start no more threads: fewer do the same work.
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>(threads)) {}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::size() const { return state_->size; }

void ThreadPool::parallel_for(size_t n, size_t grain, const std::function<void(size_t, size_t)>& fn) {
  State& state = *state_;
  grain = std::max<size_t>(grain, 1);
  const size_t ranges = n / grain + (n % grain != 0);
  const size_t helpers = std::min(ranges, static_cast<size_t>(state.size)) - (ranges > 0);
  if (helpers > 0) state.start(helpers);
  if (helpers == 0 || state.workers.empty()) {
    for (size_t begin = 0; begin < n; begin += std::min(grain, n - begin)) {
      fn(begin, begin + std::min(grain, n - begin));
    }
    return;
  }
  {
    const std::lock_guard lock(state.mutex);
    state.fn = &fn;
    state.n = n;
    state.grain = grain;
    state.next.store(0, std::memory_order_relaxed);
    state.tickets = std::min(helpers, state.workers.size());
  }
  if (helpers >= state.workers.size()) {
    state.wake.notify_all();
  } else {
    for (size_t i = 0; i < helpers; i++) state.wake.notify_one();
  }
  state.run();
  std::unique_lock lock(state.mutex);
  state.tickets = 0;
  state.done.wait(lock, [&state] { return state.inside == 0; });
}

}  // namespace wisemerge
