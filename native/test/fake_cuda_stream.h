// Streams of the CUDA runtime without a device, and what its calls have in common: the thread's current
// device, the thread's last error, and errors that are made.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <functional>

// What is queued runs when somebody waits; uploads run at once where the environment has
// WISEMERGE_REPLAY_AHEAD when the stream is made.
struct CUstream_st {
  int device;
  bool ahead;
  std::deque<std::function<void()>> queue;
};

namespace wisemerge::test {

inline constexpr int kFakeDevices = 2;

// The start of every call that can fail: what was to be made of it (fake_cuda_control.h), or the error that
// the device is stuck with. One that waits fails of what it waits for alone, which stays.
cudaError_t fake_call(bool waits = false);
// The end of every call: `status`, which becomes the thread's last error unless it is none.
cudaError_t fake_result(cudaError_t status);
// From now on all calls give `status`, and nothing that is queued runs any more.
void fake_stick(cudaError_t status);

int fake_current_device();
cudaError_t fake_select_device(int device);

// A launch of a kernel: refused on a stream of another device than the current one. As launches by <<< >>>
// give what cudaGetLastError() does, an error that somebody left behind shows as theirs.
cudaError_t fake_launch(cudaStream_t stream, std::function<void()> kernel);

}  // namespace wisemerge::test
