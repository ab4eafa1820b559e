#include "core/start_threads.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <future>
#include <string>

#include "check.h"
#include "core/status.h"

using namespace wisemerge;

namespace {

int join_all(std::vector<std::thread> threads) {
  for (std::thread& thread : threads) thread.join();
  return static_cast<int>(threads.size());
}

}  // namespace

TEST("start_threads: each has its number") {
  std::atomic<unsigned> numbers{0};
  CHECK_EQ(join_all(start_threads(3, [&](unsigned i) { numbers += 1u << (8 * i); })), 3);
  CHECK_EQ(numbers.load(), 0x010101u);
}

// A limit on address space stands for one on threads, which does not hold for every user.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {

constexpr size_t kStack = size_t{1} << 30;

// What the process has mapped.
size_t mapped_bytes() {
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

// Room for `stacks` more threads, and somewhat more, for as long as it lives.
class Room {
 public:
  explicit Room(size_t stacks) {
    pthread_getattr_default_np(&stack_);
    pthread_attr_t large = stack_;
    pthread_attr_setstacksize(&large, kStack);
    pthread_setattr_default_np(&large);
    getrlimit(RLIMIT_AS, &space_);
    rlimit lower = space_;
    lower.rlim_cur = mapped_bytes() + stacks * kStack + kStack / 2;
    setrlimit(RLIMIT_AS, &lower);
  }
  ~Room() {
    setrlimit(RLIMIT_AS, &space_);
    pthread_setattr_default_np(&stack_);
  }

 private:
  pthread_attr_t stack_;
  rlimit space_;
};

template <class Body>
std::string code_of(Body body) {
  try {
    body();
    return "";
  } catch (const Error& error) {
    return error.code();
  }
}

}  // namespace

TEST("start_threads: fewer than were asked for do the work where there is no room for more") {
  std::atomic<int> ran{0};
  std::vector<std::thread> threads;
  std::promise<void> over;
  {
    const Room room(2);
    // All are there at once: a thread that ends makes room for another.
    threads = start_threads(8, [&, end = over.get_future().share()](unsigned) {
      ran++;
      end.wait();
    });
  }
  over.set_value();
  CHECK_EQ(join_all(std::move(threads)), 2);
  CHECK_EQ(ran.load(), 2);
}

TEST("start_threads: none at all is an error") {
  const Room room(0);
  CHECK_EQ(code_of([] { start_threads(2, [](unsigned) {}); }), "ERR_OUT_OF_MEMORY");
  CHECK_EQ(code_of([] { start_thread([] {}); }), "ERR_OUT_OF_MEMORY");
}

#endif
