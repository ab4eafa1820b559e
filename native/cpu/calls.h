// What the calls of the CPU backend share: its context, and codes instead of exceptions.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <exception>
#include <new>
#include <vector>

#include "core/thread_pool.h"
#include "cpu/kernels.h"
#include "cpu/scratch.h"
#include "wisemerge/backend.h"

struct WmContext {
  WmContext(int threads, const wisemerge::cpu::Kernels* level) : pool(threads), kernels(level) {}

  wisemerge::ThreadPool pool;
  const wisemerge::cpu::Kernels* kernels;
  std::vector<size_t> first_tiles;  // of each item of a call, then their total; kept to save allocations
  wisemerge::FloatArray packed;     // the part of w that a matrix product works on
  wisemerge::FloatArray logits;     // of a batch that nobody else wants
  wisemerge::cpu::ThreadScratch scratch;  // of whoever computes a range of a parallel_for
};

namespace wisemerge::cpu {

__attribute__((format(printf, 3, 4))) inline WmCode fail(WmError* error, WmCode code, const char* format,
                                                         ...) {
  if (error) {
    error->native_code = 0;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
  }
  return code;
}

// Runs `body` and turns what it may throw into a code: no exception may cross the C ABI.
template <class Body>
WmCode guarded(WmError* error, Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return fail(error, WM_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& exception) {
    return fail(error, WM_DEVICE_ERROR, "%s", exception.what());
  }
}

inline bool raised(WmCancelFlag flag) { return flag && __atomic_load_n(flag, __ATOMIC_RELAXED) != 0; }

}  // namespace wisemerge::cpu
