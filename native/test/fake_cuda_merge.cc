// The launches of merging many models for the CUDA runtime without a device (fake_cuda_runtime.cc).
#include <cstring>

#include "cuda/merge_launch.h"
#include "cuda_host_merge.h"
#include "fake_cuda_stream.h"

namespace wisemerge::cuda {

// Many models' columns in `memory`, as on the device.
cudaError_t launch(const MergeCombine& call, std::byte* memory, uint32_t blocks, cudaStream_t stream) {
  return test::fake_launch(stream, [=] {
    if (!memory) return test::combine_on_host(call);
    test::with_scalar(call.chunk, [&]<class Scalar>() {
      for (uint32_t block = 0; block < blocks; block++) {
        for (uint32_t thread = 0; thread < kCombineThreads; thread++) {
          combine_body({block, blocks, thread, kCombineThreads}, call,
                       reinterpret_cast<Scalar*>(memory + block * combine_memory(call)));
        }
      }
    });
  });
}
cudaError_t launch(const MergeCount& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::count_on_host(call); });
}
cudaError_t launch(const MergeOverlap& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::overlap_on_host(call); });
}
cudaError_t launch(const MergeSums& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::sums_on_host(call); });
}
cudaError_t launch(const MergeGram& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::gram_on_host(call); });
}
cudaError_t launch(const MergeColumns& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::columns_on_host(call); });
}
cudaError_t launch(const MergeRanks& call, uint32_t blocks, cudaStream_t stream) {
  return test::fake_launch(stream, [=] {
    std::memset(call.mask, 0, (call.chunk.count + 31) / 32 * sizeof(uint32_t));
    test::ranks_on_host(call, blocks);
  });
}
cudaError_t launch(const MergeDivergence& call, cudaStream_t stream) {
  return test::fake_launch(stream, [call] { test::divergence_on_host(call); });
}

}  // namespace wisemerge::cuda
