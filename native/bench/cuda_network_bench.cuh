// Whole networks on a device: blocks in the shape of ViT-B/16 and of a decoder of 1B parameters.
#pragma once

#include "cuda_timing.cuh"

namespace wisemerge::cuda {

// Prints members of a JSON object: for each shape and precision (tf32 where cuBLASLt is), TFLOP/s of one
// point between two models, from host memory to host memory, and its share of the rate of the largest product
// alone, both ways of interpolation; eight points against eight times one; weights streamed against resident
// ones. Throws Failure if results are wrong.
void network_runs();

}  // namespace wisemerge::cuda
