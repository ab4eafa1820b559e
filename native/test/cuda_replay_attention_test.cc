// Attention's tiles, replayed on the host thread by thread, against the CPU backend bit for bit.
#include <cmath>
#include <limits>
#include <random>

#include "check.h"
#include "core/engine.h"
#include "cpu/cpu_backend.h"
#include "cuda_host_network.h"

namespace wisemerge::test {
namespace {

struct Setting {
  uint32_t batch = 2, tokens = 5, heads = 4, kv_heads = 2, head_dim = 8;
  bool causal = false;
  uint32_t window = 0;
  std::vector<int32_t> mask = {};
  uint64_t gap = 0;  // behind every row
  float scale = 0.35f;
};

// NaN of any bits counts as one value: devices make different ones.
bool same(float x, float y) { return (x != x && y != y) || bit_cast<uint32_t>(x) == bit_cast<uint32_t>(y); }

// `change` may spoil q, k and v before both run.
template <class Change>
void check_attention(const Setting& c, const Change& change) {
  const uint64_t rows = uint64_t{c.batch} * c.tokens, wide = uint64_t{c.heads} * c.head_dim;
  const uint64_t q_stride = wide + c.gap, k_stride = uint64_t{c.kv_heads} * c.head_dim + c.gap;
  std::mt19937_64 random(c.tokens + c.head_dim);
  std::normal_distribution<float> normal;
  std::vector<float> q(rows * q_stride), k(rows * k_stride), v(rows * k_stride);
  for (auto* array : {&q, &k, &v}) {
    for (float& x : *array) x = random() % 16 == 0 ? -0.0f : 2 * normal(random);
  }
  change(q, k, v);
  const uint64_t out_stride = wide + c.gap;
  std::vector<float> wanted(rows * out_stride, 77.0f);
  WmAttention call{};
  call.batch = c.batch;
  call.tokens = c.tokens;
  call.heads = c.heads;
  call.kv_heads = c.kv_heads;
  call.head_dim = c.head_dim;
  call.q = q.data();
  call.k = k.data();
  call.v = v.data();
  call.q_stride = q_stride;
  call.k_stride = call.v_stride = k_stride;
  call.out = wanted.data();
  call.out_stride = out_stride;
  call.mask = c.mask.empty() ? nullptr : c.mask.data();
  call.causal = c.causal;
  call.window = c.window;
  call.scale = c.scale;
  Engine(wisemerge_cpu_backend(), {}).attention(call, nullptr);
  for (const bool descending : {false, true}) {
    if (kSanitized && descending) continue;
    std::vector<float> out(wanted.size(), 77.0f);
    network_on_host(cuda::Attention{c.batch, c.tokens, c.heads, c.kv_heads, c.head_dim, q.data(), k.data(),
                                    v.data(), q_stride, k_stride, k_stride, out.data(), out_stride, call.mask,
                                    c.causal, c.window, c.scale},
                    descending);
    size_t wrong = 0;
    for (size_t i = 0; i < out.size(); i++) wrong += !same(out[i], wanted[i]);
    CHECK_EQ(wrong, 0u);
  }
}

void check_attention(const Setting& c) {
  check_attention(c, [](auto&, auto&, auto&) {});
}

}  // namespace

TEST("cuda replay: attention, every edge of a tile and of a block of keys") {
  for (const uint32_t tokens : {1u, 31u, 33u, 96u, 97u, 128u, 129u, 270u}) {
    for (const bool causal : {false, true}) {
      for (const uint32_t window : {0u, 1u, 7u, 150u}) {
        if ((kSanitized && tokens > 100) || (tokens == 270 && window == 1)) continue;
        Setting c;
        c.batch = 1;
        c.heads = 2;
        c.kv_heads = 1;
        c.tokens = tokens;
        c.causal = causal;
        c.window = window;
        check_attention(c);
      }
    }
  }
}

TEST("cuda replay: attention, heads of any width, shared or not, rows apart") {
  for (const uint32_t head_dim : {1u, 3u, 15u, 16u, 17u, 64u, 65u, 80u, 128u, 130u}) {
    for (const uint32_t kv_heads : {1u, 2u, 4u}) {
      if (kSanitized && kv_heads != 2) continue;
      Setting c;
      c.head_dim = head_dim;
      c.kv_heads = kv_heads;
      c.tokens = 35;
      c.gap = head_dim % 3;
      check_attention(c);
    }
  }
}

TEST("cuda replay: attention with masks, and positions that attend to nothing") {
  Setting c;
  c.tokens = 140;
  c.causal = true;
  c.mask.resize(size_t{c.batch} * c.tokens);
  for (size_t i = 0; i < c.mask.size(); i++) c.mask[i] = i % 140 >= 3 && i % 5 != 0;
  check_attention(c);
  c.mask.assign(c.mask.size(), 0);
  check_attention(c);
}

TEST("cuda replay: attention with large scores, infinities and NaN") {
  Setting c;
  c.batch = 1;
  c.tokens = 130;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  check_attention(c, [](auto& q, auto&, auto&) {
    for (float& x : q) x *= 1e18f;
  });
  check_attention(c, [&](auto& q, auto&, auto&) { q[0] = nan; });
  check_attention(c, [&](auto&, auto& k, auto&) { k[5] = INFINITY, k[129 * 16] = nan; });
  c.causal = true;
  check_attention(c, [&](auto&, auto&, auto& v) { v[20 * 16] = INFINITY, v[129 * 16 + 3] = nan; });
  c.scale = -0.5f;
  check_attention(c);
  c.scale = 0;
  c.tokens = 112;
  check_attention(c);
}

}  // namespace wisemerge::test
