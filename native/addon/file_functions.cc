#include "addon/file_functions.h"

#include <memory>

#include "addon/arguments.h"
#include "addon/runtime.h"
#include "core/file_hints.h"
#include "core/shared_fd.h"

namespace wisemerge {
namespace {

// A job because reserving space writes on some file systems.
class PreallocateJob : public PromiseJob {
 public:
  PreallocateJob(int fd, uint64_t bytes) : file_(fd), bytes_(bytes) {}
  void execute() override { reserved_ = preallocate(file_.get(), bytes_); }
  Napi::Value result(Napi::Env env) override { return Napi::Boolean::New(env, reserved_); }

 private:
  const SharedFd file_;
  const uint64_t bytes_;
  bool reserved_ = false;
};

class SyncJob : public PromiseJob {
 public:
  explicit SyncJob(int fd) : file_(fd) {}
  void execute() override { sync_file(file_.get()); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  const SharedFd file_;
};

}  // namespace

Napi::Value sync_file_job(const Napi::CallbackInfo& info) {
  const int fd = int_argument(info, 0, "fd");
  return Runtime::of(info.Env()).start(info.Env(), std::make_shared<SyncJob>(fd));
}

Napi::Value preallocate_file(const Napi::CallbackInfo& info) {
  const int fd = int_argument(info, 0, "fd");
  const uint64_t bytes = whole_argument(info, 1, "bytes");
  return Runtime::of(info.Env()).start(info.Env(), std::make_shared<PreallocateJob>(fd, bytes));
}

Napi::Value cached_file_bytes(const Napi::CallbackInfo& info) {
  const auto cached = cached_bytes(int_argument(info, 0, "fd"), whole_argument(info, 1, "bytes"));
  if (!cached) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), static_cast<double>(*cached));
}

Napi::Value evict_file(const Napi::CallbackInfo& info) {
  evict(int_argument(info, 0, "fd"));
  return info.Env().Undefined();
}

}  // namespace wisemerge
