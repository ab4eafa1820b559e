// Products with weights between two models, and what is made of them a slice at a time.
#pragma once

#include "cuda/cublas_lt.h"
#include "cuda/network_launch.h"
#include "wisemerge/backend.h"

namespace wisemerge::cuda {

// How products of a network are computed.
struct ProductRule {
  bool fast;  // by tensor cores
  int32_t way;
  CublasLt* library = nullptr;  // for products whose weights are in scratch memory

  // Whether weights that lie between two models are interpolated into scratch memory before a product of so
  // many rows, not inside it. Inside, every tile of 128 rows interpolates its weights anew; before, they go
  // to memory and back once: the same at about this many rows (docs/networks.md, "On a GPU", derives it), and
  // at fewer where a library's product makes up for it.
  bool scratch(uint64_t rows) const {
    return way == WM_WAY_AUTO ? rows >= (library ? 256 : 1024) : way == WM_WAY_SCRATCH;
  }
};

// out [rows, outputs] = x [rows, inputs] W^T + bias, W the rows from `first` on of [?, inputs]; or all of
// [inputs, outputs] if transposed.
struct NetworkProduct {
  uint64_t rows, inputs, outputs;
  bool transposed;
  const float* x;
  Ends weight, bias;  // bias.x null: none
  uint64_t first;
  float* out;
};

// Bytes of scratch memory.
uint64_t product_scratch(const ProductRule& rule, uint64_t rows, uint64_t inputs, uint64_t outputs);
uint64_t head_losses_scratch(const ProductRule& rule, uint64_t rows, uint64_t inputs, uint64_t classes);

// Both asynchronous; throw Failure.
void run_product(const ProductRule& rule, NetworkProduct call, std::byte* scratch, cudaStream_t stream);

// Losses of the rows by logits x W^T, which exist a slice of classes at a time: as TokenLosses of all.
struct HeadLosses {
  uint64_t rows, inputs, classes;
  const float* x;
  Ends weight;
  const int32_t* labels;
  float* out;
};
void run_head_losses(const ProductRule& rule, const HeadLosses& call, std::byte* scratch,
                     cudaStream_t stream);

}  // namespace wisemerge::cuda
