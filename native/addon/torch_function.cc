#include "addon/torch_function.h"

#include <memory>
#include <utility>

#include "addon/arguments.h"
#include "addon/header_columns.h"
#include "addon/runtime.h"
#include "core/file_source.h"
#include "core/torch_file.h"
#include "core/xxh3.h"

namespace wisemerge {
namespace {

class TorchJob : public PromiseJob {
 public:
  TorchJob(int fd, uint64_t bytes) : source_(fd, bytes) {}

  void execute() override {
    file_ = read_torch_file(source_, cancel_flag());
    hash_.update(file_.identity.data(), file_.identity.size());
  }

  Napi::Value result(Napi::Env env) override {
    Napi::Object columns = header_columns(env, file_.header, hash_.digest());
    Napi::Array notes = Napi::Array::New(env, file_.notes.size());
    for (size_t i = 0; i < file_.notes.size(); i++) notes.Set(static_cast<uint32_t>(i), file_.notes[i]);
    columns.Set("notes", notes);
    return columns;
  }

 private:
  FileSource source_;
  TorchFile file_;
  Xxh3 hash_;
};

}  // namespace

Napi::Value parse_torch_file(const Napi::CallbackInfo& info) {
  const int fd = int_argument(info, 0, "fd");
  const uint64_t bytes = whole_argument(info, 1, "bytes");
  return Runtime::of(info.Env()).start(info.Env(), std::make_shared<TorchJob>(fd, bytes));
}

}  // namespace wisemerge
