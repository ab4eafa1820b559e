#include "fake_cuda_control.h"

#include <atomic>

#include "fake_cuda_stream.h"

namespace wisemerge::test {
namespace {

std::atomic<uint64_t> calls{0}, fails_at{UINT64_MAX};
std::atomic<int32_t> failure{0};
std::atomic<bool> failure_sticks{false};
std::atomic<int32_t> stuck{0};

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

void fail(uint64_t after, int32_t status, bool sticky) {
  stuck = 0;
  failure = status;
  failure_sticks = sticky;
  fails_at = status ? calls + after : UINT64_MAX;
  last_error = cudaSuccess;
}

}  // namespace

cudaError_t fake_call(bool waits) {
  const uint64_t number = calls++;
  if (const int32_t status = stuck) return static_cast<cudaError_t>(status);
  if (number != fails_at || (waits && !failure_sticks)) return cudaSuccess;
  if (failure_sticks) stuck = failure.load();
  return static_cast<cudaError_t>(failure.load());
}

cudaError_t fake_result(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

void fake_stick(cudaError_t status) { stuck = status; }

int fake_current_device() { return current_device; }
cudaError_t fake_select_device(int device) {
  if (device < 0 || device >= kFakeDevices) return cudaErrorInvalidDevice;
  return current_device = device, cudaSuccess;
}

cudaError_t fake_launch(cudaStream_t stream, std::function<void()> kernel) {
  cudaError_t status = fake_call();
  if (status == cudaSuccess && stream->device != current_device) status = cudaErrorInvalidResourceHandle;
  if (fake_result(status) == cudaSuccess) stream->queue.push_back(std::move(kernel));
  return cudaGetLastError();
}

}  // namespace wisemerge::test

extern "C" {

cudaError_t cudaGetLastError() {
  using namespace wisemerge::test;
  const cudaError_t status = stuck ? static_cast<cudaError_t>(stuck.load()) : last_error;
  last_error = cudaSuccess;
  return status;
}

__attribute__((visibility("default"))) const wisemerge::test::ReplayControl* wisemerge_replay_control() {
  using namespace wisemerge::test;
  static const ReplayControl control = {[] { return calls.load(); }, fail};
  return &control;
}

}  // extern "C"
