// What one Node environment (the main thread or a Worker) owns: the executor, the way back to its event loop,
// and its engines.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/engine.h"
#include "core/executor.h"
#include "core/status.h"
#include "core/stoppable.h"

namespace wisemerge {

// A job that settles a promise. It owns what it works on: JavaScript may drop or detach anything while it
// runs, and overwrite the numbers it computes with. It must not overwrite those that say where to look
// (labels, ids): they are checked when a job begins and read again, as indices, where they lie.
class PromiseJob : public Job {
 public:
  // On the executor thread; throws Error.
  virtual void execute() = 0;
  // On the JavaScript thread, after execute() returned.
  virtual Napi::Value result(Napi::Env env) = 0;

  void run() final;

 private:
  friend class Runtime;
  std::optional<Napi::Promise::Deferred> deferred_;
  std::optional<FileError> error_;
};

class Runtime : public std::enable_shared_from_this<Runtime> {
 public:
  // Makes the environment's runtime and ties its end to the environment's.
  static std::shared_ptr<Runtime> create(Napi::Env env, const std::string& directory);
  static Runtime& of(Napi::Env env);

  // Queues the job. Returns { promise, cancel() } for JavaScript.
  Napi::Object start(Napi::Env env, std::shared_ptr<PromiseJob> job);

  // The same for a job that does not run on the executor: `begin` hands it to whoever will call its run() and
  // then finished(), `cancel` stops it.
  Napi::Object start(Napi::Env env, std::shared_ptr<PromiseJob> job, const std::function<void()>& begin,
                     std::function<void()> cancel);
  // Any thread: the job's promise can be settled.
  void finished(std::shared_ptr<Job> job);

  // Queues work nobody waits for; dropped if the environment is ending.
  void post(std::function<void()> task);

  // Ended with the environment: streams first, engines after the last job.
  void adopt(const std::shared_ptr<Engine>& engine);
  void adopt(const std::shared_ptr<Stoppable>& stream);

  // Where the addon lies.
  const std::string& directory() const { return directory_; }

 private:
  static void on_wake(Napi::Env env, Napi::Function callback, Runtime* runtime, void* data);
  using Wake = Napi::TypedThreadSafeFunction<Runtime, void, &Runtime::on_wake>;

  explicit Runtime(std::string directory);
  void settle_finished(Napi::Env env);
  void settle(Napi::Env env, PromiseJob& job);
  void shutdown();

  const std::string directory_;
  Wake wake_;
  std::mutex finished_mutex_;
  std::vector<std::shared_ptr<Job>> finished_;
  std::vector<std::weak_ptr<Engine>> engines_;
  std::vector<std::weak_ptr<Stoppable>> streams_;
  size_t pending_ = 0;  // promises to settle; the event loop stays alive while there are any
  bool ended_ = false;
  Executor executor_;
};

}  // namespace wisemerge
