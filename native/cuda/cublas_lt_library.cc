// Finds cuBLASLt, once in a process. It stays loaded.
#include <dlfcn.h>

#include "cuda/cublas_lt.h"

namespace wisemerge::cuda {
namespace {

// The newest first; the functions in use are the same in all of them. They are found where the loader looks:
// installed, or on LD_LIBRARY_PATH.
constexpr const char* kNames[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};

void* library() {
  static void* const handle = [] {
    for (const char* name : kNames) {
      if (void* const found = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return found;
    }
    return static_cast<void*>(nullptr);
  }();
  return handle;
}

}  // namespace

void* cublas_lt_function(const char* name) { return library() ? dlsym(library(), name) : nullptr; }

const char* cublas_lt_names() { return "libcublasLt.so.13, .12"; }

}  // namespace wisemerge::cuda
