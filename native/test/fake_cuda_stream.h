// A stream of the CUDA runtime without a device: what is queued runs when somebody waits; uploads run at once
// where the environment has WISEMERGE_REPLAY_AHEAD when the stream is made.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

struct CUstream_st {
  std::deque<std::function<void()>> queue;
  bool ahead = false;
};
