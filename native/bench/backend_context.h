// The CPU backend opened for a benchmark.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cpu/cpu_backend.h"
#include "wisemerge/backend.h"

namespace wisemerge::bench {

struct Context {
  Context(int threads, const char* isa) {
    const WmOpenOptions options = {0, threads, isa, WM_EXACT, 0};
    check(backend->open(&options, &context, &error));
  }
  ~Context() { backend->close(context); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  void check(WmCode code) const {
    if (code == WM_OK) return;
    std::fprintf(stderr, "backend: %s\n", error.message);
    std::exit(1);
  }
  const WmBackend* backend = wisemerge_cpu_backend();
  WmContext* context = nullptr;
  WmError error = {};
};

}  // namespace wisemerge::bench
