// Attention against the definition in f64, and what must not change a bit of it.
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "core/engine.h"
#include "cpu/cpu_backend.h"

namespace wisemerge::test {
namespace {

struct Setting {
  uint64_t batch = 2, tokens = 5, heads = 4, kv_heads = 2, head_dim = 8;
  bool causal = false;
  uint64_t window = 0;
  std::vector<int32_t> mask;

  float scale() const { return 1 / std::sqrt(static_cast<float>(head_dim)); }
};

struct Arrays {
  std::vector<float> q, k, v;
};

Arrays random_arrays(const Setting& c, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  Arrays arrays;
  arrays.q.resize(c.batch * c.tokens * c.heads * c.head_dim);
  arrays.k.resize(c.batch * c.tokens * c.kv_heads * c.head_dim);
  arrays.v.resize(arrays.k.size());
  for (auto* array : {&arrays.q, &arrays.k, &arrays.v}) {
    for (float& x : *array) x = 2 * normal(random);
  }
  return arrays;
}

WmAttention call_of(const Setting& c, const Arrays& arrays, std::vector<float>& out) {
  out.assign(arrays.q.size(), -7);
  WmAttention call{};
  call.batch = c.batch;
  call.tokens = c.tokens;
  call.heads = c.heads;
  call.kv_heads = c.kv_heads;
  call.head_dim = c.head_dim;
  call.q = arrays.q.data();
  call.k = arrays.k.data();
  call.v = arrays.v.data();
  call.q_stride = call.out_stride = c.heads * c.head_dim;
  call.k_stride = call.v_stride = c.kv_heads * c.head_dim;
  call.out = out.data();
  call.mask = c.mask.empty() ? nullptr : c.mask.data();
  call.causal = c.causal;
  call.window = c.window;
  call.scale = c.scale();
  return call;
}

std::vector<float> attend(const Setting& c, const Arrays& arrays, int threads = 1, const char* isa = "") {
  Engine engine(wisemerge_cpu_backend(), {0, threads, isa});
  std::vector<float> out;
  engine.attention(call_of(c, arrays, out), nullptr);
  return out;
}

bool attends(const Setting& c, uint64_t b, uint64_t i, uint64_t j) {
  if (c.causal && j > i) return false;
  if (c.window && j + c.window <= i) return false;
  return c.mask.empty() || c.mask[b * c.tokens + j] != 0;
}

std::vector<double> reference(const Setting& c, const Arrays& arrays) {
  std::vector<double> out(arrays.q.size());
  for (uint64_t b = 0; b < c.batch; b++) {
    for (uint64_t h = 0; h < c.heads; h++) {
      const uint64_t shared = h / (c.heads / c.kv_heads);
      for (uint64_t i = 0; i < c.tokens; i++) {
        const float* const q = &arrays.q[((b * c.tokens + i) * c.heads + h) * c.head_dim];
        std::vector<double> weights(c.tokens);
        double total = 0;
        for (uint64_t j = 0; j < c.tokens; j++) {
          if (!attends(c, b, i, j)) continue;
          const float* const k = &arrays.k[((b * c.tokens + j) * c.kv_heads + shared) * c.head_dim];
          double score = 0;
          for (uint64_t d = 0; d < c.head_dim; d++) score += static_cast<double>(q[d]) * k[d];
          total += weights[j] = std::exp(static_cast<double>(c.scale()) * score);
        }
        for (uint64_t d = 0; d < c.head_dim && total > 0; d++) {
          for (uint64_t j = 0; j < c.tokens; j++) {
            out[((b * c.tokens + i) * c.heads + h) * c.head_dim + d] +=
                weights[j] / total *
                static_cast<double>(arrays.v[((b * c.tokens + j) * c.kv_heads + shared) * c.head_dim + d]);
          }
        }
      }
    }
  }
  return out;
}

void check_case(const Setting& c) {
  const Arrays arrays = random_arrays(c, 3);
  const std::vector<float> out = attend(c, arrays);
  const std::vector<double> wanted = reference(c, arrays);
  double worst = 0;
  for (size_t i = 0; i < out.size(); i++) {
    worst = std::max(worst, std::abs(static_cast<double>(out[i]) - wanted[i]));
  }
  CHECK(worst < 2e-5);
  CHECK(attend(c, arrays, 3) == out);
  for (const char* isa : {"baseline", "avx2", "avx512"}) CHECK(attend(c, arrays, 2, isa) == out);
}

}  // namespace

TEST("attention: the definition in f64, at every SIMD level and number of threads") {
  for (const uint64_t tokens : {1u, 5u, 96u, 129u, 300u}) {
    for (const bool causal : {false, true}) {
      for (const uint64_t window : {0u, 1u, 7u, 150u}) {
        Setting c;
        c.tokens = tokens;
        c.causal = causal;
        c.window = window;
        check_case(c);
      }
    }
  }
}

TEST("attention: heads of any width, shared or not") {
  for (const uint64_t head_dim : {1u, 3u, 16u, 80u, 128u}) {
    for (const uint64_t kv_heads : {1u, 2u, 4u}) {
      Setting c;
      c.head_dim = head_dim;
      c.kv_heads = kv_heads;
      c.tokens = 33;
      check_case(c);
    }
  }
}

TEST("attention: a mask, and positions that attend to nothing give zeros") {
  Setting c;
  c.tokens = 140;
  c.causal = true;
  c.mask.resize(c.batch * c.tokens);
  for (size_t i = 0; i < c.mask.size(); i++) c.mask[i] = i % 140 >= 3 && i % 5 != 0;
  check_case(c);
  const std::vector<float> out = attend(c, random_arrays(c, 3));
  for (size_t i = 0; i < 3 * c.heads * c.head_dim; i++) CHECK_EQ(out[i], 0.0f);
}

TEST("attention: padding behind a sequence changes no bit") {
  Setting c;
  c.batch = 1;
  c.tokens = 70;
  const Arrays arrays = random_arrays(c, 5);
  const std::vector<float> out = attend(c, arrays);
  Setting padded = c;
  padded.tokens = 200;
  padded.mask.assign(200, 0);
  std::fill_n(padded.mask.begin(), 70, 1);
  Arrays more = random_arrays(padded, 6);
  std::copy(arrays.q.begin(), arrays.q.end(), more.q.begin());
  std::copy(arrays.k.begin(), arrays.k.end(), more.k.begin());
  std::copy(arrays.v.begin(), arrays.v.end(), more.v.begin());
  std::vector<float> all = attend(padded, more);
  all.resize(out.size());
  CHECK(all == out);
}

TEST("attention: large scores do not overflow, NaN passes") {
  Setting c;
  c.batch = 1;
  Arrays arrays = random_arrays(c, 7);
  for (float& q : arrays.q) q *= 1e18f;
  for (const float x : attend(c, arrays)) CHECK(std::isfinite(x));
  arrays.q[0] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> out = attend(c, arrays);
  for (size_t d = 0; d < c.head_dim; d++) CHECK(std::isnan(out[d]));
  CHECK(std::isfinite(out[c.head_dim]));
}

TEST("attention: packed projections, and wrong shapes are refused") {
  Setting c;
  c.kv_heads = c.heads;
  const Arrays arrays = random_arrays(c, 9);
  const size_t width = c.heads * c.head_dim, rows = c.batch * c.tokens;
  Arrays packed;
  packed.q.resize(3 * rows * width);
  for (size_t i = 0; i < rows; i++) {
    std::copy_n(&arrays.q[i * width], width, &packed.q[3 * i * width]);
    std::copy_n(&arrays.k[i * width], width, &packed.q[(3 * i + 1) * width]);
    std::copy_n(&arrays.v[i * width], width, &packed.q[(3 * i + 2) * width]);
  }
  std::vector<float> out;
  WmAttention call = call_of(c, arrays, out);
  call.q = packed.q.data();
  call.k = call.q + width;
  call.v = call.k + width;
  call.q_stride = call.k_stride = call.v_stride = 3 * width;
  Engine engine(wisemerge_cpu_backend(), {});
  engine.attention(call, nullptr);
  CHECK(out == attend(c, arrays));

  const auto refused = [&](auto change) {
    WmAttention wrong = call;
    change(wrong);
    WmError error{};
    WmContext* context = nullptr;
    CHECK_EQ(wisemerge_cpu_backend()->open(nullptr, &context, &error), WM_OK);
    CHECK_EQ(wisemerge_cpu_backend()->attention(context, &wrong, nullptr, &error), WM_INVALID_ARGUMENT);
    wisemerge_cpu_backend()->close(context);
  };
  refused([](WmAttention& a) { a.kv_heads = 3; });
  refused([](WmAttention& a) { a.kv_heads = 0; });
  refused([](WmAttention& a) { a.q_stride = 1; });
  refused([](WmAttention& a) { a.v = nullptr; });
  refused([](WmAttention& a) { a.scale = std::numeric_limits<float>::infinity(); });
}

}  // namespace wisemerge::test
