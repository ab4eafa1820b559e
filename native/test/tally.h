// What the parity program counts, and the backends it opens.
#pragma once

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

#include "wisemerge/backend.h"

namespace wisemerge::test {

// Counts checks; prints the first failures.
class Tally {
 public:
  void expect(bool good, const std::string& what) {
    checks_++;
    if (good) return;
    if (++failures_ <= 20) std::fprintf(stderr, "FAIL %s\n", what.c_str());
  }
  // Runs `checks`; says so beforehand, for a run that does not come to its end. What they throw is a failure
  // of theirs, and others go on.
  template <class Checks>
  void section(const char* name, Checks&& checks) {
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - start_;
    std::fprintf(stderr, "%.1f s: %s\n", since.count(), name);
    try {
      checks();
    } catch (const std::exception& error) {
      expect(false, std::string(name) + ": " + error.what());
    }
  }
  uint64_t checks() const { return checks_; }
  uint64_t failures() const { return failures_; }

 private:
  uint64_t checks_ = 0, failures_ = 0;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Contexts are opened and closed with the object. `context` is null if opening failed, `error` says why.
struct Opened {
  Opened(const WmBackend* table, int32_t device, int32_t precision = WM_EXACT) : backend(table) {
    const WmOpenOptions options = {device, 0, nullptr, precision, 0};
    code = backend->open(&options, &context, &error);
  }
  ~Opened() {
    if (context) backend->close(context);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

  const WmBackend* backend;
  WmContext* context = nullptr;
  WmError error = {};
  WmCode code;
};

}  // namespace wisemerge::test
