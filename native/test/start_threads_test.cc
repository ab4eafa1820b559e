#include "core/start_threads.h"

#include <atomic>

#include "check.h"

using namespace wisemerge;

namespace {

// Of whose copies only some can be made, as of threads where their number is limited.
struct Scarce {
  Scarce(std::atomic<unsigned>& sum, int& left) : sum(&sum), left(&left) {}
  Scarce(const Scarce& other) : sum(other.sum), left(other.left) {
    if ((*left)-- == 0)
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
  }
  void operator()(size_t i) const { *sum += 1u << i; }

  std::atomic<unsigned>* sum;
  int* left;
};

}  // namespace

TEST("start threads: as many as were asked for, each with its number") {
  std::atomic<unsigned> sum = 0;
  int left = 100;
  std::vector<std::thread> threads;
  start_threads(threads, 4, Scarce(sum, left));
  CHECK_EQ(threads.size(), size_t{4});
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(sum.load(), 15u);
}

TEST("start threads: where there can be no more, those that there are do the work") {
  std::atomic<unsigned> sum = 0;
  int left = 2;
  std::vector<std::thread> threads;
  start_threads(threads, 4, Scarce(sum, left));
  CHECK_EQ(threads.size(), size_t{2});
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(sum.load(), 3u);
}

TEST("start threads: none at all is an error") {
  std::atomic<unsigned> sum = 0;
  int left = 0;
  std::vector<std::thread> threads;
  bool failed = false;
  try {
    start_threads(threads, 4, Scarce(sum, left));
  } catch (const std::system_error&) {
    failed = true;
  }
  CHECK(failed);
  CHECK(threads.empty());
}
