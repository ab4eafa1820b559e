// What the benchmarks on a device share: operands, and times by events.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/launch.h"
#include "cuda/resources.h"

namespace wisemerge::cuda {

inline constexpr int kWarmUps = 3;
inline constexpr int kRepeats = 25;  // medians of

// Weights around 1 of both signs: no NaN, no zeros, no equal pairs.
template <DType D>
__global__ void fill(typename Element<D>::Bits* to, uint64_t count, uint64_t seed) {
  for (uint64_t i = blockIdx.x * uint64_t{blockDim.x} + threadIdx.x; i < count;
       i += uint64_t{gridDim.x} * blockDim.x) {
    uint64_t z = (i + seed) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    to[i] = Element<D>::store32(static_cast<float>(static_cast<int64_t>(z ^ (z >> 31))) * 0x1p-62f);
  }
}

// Bytes that kernels on `stream` read: copies on the default stream are not ordered before them.
inline void upload(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "copying to the device");
  check(cudaStreamSynchronize(stream), "copying to the device");
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Milliseconds of `work` on `stream`, by events.
template <class Work>
double event_time(cudaStream_t stream, Work&& work) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "creating an event");
  check(cudaEventCreate(&end), "creating an event");
  check(cudaEventRecord(begin, stream), "recording an event");
  work();
  check(cudaEventRecord(end, stream), "recording an event");
  check(cudaEventSynchronize(end), "waiting for the device");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, begin, end), "reading the time");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return milliseconds;
}

}  // namespace wisemerge::cuda
