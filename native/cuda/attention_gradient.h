// The gradient of attention on device memory.
#pragma once

#include "cuda/network_gradients.h"

namespace wisemerge::cuda {

uint64_t attention_gradient_scratch(const WmOperation& operation);

// Asynchronous; throws Failure.
void run_attention_gradient(const GradientCall& call, std::byte* scratch, cudaStream_t stream);

}  // namespace wisemerge::cuda
