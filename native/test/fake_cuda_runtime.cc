// A CUDA runtime without a device, for the host side of the CUDA backend: device memory is host memory,
// kernels are replayed on the host, and streams run as late as the rules allow - only when somebody waits. A
// copy that is not ordered after what it needs, or host memory reused too early, so shows as a wrong result,
// and an access out of bounds as an AddressSanitizer report. With WISEMERGE_REPLAY_AHEAD uploads run at once,
// and nothing else does but what they wait for, so that device memory which is reused too early shows too.
//
// Stricter than the real one where that would be slow rather than wrong: asynchronous copies take page-locked
// memory of the host alone. There are two devices, on which nothing differs but whose streams are whose.
//
// Linked instead of cudart and the .cu files; has the functions that native/cuda/*.cc call.
#include <cuda_runtime_api.h>

#include <climits>
#include <cstdlib>
#include <cstring>

#include "fake_cuda_memory.h"
#include "fake_cuda_stream.h"

using namespace wisemerge::test;

struct CUevent_st {
  int device;
  cudaStream_t stream = nullptr;
  uint64_t recorded = 0, reached = 0;  // how often
};

namespace {

void run_one(cudaStream_t stream) {
  const std::function<void()> next = std::move(stream->queue.front());
  stream->queue.pop_front();
  next();
}

// Runs the event's stream until the event has been reached `times` times.
void run_until(cudaEvent_t event, uint64_t times) {
  while (event->reached < times) run_one(event->stream);
}

// call() unless this call is to fail.
template <class Call>
cudaError_t guarded(Call&& call, bool waits = false) {
  const cudaError_t status = fake_call(waits);
  return fake_result(status == cudaSuccess ? call() : status);
}

// One side of a copy.
bool holds(const void* pointer, size_t bytes, bool device) {
  return bytes == 0 || (device ? fake_device_holds(pointer, bytes) : fake_pinned_holds(pointer, bytes));
}

struct Copy {
  void* to;
  const void* from;
  size_t to_bytes, from_bytes;
  cudaMemcpyKind kind;
  bool possible() const {
    return holds(to, to_bytes, kind != cudaMemcpyDeviceToHost) &&
           holds(from, from_bytes, kind != cudaMemcpyHostToDevice);
  }
};

// move() behind what the stream has; whether the memory is there is asked now and then.
template <class Move>
cudaError_t copy(const Copy& what, cudaStream_t stream, Move&& move) {
  if (!what.possible()) return cudaErrorInvalidValue;
  stream->queue.push_back([=] {
    if (!what.possible()) return fake_stick(cudaErrorIllegalAddress);
    move();
  });
  if (stream->ahead && what.kind == cudaMemcpyHostToDevice) {
    while (!stream->queue.empty()) run_one(stream);
  }
  return cudaSuccess;
}

}  // namespace

extern "C" {

const char* cudaGetErrorName(cudaError_t) { return "fake error"; }
const char* cudaGetErrorString(cudaError_t) { return "fake error"; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  return guarded([&] { return *count = kFakeDevices, cudaSuccess; });
}
cudaError_t cudaSetDevice(int device) {
  return guarded([&] { return fake_select_device(device); });
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  return guarded([&] { return *free_bytes = *total = size_t{1} << 30, cudaSuccess; });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int) {
  return guarded([&] { return *value = name == cudaDevAttrComputeCapabilityMajor ? 9 : 1, cudaSuccess; });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  return guarded([&] {
    *properties = {};
    std::strcpy(properties->name, "replay");
    properties->totalGlobalMem = size_t{1} << 30;
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return guarded([&] { return fake_allocate(pointer, bytes, FakeMemory::kDevice); });
}
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
  return guarded([&] { return fake_allocate(pointer, bytes, FakeMemory::kPinned); });
}
// What is freed is freed, even on a device that is stuck.
cudaError_t cudaFree(void* pointer) { return fake_result(fake_free(pointer, FakeMemory::kDevice)); }
cudaError_t cudaFreeHost(void* pointer) { return fake_result(fake_free(pointer, FakeMemory::kPinned)); }
cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned) {
  return guarded([&] { return fake_register(pointer, bytes); });
}
cudaError_t cudaHostUnregister(void* pointer) { return fake_result(fake_unregister(pointer)); }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return guarded([&] {
    *attributes = {};
    attributes->type = fake_device_holds(pointer, 1)   ? cudaMemoryTypeDevice
                       : fake_pinned_holds(pointer, 1) ? cudaMemoryTypeHost
                                                       : cudaMemoryTypeUnregistered;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return guarded([&] {
    *stream = new CUstream_st{fake_current_device(), std::getenv("WISEMERGE_REPLAY_AHEAD") != nullptr, {}};
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const auto drain = [&] {
    while (!stream->queue.empty()) run_one(stream);
    return cudaSuccess;
  };
  return guarded(drain, true);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return guarded([&] { return *event = new CUevent_st{fake_current_device()}, cudaSuccess; });
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return guarded([&] {
    if (event->device != stream->device) return cudaErrorInvalidResourceHandle;
    event->stream = stream;
    event->recorded++;
    stream->queue.push_back([event] { event->reached++; });
    return cudaSuccess;
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return guarded([&] { return run_until(event, event->recorded), cudaSuccess; }, true);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return guarded([&] {
    stream->queue.push_back([event, times = event->recorded] { run_until(event, times); });
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return guarded([&] {
    return copy({to, from, bytes, bytes, kind}, stream, [=] { std::memcpy(to, from, bytes); });
  });
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return guarded([&] {
    if (to_pitch < width || from_pitch < width || to_pitch > INT_MAX || from_pitch > INT_MAX) {
      return cudaErrorInvalidPitchValue;
    }
    const auto extent = [&](size_t pitch) { return height == 0 ? 0 : (height - 1) * pitch + width; };
    return copy({to, from, extent(to_pitch), extent(from_pitch), kind}, stream, [=] {
      for (size_t i = 0; i < height; i++) {
        std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch,
                    width);
      }
    });
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return guarded([&] {
    return copy({to, to, bytes, bytes, cudaMemcpyDeviceToDevice}, stream,
                [=] { std::memset(to, value, bytes); });
  });
}

}  // extern "C"
