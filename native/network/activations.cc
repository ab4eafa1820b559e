#include "network/activations.h"

#include <algorithm>

#include "wisemerge/network_functions.h"

namespace wisemerge::network {
namespace {

// Elements that cost more to compute than a thread to wake.
constexpr size_t kGrain = 32u << 10;

// Calls body(f) with a function of a known kind, so that loops over it are compiled for it.
template <class Body>
void with_function(Activation kind, const Body& body) {
  const auto known = [&]<Activation K>() { body([](float x) { return activation(K, x); }); };
  switch (kind) {
    case Activation::kGelu:
      return known.template operator()<Activation::kGelu>();
    case Activation::kRelu:
      return known.template operator()<Activation::kRelu>();
    case Activation::kQuickGelu:
      return known.template operator()<Activation::kQuickGelu>();
    case Activation::kGeluTanh:
      return known.template operator()<Activation::kGeluTanh>();
    case Activation::kSilu:
      return known.template operator()<Activation::kSilu>();
    case Activation::kTanh:
      return known.template operator()<Activation::kTanh>();
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
