// How the parity program has calls of the CUDA runtime without a device fail: a table that the library with
// it exports as kReplayControl, and that a library for a device does not have.
#pragma once

#include <cstdint>

namespace wisemerge::test {

struct ReplayControl {
  // Calls so far that can fail.
  uint64_t (*calls)();
  // The call that comes after `calls` others fails with `status`, a cudaError_t; if `sticky`, so does every
  // one behind it. Status 0: none fails, and the device is well.
  void (*fail)(uint64_t calls, int32_t status, bool sticky);
};

inline constexpr char kReplayControl[] = "wisemerge_replay_control";

}  // namespace wisemerge::test
