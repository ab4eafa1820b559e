// The kernels of matrix products and heads on data resident on the device.
#pragma once

#include "cuda_timing.cuh"

namespace wisemerge::cuda {

// Prints members of a JSON object: TFLOP/s of matrix products and their share of cuBLAS (null where there is
// no cuBLAS), those by tensor cores and how many times the exact ones that is, GB/s of the exact path,
// metrics of samples at 21 alphas. Throws Failure if a result is wrong.
void head_kernels();

}  // namespace wisemerge::cuda
