#include "core/executor.h"

#include <algorithm>
#include <utility>

#include "core/start_threads.h"

namespace wisemerge {

Executor::Executor(Done done) : done_(std::move(done)) {}

Executor::~Executor() { shutdown(); }

bool Executor::submit(std::shared_ptr<Job> job) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return false;
  if (!thread_.joinable()) thread_ = start_thread([this] { loop(); });
  queue_.push_back(std::move(job));
  wake_.notify_one();
  return true;
}

void Executor::cancel(const std::shared_ptr<Job>& job) {
  job->cancel();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto queued = std::find(queue_.begin(), queue_.end(), job);
    if (queued == queue_.end()) return;
    queue_.erase(queued);
  }
  done_(job);
}

void Executor::shutdown() {
  std::deque<std::shared_ptr<Job>> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    if (running_) running_->cancel();
    dropped.swap(queue_);
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void Executor::loop() {
  for (;;) {
    std::shared_ptr<Job> job;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
      running_ = job;
    }
    job->run();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      running_.reset();
    }
    done_(std::move(job));
  }
}

}  // namespace wisemerge
