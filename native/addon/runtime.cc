#include "addon/runtime.h"

#include <algorithm>
#include <utility>

#include "addon/errors.h"
#include "core/status.h"

namespace wisemerge {
namespace {

class Task : public Job {
 public:
  explicit Task(std::function<void()> body) : body_(std::move(body)) {}
  void run() override { body_(); }

 private:
  const std::function<void()> body_;
};

// The instance data. Node deletes it at an unspecified point of the teardown, so wrapped objects, whose
// finalizers may run later, share the runtime itself.
struct RuntimeHolder {
  std::shared_ptr<Runtime> runtime;
};

}  // namespace

void PromiseJob::run() {
  if (cancelled()) return;
  try {
    execute();
  } catch (...) {
    error_ = current_error();
  }
}

// Forgets what is gone; called with every new one, so that the list stays as long as the number alive.
template <class T>
void add_weak(std::vector<std::weak_ptr<T>>& list, const std::shared_ptr<T>& member) {
  list.erase(
      std::remove_if(list.begin(), list.end(), [](const std::weak_ptr<T>& known) { return known.expired(); }),
      list.end());
  list.push_back(member);
}

Runtime::Runtime(std::string directory)
    : directory_(std::move(directory)),
      executor_([this](std::shared_ptr<Job> job) { finished(std::move(job)); }) {}

std::shared_ptr<Runtime> Runtime::create(Napi::Env env, const std::string& directory) {
  std::shared_ptr<Runtime> runtime(new Runtime(directory));
  runtime->wake_ = Wake::New(env, "wisemerge", 0, 1, runtime.get());
  runtime->wake_.Unref(env);
  // After the thread-safe function, which has a hook of its own: hooks run last in, first out. Instance data
  // is no substitute: Node does not finalize the main environment's at exit.
  env.AddCleanupHook([runtime] { runtime->shutdown(); });
  env.SetInstanceData(new RuntimeHolder{runtime});
  return runtime;
}

Runtime& Runtime::of(Napi::Env env) { return *env.GetInstanceData<RuntimeHolder>()->runtime; }

Napi::Object Runtime::start(Napi::Env env, std::shared_ptr<PromiseJob> job) {
  const std::weak_ptr<PromiseJob> target = job;
  const std::shared_ptr<Runtime> self = shared_from_this();
  const auto begin = [&] {
    if (!executor_.submit(job)) throw Error("ERR_ABORTED", "the environment is ending");
  };
  return start(env, job, begin, [self, target] {
    if (const auto live = target.lock()) self->executor_.cancel(live);
  });
}

Napi::Object Runtime::start(Napi::Env env, std::shared_ptr<PromiseJob> job,
                            const std::function<void()>& begin, std::function<void()> cancel) {
  job->deferred_.emplace(Napi::Promise::Deferred::New(env));
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("promise", job->deferred_->Promise());
  handle.Set("cancel",
             Napi::Function::New(env, [cancel = std::move(cancel)](const Napi::CallbackInfo&) { cancel(); }));
  begin();
  if (pending_++ == 0) wake_.Ref(env);
  return handle;
}

void Runtime::post(std::function<void()> task) { executor_.submit(std::make_shared<Task>(std::move(task))); }

void Runtime::adopt(const std::shared_ptr<Engine>& engine) { add_weak(engines_, engine); }
void Runtime::adopt(const std::shared_ptr<Stoppable>& stream) { add_weak(streams_, stream); }

void Runtime::finished(std::shared_ptr<Job> job) {
  {
    std::lock_guard<std::mutex> lock(finished_mutex_);
    finished_.push_back(std::move(job));
  }
  // Carries no data, so that a call lost to a closing environment loses nothing.
  wake_.NonBlockingCall();
}

void Runtime::on_wake(Napi::Env env, Napi::Function, Runtime* runtime, void*) {
  // Without an environment the queue is being emptied by a teardown, and `runtime` may be gone.
  if (static_cast<napi_env>(env) != nullptr && !runtime->ended_) runtime->settle_finished(env);
}

void Runtime::settle_finished(Napi::Env env) {
  std::vector<std::shared_ptr<Job>> jobs;
  {
    std::lock_guard<std::mutex> lock(finished_mutex_);
    jobs.swap(finished_);
  }
  for (const auto& job : jobs) {
    auto* const promised = dynamic_cast<PromiseJob*>(job.get());
    if (!promised) continue;
    if (--pending_ == 0) wake_.Unref(env);
    settle(env, *promised);
  }
}

void Runtime::settle(Napi::Env env, PromiseJob& job) {
  Napi::HandleScope scope(env);
  // Also when the job happened to finish first: the caller has already been told to expect nothing.
  if (!job.error_ && job.cancelled()) job.error_ = Error("ERR_ABORTED", "the operation was aborted");
  if (job.error_) {
    job.deferred_->Reject(make_error(env, *job.error_).Value());
    return;
  }
  try {
    job.deferred_->Resolve(job.result(env));
  } catch (const Napi::Error& error) {
    job.deferred_->Reject(error.Value());
  }
}

void Runtime::shutdown() {
  for (const auto& known : streams_) {
    if (const auto stream = known.lock()) stream->shutdown();
  }
  executor_.shutdown();
  ended_ = true;
  for (const auto& known : engines_) {
    if (const auto engine = known.lock()) engine->close();
  }
  finished_.clear();
  wake_.Abort();
}

}  // namespace wisemerge
