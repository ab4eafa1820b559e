#include "network/activations.h"

#include <algorithm>

namespace wisemerge::network {
namespace {

// Elements that cost more to compute than a thread to wake.
constexpr size_t kGrain = 32u << 10;

}  // namespace

const cpu::Kernels& host_kernels() {
  static const cpu::Kernels* const best = cpu::select_kernels(nullptr);
  return *best;
}

size_t grain_of(size_t width) { return std::max<size_t>(1, kGrain / std::max<size_t>(1, width)); }

void activate(ThreadPool& pool, Activation activation, const float* x, size_t count, float* out) {
  gate(pool, activation, x, nullptr, count, out);
}

void gate(ThreadPool& pool, Activation activation, const float* x, const float* y, size_t count, float* out) {
  pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
    host_kernels().activate(activation, x + begin, y ? y + begin : nullptr, end - begin, out + begin);
  });
}

void add(ThreadPool& pool, const float* x, const float* y, size_t count, float* out) {
  pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
    host_kernels().add_floats(x + begin, y + begin, end - begin, out + begin);
  });
}

}  // namespace wisemerge::network
