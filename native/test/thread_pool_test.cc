#include "core/thread_pool.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <thread>

#include "check.h"

using namespace wisemerge;

TEST("thread pool: every index once, in ranges of at most the grain") {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK_EQ(pool.size(), threads);
    for (size_t n : {0, 1, 2, 7, 64, 1000}) {
      for (size_t grain : {1, 3, 64, 2000}) {
        std::vector<std::atomic<int>> visits(n);
        std::atomic<bool> too_long = false;
        pool.parallel_for(n, grain, [&](size_t begin, size_t end) {
          if (end - begin > grain || begin >= end) too_long = true;
          for (size_t i = begin; i < end; i++) visits[i]++;
        });
        CHECK(!too_long);
        for (const auto& count : visits) CHECK_EQ(count.load(), 1);
      }
    }
  }
}

TEST("thread pool: work that fits one range stays on the caller") {
  ThreadPool pool(4);
  const auto caller = std::this_thread::get_id();
  pool.parallel_for(10, 10, [&](size_t begin, size_t end) {
    CHECK(std::this_thread::get_id() == caller);
    CHECK_EQ(begin, 0u);
    CHECK_EQ(end, 10u);
  });
}

TEST("thread pool: several threads take part") {
  ThreadPool pool(3);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::atomic<size_t> inside = 0;
  // Each range waits until all three are running: a pool that runs them one after another gives up.
  pool.parallel_for(3, 1, [&](size_t, size_t) {
    inside++;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (inside < 3 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  CHECK_EQ(seen.size(), 3u);
}

TEST("thread pool: many short calls in a row") {
  ThreadPool pool(4);
  std::atomic<size_t> total = 0;
  for (size_t call = 0; call < 20000; call++) {
    pool.parallel_for(5, 1, [&](size_t begin, size_t end) { total += end - begin; });
  }
  CHECK_EQ(total.load(), 100000u);
}

TEST("thread pool: opens and closes without work") {
  for (int i = 0; i < 100; i++) ThreadPool pool(0);
  CHECK(ThreadPool(0).size() == available_cpus());
  CHECK(available_cpus() >= 1);
}
