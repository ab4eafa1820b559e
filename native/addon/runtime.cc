#include "addon/runtime.h"

#include <algorithm>
#include <new>
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
  } catch (const Error& error) {
    error_code_ = error.code();
    error_message_ = error.what();
  } catch (const std::bad_alloc&) {
    error_code_ = "ERR_OUT_OF_MEMORY";
    error_message_ = "out of memory";
  } catch (const std::exception& error) {
    error_code_ = "ERR_INTERNAL";
    error_message_ = error.what();
  }
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
  job->deferred_.emplace(Napi::Promise::Deferred::New(env));
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("promise", job->deferred_->Promise());
  const std::weak_ptr<PromiseJob> target = job;
  const std::shared_ptr<Runtime> self = shared_from_this();
  handle.Set("cancel", Napi::Function::New(env, [self, target](const Napi::CallbackInfo&) {
               if (const auto live = target.lock()) self->executor_.cancel(live);
             }));
  if (!executor_.submit(std::move(job))) throw Error("ERR_ABORTED", "the environment is ending");
  if (pending_++ == 0) wake_.Ref(env);
  return handle;
}

void Runtime::post(std::function<void()> task) { executor_.submit(std::make_shared<Task>(std::move(task))); }

void Runtime::adopt(const std::shared_ptr<Engine>& engine) {
  engines_.erase(std::remove_if(engines_.begin(), engines_.end(),
                                [](const std::weak_ptr<Engine>& known) { return known.expired(); }),
                 engines_.end());
  engines_.push_back(engine);
}

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
  if (job.error_code_.empty() && job.cancelled()) {
    // Also when the job happened to finish first: the caller has already been told to expect nothing.
    job.error_code_ = "ERR_ABORTED";
    job.error_message_ = "the operation was aborted";
  }
  if (!job.error_code_.empty()) {
    job.deferred_->Reject(make_error(env, job.error_code_, job.error_message_).Value());
    return;
  }
  try {
    job.deferred_->Resolve(job.result(env));
  } catch (const Napi::Error& error) {
    job.deferred_->Reject(error.Value());
  }
}

void Runtime::shutdown() {
  executor_.shutdown();
  ended_ = true;
  for (const auto& known : engines_) {
    if (const auto engine = known.lock()) engine->close();
  }
  finished_.clear();
  wake_.Abort();
}

}  // namespace wisemerge
