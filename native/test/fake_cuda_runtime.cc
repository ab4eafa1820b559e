// A CUDA runtime without a device, for the host side of the CUDA backend: device memory is host memory,
// kernels are replayed on the host, and streams run as late as the rules allow - only when somebody waits. A
// copy that is not ordered after what it needs, or host memory reused too early, so shows as a wrong result,
// and an access out of bounds as an AddressSanitizer report. With WISEMERGE_REPLAY_AHEAD uploads run at once,
// and nothing else does but what they wait for, so that device memory which is reused too early shows too.
//
// Linked instead of cudart and the .cu files; has the functions that native/cuda/*.cc call.
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <functional>

#include "cuda/kernels/lerp_mixed.h"
#include "cuda/launch.h"
#include "fake_cuda_stream.h"

struct CUevent_st {
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

cudaError_t memory(void** pointer, size_t bytes) {
  *pointer = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*pointer, 0x5a, bytes);
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorName(cudaError_t) { return "fake error"; }
const char* cudaGetErrorString(cudaError_t) { return "fake error"; }
cudaError_t cudaDriverGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  return *free_bytes = *total = size_t{1} << 30, cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int) {
  *value = name == cudaDevAttrComputeCapabilityMajor ? 9 : 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "replay");
  properties->totalGlobalMem = size_t{1} << 30;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) { return memory(pointer, bytes); }
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned) { return memory(pointer, bytes); }
cudaError_t cudaFree(void* pointer) { return std::free(pointer), cudaSuccess; }
cudaError_t cudaFreeHost(void* pointer) { return std::free(pointer), cudaSuccess; }
cudaError_t cudaHostRegister(void*, size_t, unsigned) { return cudaSuccess; }
cudaError_t cudaHostUnregister(void*) { return cudaSuccess; }
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes*, const void*) { return cudaErrorInvalidValue; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  (*stream)->ahead = std::getenv("WISEMERGE_REPLAY_AHEAD") != nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  while (!stream->queue.empty()) run_one(stream);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return *event = new CUevent_st, cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  event->recorded++;
  stream->queue.push_back([event] { event->reached++; });
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  run_until(event, event->recorded);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  stream->queue.push_back([event, times = event->recorded] { run_until(event, times); });
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  stream->queue.push_back([=] { std::memcpy(to, from, bytes); });
  if (stream->ahead && kind == cudaMemcpyHostToDevice) cudaStreamSynchronize(stream);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind, cudaStream_t stream) {
  stream->queue.push_back([=] {
    for (size_t i = 0; i < height; i++) {
      std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch,
                  width);
    }
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  stream->queue.push_back([=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

}  // extern "C"

namespace wisemerge::cuda {
namespace {

using LerpBody = void (*)(const GridPosition&, const LerpSegment*, uint32_t, uint32_t);

// A kernel with the signature of the device's: one block runs all tiles, thread after thread.
template <LerpBody Body>
void lerp_on_host(const LerpSegment* segments, uint32_t segment_count, uint32_t tile_count) {
  for (uint32_t thread = 0; thread < kLerpThreads; thread++) {
    Body({0, 1, thread, kLerpThreads}, segments, segment_count, tile_count);
  }
}

template <class LaneSums>
void compare_on_host(const CompareSegment* segments, uint32_t segment_count, LaneSums lane_sums) {
  for (uint32_t s = 0; s < segment_count; s++) {
    for (uint32_t block = 0; block < compare_block_count(segments[s].count); block++) {
      CompareSums lanes[kCompareLanes];
      for (uint32_t lane = 0; lane < kCompareLanes; lane++) lanes[lane] = lane_sums(segments[s], block, lane);
      for (uint32_t step = kCompareLanes / 2; step > 0; step /= 2) {
        for (uint32_t lane = 0; lane < step; lane++) compare_add(lanes[lane], lanes[lane + step]);
      }
      segments[s].blocks[block] = lanes[0];
    }
  }
}

template <DType D>
void compare_fused(const CompareSegment* segments, uint32_t segment_count, uint32_t) {
  compare_on_host(segments, segment_count, compare_lane<D, D>);
}
void compare_mixed(const CompareSegment* segments, uint32_t segment_count, uint32_t) {
  compare_on_host(segments, segment_count, compare_lane_mixed);
}

}  // namespace

LerpKernel lerp_kernel(DType x, DType y, DType out) {
#define X(a, b, c)                                                 \
  if (x == DType::a && y == DType::b && out == DType::c) {         \
    return {lerp_on_host<lerp_body<DType::a, DType::b, DType::c>>, \
            kLerpTileElements<DType::a, DType::b, DType::c>};      \
  }
  WM_FUSED_LERPS(X)
#undef X
  if (x == DType::kF64 || y == DType::kF64)
    return {lerp_on_host<lerp_mixed_body<double>>, kMixedTileElements};
  return {lerp_on_host<lerp_mixed_body<float>>, kMixedTileElements};
}

cudaError_t launch(const LerpKernel& kernel, const LerpSegment* segments, const LerpTotals& totals,
                   cudaStream_t stream) {
  stream->queue.push_back([=] { kernel.function(segments, totals.segments, totals.tiles); });
  return cudaSuccess;
}

CompareKernel compare_kernel(DType x, DType y) {
#define X(D) \
  if (x == DType::D && y == DType::D) return {compare_fused<DType::D>};
  WM_FLOAT_DTYPES(X)
#undef X
  return {compare_mixed};
}

cudaError_t launch(const CompareKernel& kernel, const CompareSegment* segments, const CompareTotals& totals,
                   cudaStream_t stream) {
  stream->queue.push_back([=] {
    kernel.function(segments, totals.segments, totals.blocks);
    for (uint32_t s = 0; s < totals.segments; s++) {
      for (uint32_t span = 0; span < compare_span_count(segments[s].count); span++) {
        compare_span(segments[s], span);
      }
    }
  });
  return cudaSuccess;
}

const char* kernel_architectures() { return "host replay"; }

}  // namespace wisemerge::cuda
