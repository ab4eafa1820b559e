#include "core/executor.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <vector>

#include "check.h"

using namespace wisemerge;

namespace {

// Runs until cancelled or, if `short_lived`, returns at once. Records that it ran.
class TestJob : public Job {
 public:
  TestJob(int id, bool short_lived) : id(id), short_lived_(short_lived) {}

  void run() override {
    started = true;
    while (!short_lived_ && !cancelled()) std::this_thread::yield();
    ended = true;
  }

  const int id;
  std::atomic<bool> started{false}, ended{false};

 private:
  const bool short_lived_;
};

// The ids of the jobs handed to `done`, in order.
struct Log {
  std::mutex mutex;
  std::vector<int> ids;

  Executor::Done recorder() {
    return [this](std::shared_ptr<Job> job) {
      std::lock_guard<std::mutex> lock(mutex);
      ids.push_back(static_cast<TestJob&>(*job).id);
    };
  }
  std::vector<int> snapshot() {
    std::lock_guard<std::mutex> lock(mutex);
    return ids;
  }
};

template <class Condition>
bool eventually(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace

TEST("executor: jobs run and finish in the order they came") {
  Log log;
  Executor executor(log.recorder());
  std::vector<int> expected;
  for (int id = 0; id < 200; id++) {
    expected.push_back(id);
    CHECK(executor.submit(std::make_shared<TestJob>(id, true)));
  }
  CHECK(eventually([&] { return log.snapshot().size() == expected.size(); }));
  CHECK(log.snapshot() == expected);
}

TEST("executor: a job cancelled in the queue leaves it at once and never runs") {
  Log log;
  Executor executor(log.recorder());
  const auto blocker = std::make_shared<TestJob>(1, false);
  const auto queued = std::make_shared<TestJob>(2, true);
  executor.submit(blocker);
  executor.submit(queued);
  CHECK(eventually([&] { return blocker->started.load(); }));
  executor.cancel(queued);
  CHECK(log.snapshot() == std::vector<int>{2});
  CHECK(!blocker->ended);
  executor.cancel(blocker);
  CHECK(eventually([&] { return log.snapshot().size() == 2; }));
  CHECK(!queued->started);
}

TEST("executor: cancelling a finished job changes nothing") {
  Log log;
  Executor executor(log.recorder());
  const auto job = std::make_shared<TestJob>(1, true);
  executor.submit(job);
  CHECK(eventually([&] { return log.snapshot().size() == 1; }));
  executor.cancel(job);
  CHECK_EQ(log.snapshot().size(), 1u);
}

TEST("executor: shutdown stops the running job, drops the queue and refuses more") {
  Log log;
  Executor executor(log.recorder());
  const auto running = std::make_shared<TestJob>(1, false);
  const auto queued = std::make_shared<TestJob>(2, true);
  executor.submit(running);
  executor.submit(queued);
  CHECK(eventually([&] { return running->started.load(); }));
  executor.shutdown();
  CHECK(running->ended);
  CHECK(!queued->started);
  CHECK_EQ(queued.use_count(), 1);
  CHECK(!executor.submit(std::make_shared<TestJob>(3, true)));
  const size_t done = log.snapshot().size();
  executor.shutdown();
  CHECK_EQ(log.snapshot().size(), done);
}

TEST("executor: shutdown races with the end of a job") {
  for (int round = 0; round < 300; round++) {
    Log log;
    Executor executor(log.recorder());
    for (int id = 0; id < round % 4; id++) executor.submit(std::make_shared<TestJob>(id, true));
    executor.shutdown();
    const std::vector<int> ids = log.snapshot();
    for (size_t i = 0; i < ids.size(); i++) CHECK_EQ(ids[i], static_cast<int>(i));
  }
}
