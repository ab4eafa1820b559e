// Finds cuBLASLt, once in a process. It stays loaded.
#include <dlfcn.h>

#include "cuda/cublas_lt.h"

namespace wisemerge::cuda {
namespace {

struct Name {
  const char* file;
  int major;  // of CUDA; 0: unknown
};

// The newest first; the functions in use are the same in all of them. They are found where the loader looks:
// installed, or on LD_LIBRARY_PATH.
constexpr Name kNames[] = {{"libcublasLt.so.13", 13}, {"libcublasLt.so.12", 12}, {"libcublasLt.so", 0}};

void* library() {
  static void* const handle = [] {
    int driver = 0;
    cudaDriverGetVersion(&driver);
    for (const Name& name : kNames) {
      // One for a newer driver opens, and then does nothing.
      if (name.major > driver / 1000) continue;
      if (void* const found = dlopen(name.file, RTLD_NOW | RTLD_LOCAL)) return found;
    }
    return static_cast<void*>(nullptr);
  }();
  return handle;
}

}  // namespace

void* cublas_lt_function(const char* name) { return library() ? dlsym(library(), name) : nullptr; }

const char* cublas_lt_names() { return "libcublasLt.so.13, where the driver is as new, or .12"; }

}  // namespace wisemerge::cuda
