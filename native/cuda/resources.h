// Owners of CUDA's handles and memory. All belong to the device that was current when they were made, and are
// destroyed with that device current.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "cuda/failure.h"

namespace wisemerge::cuda {

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream"); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  // Blocking: a host thread that waits sleeps, since waits are long (a slot's transfers).
  Event() {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming | cudaEventBlockingSync),
          "creating an event");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes) {
    if (const cudaError_t status = cudaMalloc(&memory_, bytes)) {
      fail(status, "allocating " + std::to_string(bytes >> 10) + " KiB of device memory");
    }
  }
  ~DeviceMemory() { cudaFree(memory_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  std::byte* get() const { return static_cast<std::byte*>(memory_); }

 private:
  void* memory_ = nullptr;
};

class PinnedMemory {
 public:
  explicit PinnedMemory(size_t bytes) {
    if (const cudaError_t status = cudaHostAlloc(&memory_, bytes, cudaHostAllocDefault)) {
      fail(status, "allocating " + std::to_string(bytes >> 10) + " KiB of pinned host memory");
    }
  }
  ~PinnedMemory() { cudaFreeHost(memory_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  std::byte* get() const { return static_cast<std::byte*>(memory_); }

 private:
  void* memory_ = nullptr;
};

}  // namespace wisemerge::cuda
