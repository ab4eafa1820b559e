// The kernels of training, replayed on the host thread by thread, against the CPU's passes bit for bit.
#include <cmath>
#include <cstring>
#include <random>

#include "check.h"
#include "core/engine.h"
#include "core/thread_pool.h"
#include "cpu/cpu_backend.h"
#include "cuda_host_gradients.h"
#include "train/adamw.h"
#include "train/passes.h"
#include "train/rearrange_backward.h"

namespace wisemerge::test {
namespace {

using Floats = std::vector<float>;

Floats random_floats(size_t count, unsigned seed, float scale = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, scale);
  Floats floats(count);
  for (float& x : floats) x = normal(random);
  return floats;
}

bool same(const Floats& a, const Floats& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

cuda::MatmulOperand operand(const Floats& x, uint64_t at, uint64_t row_stride, uint64_t column_stride) {
  return {x.data() + at, row_stride, column_stride, DType::kF32};
}

}  // namespace

TEST("cuda replay: gradients of activations") {
  ThreadPool pool(2);
  Floats x;
  for (float v = -12; v <= 12; v += kSanitized ? 0.37f : 0.013f) x.push_back(v);
  for (const float v : {0.0f, -0.0f, 1e-20f, 300.0f, -300.0f}) x.push_back(v);
  const Floats dy = random_floats(x.size(), 1);
  for (uint64_t kind = 0; kind < network::kActivations; kind++) {
    Floats wanted(x.size()), out(dy);
    cuda::ElementPass pass{};
    pass.kind = cuda::ElementPass::Kind::kActivationGradient;
    pass.activation = static_cast<network::Activation>(kind);
    pass.count = x.size();
    pass.x = x.data();
    pass.y = pass.out = out.data();  // in place
    train::activate_backward(pool, pass.activation, x.data(), dy.data(), x.size(), wanted.data());
    network_on_host(pass, 3);
    CHECK(same(out, wanted));
  }
}

TEST("cuda replay: gradients of normalisations") {
  ThreadPool pool(2);
  for (const size_t width : {1u, 7u, 16u, 33u, 300u}) {
    for (const size_t rows : {1u, 9u, 131u, 300u}) {
      const Floats x = random_floats(rows * width, 2, 3), dy = random_floats(rows * width, 3),
                   weight = random_floats(width, 4);
      std::vector<cuda::RowMoments> moments(rows);
      network_on_host(cuda::MomentRows{rows, width, x.data(), 1e-5f, moments.data()}, 2);
      for (const bool weighted : {false, true}) {
        const float* const w = weighted ? weight.data() : nullptr;
        Floats dx(x.size()), dw(width), db(width);
        train::layer_norm_backward(pool, {rows, width, w, nullptr, 1e-5f}, x.data(), dy.data(), dx.data(),
                                   dw.data(), db.data());
        for (const bool descending : {false, true}) {
          Floats columns(width, 77.0f);
          network_on_host(cuda::ColumnSums{rows, width, dy.data(), x.data(), moments.data(), columns.data()},
                          descending);
          CHECK(same(columns, dw));
          network_on_host(cuda::ColumnSums{rows, width, dy.data(), nullptr, nullptr, columns.data()},
                          descending);
          CHECK(same(columns, db));
        }
        Floats in_place(dy);
        network_on_host(
            cuda::NormGradient{rows, width, x.data(), in_place.data(), w, moments.data(), in_place.data()},
            3);
        CHECK(same(in_place, dx));
      }
      Floats dx(x.size()), in_place(dy);
      train::normalise_backward(pool, rows, width, x.data(), dy.data(), dx.data());
      network_on_host(
          cuda::NormGradient{rows, width, x.data(), in_place.data(), nullptr, nullptr, in_place.data()}, 1);
      CHECK(same(in_place, dx));
    }
  }
}

TEST("cuda replay: gradients of tokens in front, picked tokens and means") {
  ThreadPool pool(2);
  const size_t batch = 3, tokens = 4, width = 5;
  for (const size_t prefix : {0u, 2u}) {
    const size_t length = (prefix + tokens) * width;
    const Floats dy = random_floats(batch * length, 5);
    Floats dx(batch * tokens * width), front(prefix * width), positions(length);
    train::put_prefix_backward(pool, {batch, prefix, tokens, width, nullptr, nullptr}, dy.data(), dx.data(),
                               front.data(), positions.data());
    Floats out(dx.size(), 77.0f), sums(length, 77.0f), first(front.size(), 77.0f);
    network_on_host(cuda::TokensBehind{batch, prefix, tokens, width, dy.data(), out.data()}, 2);
    network_on_host(cuda::SequenceSums{batch, length, length, dy.data(), sums.data()}, 2);
    network_on_host(cuda::SequenceSums{batch, length, prefix * width, dy.data(), first.data()}, 2);
    CHECK(same(out, dx));
    CHECK(same(sums, positions));
    CHECK(same(first, front));
  }
  const int32_t index[] = {3, 0, 2}, mask[] = {1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1};
  const Floats dy = random_floats(batch * width, 6), before = random_floats(batch * tokens * width, 7);
  for (const bool add : {false, true}) {
    const Floats begin = add ? before : Floats(before.size());
    cuda::TokenSpread spread{batch, tokens, width, 0, add, dy.data(), index, nullptr, nullptr};
    const auto check = [&](const Floats& wanted) {
      Floats out(before);
      spread.out = out.data();
      network_on_host(spread, 2);
      CHECK(same(out, wanted));
    };
    Floats wanted(begin);
    train::pick_token_backward(pool, {batch, tokens, width}, index, dy.data(), wanted.data());
    check(wanted);
    spread.index = nullptr;
    spread.first = 1;
    for (const int32_t* const some : {static_cast<const int32_t*>(nullptr), mask}) {
      wanted = begin;
      train::mean_token_backward(pool, {batch, tokens, width}, 1, some, dy.data(), wanted.data());
      spread.mask = some;
      check(wanted);
    }
  }
}

// Every layout, items of a batch and single ones, from 0 and from what is there.
TEST("cuda replay: products of training") {
  const uint64_t sequences = 2, heads = 3, first = 1, items = 4;  // not the first and the last head
  const uint32_t m = 5, n = 131, k = 19;
  const Floats a = random_floats(sequences * heads * m * k, 8),
               w = random_floats(sequences * heads * n * k, 9);
  for (const bool deep_a : {false, true}) {
    for (const bool deep_w : {false, true}) {
      for (const bool add : {false, true}) {
        const Floats before = random_floats(items * m * n, 10);
        Floats out(before), wanted(before);
        cuda::MatmulBatch batch{};
        batch.product.m = m, batch.product.n = n, batch.product.k = k;
        batch.product.a = operand(a, 0, deep_a ? k : 1, deep_a ? 1 : m);
        batch.product.w0 = operand(w, 0, deep_w ? k : 1, deep_w ? 1 : n);
        batch.product.out = out.data();
        batch.product.out_stride = n;
        batch.a = {heads * m * k, m * k, 0};
        batch.w = {heads * n * k, n * k, 0};
        batch.out = {0, 0, m * n};
        batch.first = first, batch.items = items, batch.heads = heads;
        batch.add = add;
        network_on_host(batch, add);
        for (uint64_t item = 0; item < items; item++) {
          const float* const x = a.data() + (first + item) * m * k;
          const float* const y = w.data() + (first + item) * n * k;
          for (uint32_t i = 0; i < m; i++) {
            for (uint32_t j = 0; j < n; j++) {
              float& sum = wanted[(item * m + i) * n + j];
              if (!add) sum = 0;
              for (uint32_t l = 0; l < k; l++) {
                sum = std::fma(x[deep_a ? i * k + l : l * m + i], y[deep_w ? j * k + l : l * n + j], sum);
              }
            }
          }
        }
        CHECK(same(out, wanted));
      }
    }
  }
}

namespace {

struct AttentionCase {
  uint32_t tokens, causal, window;
  bool masked;
};

// The steps that cuda/attention_gradient.cc takes, against the CPU's one call. Two sequences, two heads.
void check_attention(const AttentionCase& one) {
  const uint32_t batch = 2, heads = 2, dim = 5, width = heads * dim, tokens = one.tokens;
  const uint64_t size = uint64_t{batch} * tokens * width, pitch = tokens + 3, matrix = pitch * tokens;
  const Floats q = random_floats(size, 11), k = random_floats(size, 12), v = random_floats(size, 13),
               dy = random_floats(size, 14);
  std::vector<int32_t> mask(batch * tokens);
  for (size_t i = 0; i < mask.size(); i++) mask[i] = i < tokens ? i % 3 != 1 : 0;  // the second: nobody
  Floats gradients[] = {Floats(size), Floats(size, 0.5f), Floats(size, -0.25f)}, found[3];
  for (size_t i = 0; i < 3; i++) found[i] = gradients[i];
  WmAttentionGradient wanted{};
  wanted.forward = {batch,
                    tokens,
                    heads,
                    heads,
                    dim,
                    q.data(),
                    k.data(),
                    v.data(),
                    width,
                    width,
                    width,
                    nullptr,
                    width,
                    one.masked ? mask.data() : nullptr,
                    static_cast<int32_t>(one.causal),
                    one.window,
                    0.4f};
  wanted.out_gradient = dy.data();
  wanted.q_gradient = gradients[0].data();
  wanted.k_gradient = gradients[1].data();
  wanted.v_gradient = gradients[2].data();
  Engine(wisemerge_cpu_backend(), EngineOptions{0, 1, ""}).attention_gradient(wanted, nullptr);

  Floats scores(batch * heads * matrix, 77.0f), slopes(scores);
  const cuda::MatmulBatch::Steps head = {uint64_t{tokens} * width, dim, 0}, item = {0, 0, matrix};
  const auto multiply = [&](uint32_t n, uint32_t depth, const cuda::MatmulOperand& x,
                            const cuda::MatmulBatch::Steps& x_steps, const cuda::MatmulOperand& y,
                            Floats& out, bool add) {
    cuda::MatmulBatch product{};
    product.product.m = tokens, product.product.n = n, product.product.k = depth;
    product.product.a = x, product.product.w0 = y;
    product.product.out = out.data();
    product.product.out_stride = add ? width : pitch;
    product.a = x_steps, product.w = head, product.out = add ? head : item;
    product.items = batch * heads, product.heads = heads;
    product.add = add;
    network_on_host(product);
  };
  cuda::ScoreRows rows{0,
                       batch * heads,
                       heads,
                       tokens,
                       pitch,
                       one.masked ? mask.data() : nullptr,
                       one.causal != 0,
                       one.window,
                       0.4f,
                       scores.data(),
                       nullptr};
  multiply(tokens, dim, operand(q, 0, width, 1), head, operand(k, 0, width, 1), scores, false);
  network_on_host(rows, 2);
  multiply(dim, tokens, operand(scores, 0, 1, pitch), item, operand(dy, 0, 1, width), found[2], true);
  multiply(tokens, dim, operand(dy, 0, width, 1), head, operand(v, 0, width, 1), slopes, false);
  rows.gradient = slopes.data();
  network_on_host(rows, 3);
  multiply(dim, tokens, operand(slopes, 0, pitch, 1), item, operand(k, 0, 1, width), found[0], true);
  multiply(dim, tokens, operand(slopes, 0, 1, pitch), item, operand(q, 0, 1, width), found[1], true);
  for (size_t i = 0; i < 3; i++) CHECK(same(found[i], gradients[i]));
}

}  // namespace

TEST("cuda replay: the gradient of attention") {
  check_attention({1, 0, 0, false});
  check_attention({17, 0, 0, false});
  check_attention({40, 1, 0, false});
  check_attention({131, 1, 20, false});
  check_attention({33, 0, 0, true});
  check_attention({130, 1, 7, true});
}

TEST("cuda replay: AdamW and the norm of gradients") {
  ThreadPool pool(2);
  for (const size_t count : {size_t{1}, size_t{7}, size_t{1000}, 2 * kNormBlock + 5}) {
    const Floats gradient = random_floats(count, 15, 3);
    std::vector<double> sums(5, -1.0);
    const cuda::SquareSums squares{count, gradient.data(), sums.data()};
    network_on_host(squares, 2);
    double total = 0;
    for (size_t i = 0; i < squares.blocks(); i++) total += sums[i];
    CHECK_EQ(std::sqrt(total), train::global_norm(pool, gradient.data(), count));
    CHECK_EQ(sums[squares.blocks()], -1.0);
    if (count > 1000) continue;

    Floats arrays[] = {random_floats(count, 16), random_floats(count, 17), random_floats(count, 18)};
    for (float& v : arrays[2]) v = std::abs(v);
    Floats wanted[] = {arrays[0], arrays[1], arrays[2]};
    for (const double rate : {0.0, 1e-3, 0.1}) {
      train::adamw_step(pool, {}, rate, 3, gradient.data(), 0.7,
                        {count, wanted[0].data(), wanted[1].data(), wanted[2].data()});
      network_on_host(cuda::AdamWPass{train::adamw_factors({}, rate, 3, 0.7), count, gradient.data(),
                                      arrays[0].data(), arrays[1].data(), arrays[2].data()},
                      2);
      for (size_t i = 0; i < 3; i++) CHECK(same(arrays[i], wanted[i]));
    }
  }
}

}  // namespace wisemerge::test
