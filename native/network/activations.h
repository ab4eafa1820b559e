// The element-wise functions of networks, over f32 arrays. Every element is computed by one thread, so that
// results do not depend on the number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/thread_pool.h"
#include "cpu/kernels.h"
#include "wisemerge/operations.h"

namespace wisemerge::network {

// The best level of this processor. All levels give the same bits.
const cpu::Kernels& host_kernels();

// Rows, or columns, of a [rows, width] matrix that are worth a hand-over to another thread.
size_t grain_of(size_t width);

// out = f(x). `count` elements; out may be x.
void activate(ThreadPool& pool, Activation activation, const float* x, size_t count, float* out);

// out = f(x) * y: the gate of a gated linear unit (Shazeer, 2020). out may be x or y.
void gate(ThreadPool& pool, Activation activation, const float* x, const float* y, size_t count, float* out);

// out = x + y; out may be either.
void add(ThreadPool& pool, const float* x, const float* y, size_t count, float* out);

}  // namespace wisemerge::network
