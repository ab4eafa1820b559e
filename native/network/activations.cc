#include "network/activations.h"

#include <algorithm>

#include "network/functions.h"

namespace wisemerge::network {
namespace {

// Elements that cost more to compute than a thread to wake.
constexpr size_t kGrain = 32u << 10;

// Calls body(f) with the function itself, so that loops over it are compiled for it.
template <class Body>
void with_function(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::kGelu:
      return body([](float x) { return gelu(x); });
    case Activation::kRelu:
      // Written so that NaN passes.
      return body([](float x) { return x < 0.0f ? 0.0f : x; });
    case Activation::kQuickGelu:
      return body([](float x) { return swish(x, kQuickGeluSlope); });
    case Activation::kGeluTanh:
      return body([](float x) { return gelu_tanh(x); });
    case Activation::kSilu:
      return body([](float x) { return swish(x, 1.0f); });
    case Activation::kTanh:
      return body([](float x) { return hyperbolic_tangent(x); });
  }
}

}  // namespace

size_t grain_of(size_t width) { return std::max<size_t>(1, kGrain / std::max<size_t>(1, width)); }

void activate(ThreadPool& pool, Activation activation, const float* x, size_t count, float* out) {
  with_function(activation, [&](const auto& f) {
    pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) out[i] = f(x[i]);
    });
  });
}

void gate(ThreadPool& pool, Activation activation, const float* x, const float* y, size_t count, float* out) {
  with_function(activation, [&](const auto& f) {
    pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) out[i] = f(x[i]) * y[i];
    });
  });
}

void add(ThreadPool& pool, const float* x, const float* y, size_t count, float* out) {
  pool.parallel_for(count, kGrain, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) out[i] = x[i] + y[i];
  });
}

}  // namespace wisemerge::network
