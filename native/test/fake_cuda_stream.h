// A stream of the CUDA runtime without a device: what is queued runs when somebody waits.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

struct CUstream_st {
  std::deque<std::function<void()>> queue;
};
