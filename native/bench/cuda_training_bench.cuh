// A step of training on a device: the backward passes of one block in the shape of ViT-B/16, and AdamW.
#pragma once

#include "cuda_timing.cuh"

namespace wisemerge::cuda {

// Prints members of a JSON object: of each pass alone, TFLOP/s of products and their share of the forward
// product's, else GB/s of the bytes that it must move.
void training_runs();

}  // namespace wisemerge::cuda
