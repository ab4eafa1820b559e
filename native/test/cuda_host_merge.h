// The kernels of merging many models run on the host as the device's launches run them, on `blocks` blocks.
#pragma once

#include <memory>
#include <vector>

#include "cuda/kernels/merge_combine.h"
#include "cuda/kernels/merge_count.h"
#include "cuda/kernels/merge_gram.h"
#include "cuda/kernels/merge_rows.h"
#include "host_block.h"

namespace wisemerge::test {

// body.template operator()<Scalar>() with the chunk's.
template <class Body>
void with_scalar(const cuda::MergeChunk& chunk, const Body& body) {
  if (chunk.wide) {
    body.template operator()<double>();
  } else {
    body.template operator()<float>();
  }
}

// Memory of a block: of its size exactly, so that a sanitizer sees what is beyond.
inline std::unique_ptr<std::byte[]> block_memory(size_t bytes) {
  auto memory = std::make_unique<std::byte[]>(bytes);
  for (size_t i = 0; i < bytes; i++) memory[i] = std::byte{0x5a};
  return memory;
}

inline void combine_on_host(const cuda::MergeCombine& call, uint32_t blocks = 1, bool descending = false) {
  using cuda::kCombineThreads;
  with_scalar(call.chunk, [&]<class Scalar>() {
    const auto memory = block_memory(cuda::combine_memory(call));
    for (uint32_t block = 0; block < blocks; block++) {
      HostBlock{block, blocks, kCombineThreads, descending}([&](uint32_t thread) {
        cuda::combine_body({block, blocks, thread, kCombineThreads}, call,
                           reinterpret_cast<Scalar*>(memory.get()));
      });
    }
  });
}

inline void count_on_host(const cuda::MergeCount& call, uint32_t blocks = 1, bool descending = false) {
  with_scalar(call.chunk, [&]<class Scalar>() {
    const auto shared = std::make_unique<cuda::CountShared>();
    for (uint32_t block = 0; block < blocks; block++) {
      cuda::count_block<Scalar>(HostBlock{block, blocks, cuda::kCountThreads, descending}, call, *shared);
    }
  });
}

inline void overlap_on_host(const cuda::MergeOverlap& call, uint32_t blocks = 1, bool descending = false) {
  with_scalar(call.chunk, [&]<class Scalar>() {
    std::vector<uint32_t> shared(2 * call.chunk.models, 77);
    for (uint32_t block = 0; block < blocks; block++) {
      cuda::overlap_block<Scalar>(HostBlock{block, blocks, cuda::kOverlapThreads, descending}, call,
                                  shared.data());
    }
  });
}

inline void sums_on_host(const cuda::MergeSums& call, bool descending = false) {
  with_scalar(call.chunk, [&]<class Scalar>() {
    const auto shared = std::make_unique<cuda::SumsShared>();
    const uint64_t works = call.units.count * cuda::sums_groups(call.chunk);
    for (uint64_t work = 0; work < works; work++) {
      cuda::sums_block<Scalar>(HostBlock{0, 1, cuda::kSumsThreads, descending}, call, work, *shared);
    }
  });
}

inline void gram_on_host(const cuda::MergeGram& call, bool descending = false) {
  with_scalar(call.chunk, [&]<class Scalar>() {
    const auto shared = std::make_unique<cuda::GramShared>();
    const uint64_t works = call.units.count * cuda::gram_tiles(call.chunk);
    for (uint64_t work = 0; work < works; work++) {
      cuda::gram_block<Scalar>(HostBlock{0, 1, cuda::kGramThreads, descending}, call, work, *shared);
    }
  });
}

inline void columns_on_host(const cuda::MergeColumns& call, uint32_t blocks = 1) {
  with_scalar(call.chunk, [&]<class Scalar>() {
    for (uint32_t block = 0; block < blocks; block++) {
      for (uint32_t thread = 0; thread < cuda::kColumnThreads; thread++) {
        cuda::columns_body<Scalar>({block, blocks, thread, cuda::kColumnThreads}, call);
      }
    }
  });
}

// `call.mask` is zeros.
inline void ranks_on_host(const cuda::MergeRanks& call, uint32_t blocks = 1, bool descending = false) {
  with_scalar(call.chunk, [&]<class Scalar>() {
    const uint64_t rows = call.chunk.count / call.chunk.row;
    std::vector<cuda::WideRank> shared(cuda::kRankShared / sizeof(cuda::WideRank));
    for (uint32_t block = 0; block < blocks; block++) {
      for (uint64_t row = block; row < rows; row += blocks) {
        cuda::rank_block<Scalar>(HostBlock{block, blocks, cuda::kRankThreads, descending}, call, row,
                                 reinterpret_cast<std::byte*>(shared.data()));
      }
    }
  });
}

// One thread of a group stands for all of its lanes (lanes.h).
inline void divergence_on_host(const cuda::MergeDivergence& call, uint32_t blocks = 1) {
  for (uint32_t block = 0; block < blocks; block++) {
    for (uint32_t thread = 0; thread < cuda::kDivergenceThreads; thread += kMergeLanes) {
      cuda::divergence_body({block, blocks, thread, cuda::kDivergenceThreads}, call);
    }
  }
}

}  // namespace wisemerge::test
