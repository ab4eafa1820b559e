// The kernels of networks, replayed on the host thread by thread, against the CPU's passes bit for bit.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "check.h"
#include "core/thread_pool.h"
#include "cuda_host_network.h"
#include "network/activations.h"
#include "network/norms.h"
#include "network/rearrange.h"
#include "network/rope.h"
#include "network/token_loss.h"
#include "stored_matrix.h"

namespace wisemerge::test {
namespace {

using cuda::Ends;

std::vector<float> random_floats(size_t count, unsigned seed, float scale = 2) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> floats(count);
  for (float& x : floats) x = scale * normal(random);
  return floats;
}

// NaN of any bits counts as one value: devices make different ones.
size_t differing(const std::vector<float>& a, const std::vector<float>& b) {
  size_t wrong = a.size() != b.size();
  for (size_t i = 0; i < std::min(a.size(), b.size()); i++) {
    const bool both_nan = a[i] != a[i] && b[i] != b[i];
    wrong += !both_nan && bit_cast<uint32_t>(a[i]) != bit_cast<uint32_t>(b[i]);
  }
  return wrong;
}

Ends floats(const std::vector<float>& x) { return {x.data(), nullptr, DType::kF32, DType::kF32, 0}; }

// Runs a pass over a fresh result, with few blocks and with more than there is work, and in place of x.
template <class Call>
void check_pass(Call call, std::vector<float> x, const std::vector<float>& wanted, bool in_place) {
  for (const uint32_t blocks : {1u, 3u, 1000u}) {
    if (kSanitized && blocks == 1000) continue;
    std::vector<float> out(wanted.size(), 77.0f);
    call.x = x.data();
    call.out = out.data();
    network_on_host(call, blocks);
    CHECK_EQ(differing(out, wanted), 0u);
  }
  if (!in_place) return;
  call.out = x.data();
  network_on_host(call, 2);
  CHECK_EQ(differing(x, wanted), 0u);
}

}  // namespace

TEST("cuda replay: element passes of networks, every function") {
  ThreadPool pool(2);
  std::vector<float> x;
  for (float v = -12; v <= 12; v += kSanitized ? 0.37f : 0.013f) x.push_back(v);
  for (const float v : {0.0f, -0.0f, 1e-20f, -1e-20f, 300.0f, -300.0f, INFINITY, -INFINITY,
                        std::numeric_limits<float>::quiet_NaN()}) {
    x.push_back(v);
  }
  const std::vector<float> y = random_floats(x.size(), 1);
  for (const size_t count : {x.size(), x.size() - 1, size_t{3}, size_t{0}}) {
    const std::vector<float> in(x.begin(), x.begin() + static_cast<long>(count));
    std::vector<float> wanted(count);
    cuda::ElementPass pass{};
    pass.count = count;
    for (uint64_t kind = 0; kind < network::kActivations; kind++) {
      pass.activation = static_cast<network::Activation>(kind);
      pass.kind = cuda::ElementPass::Kind::kActivation;
      pass.y = nullptr;
      network::activate(pool, pass.activation, in.data(), count, wanted.data());
      check_pass(pass, in, wanted, true);
      pass.kind = cuda::ElementPass::Kind::kGate;
      pass.y = y.data();
      network::gate(pool, pass.activation, in.data(), y.data(), count, wanted.data());
      check_pass(pass, in, wanted, true);
    }
    pass.kind = cuda::ElementPass::Kind::kAdd;
    network::add(pool, in.data(), y.data(), count, wanted.data());
    check_pass(pass, in, wanted, true);
    pass.kind = cuda::ElementPass::Kind::kScale;
    pass.factor = 1.7f;
    for (size_t i = 0; i < count; i++) wanted[i] = in[i] * 1.7f;
    check_pass(pass, in, wanted, true);
  }
}

TEST("cuda replay: normalisations") {
  ThreadPool pool(2);
  for (const size_t width : {1u, 7u, 16u, 17u, 64u, 771u}) {
    for (const size_t rows : {1u, 5u, 9u}) {
      const std::vector<float> x = random_floats(rows * width, 2), weight = random_floats(width, 3),
                               bias = random_floats(width, 4);
      std::vector<float> wanted(x.size());
      cuda::RowNorm norm{};
      norm.rows = rows;
      norm.width = width;
      norm.epsilon = 1e-5f;
      for (const bool weighted : {false, true}) {
        norm.kind = cuda::RowNorm::Kind::kLayer;
        norm.weight = weighted ? floats(weight) : Ends{};
        norm.bias = weighted ? floats(bias) : Ends{};
        network::layer_norm(
            pool,
            {rows, width, weighted ? weight.data() : nullptr, weighted ? bias.data() : nullptr, norm.epsilon},
            x.data(), wanted.data());
        check_pass(norm, x, wanted, true);
      }
      norm.bias = {};
      norm.kind = cuda::RowNorm::Kind::kRootMeanSquare;
      network::rms_norm(pool, rows, width, weight.data(), norm.epsilon, x.data(), wanted.data());
      check_pass(norm, x, wanted, true);
      norm.weight = {};
      norm.kind = cuda::RowNorm::Kind::kLength;
      network::normalise(pool, rows, width, x.data(), wanted.data());
      check_pass(norm, x, wanted, true);
    }
  }
}

TEST("cuda replay: rows between two models, every dtype, whole and by number") {
  for (const DType x_dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const DType y_dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const size_t width : {1u, 6u, 8u, 33u}) {
        const size_t rows = 9;
        Stored x(x_dtype, rows, width, false, 0, width % 3, 1), y(y_dtype, rows, width, false, 0, 1, 2);
        if (x_dtype == y_dtype) {  // equal codes, an infinity among them, stay
          std::memcpy(const_cast<void*>(y.at(2, 0)), x.at(2, 0), width * item_size(x_dtype));
        }
        const int32_t ids[] = {8, 0, 3, 3, 2};
        for (const double alpha : {0.3, 1.5, -0.5}) {
          const auto value = [&](size_t row, size_t j) {
            const uint32_t between = lerp_element<DType::kF32, DType::kF32, DType::kF32>(
                bit_cast<uint32_t>(x.value(row, j)), bit_cast<uint32_t>(y.value(row, j)), alpha);
            return bit_cast<float>(between);
          };
          for (const bool named : {false, true}) {
            cuda::TableRows call{};
            call.table = {x.first, y.first, x_dtype, y_dtype, static_cast<float>(alpha)};
            call.ids = named ? ids : nullptr;
            call.first = named ? 0 : 3;
            call.rows = 5;
            call.width = width;
            std::vector<float> out(call.rows * width + 4, 77.0f), wanted(out);
            for (size_t i = 0; i < call.rows * width; i++) {
              const size_t row = named ? static_cast<size_t>(ids[i / width]) : 3 + i / width;
              wanted[i] = value(row, i % width);
            }
            call.out = out.data();
            network_on_host(call, 2);
            CHECK_EQ(differing(out, wanted), 0u);
          }
        }
      }
    }
  }
}

TEST("cuda replay: patches, tokens in front, picked tokens and means") {
  ThreadPool pool(2);
  const network::Patches cut{2, 3, 7, 9, 2};  // a row and a column are left over
  const std::vector<float> pixels = random_floats(2 * 3 * 7 * 9, 5);
  std::vector<float> wanted(2 * cut.squares() * 3 * 2 * 2);
  network::cut_patches(pool, cut, pixels.data(), wanted.data());
  cuda::PatchCut patches{2, 3, 7, 9, 2, nullptr, nullptr};
  CHECK_EQ(patches.count(), wanted.size());
  check_pass(patches, pixels, wanted, false);

  const size_t batch = 3, tokens = 4, width = 5;
  const std::vector<float> x = random_floats(batch * tokens * width, 7), front = random_floats(2 * width, 8),
                           positions = random_floats((tokens + 2) * width, 9);
  for (const size_t prefix : {0u, 2u}) {
    for (const bool placed : {false, true}) {
      wanted.assign(batch * (prefix + tokens) * width, 0);
      network::put_prefix(pool,
                          {batch, prefix, tokens, width, prefix ? front.data() : nullptr,
                           placed ? positions.data() : nullptr},
                          x.data(), wanted.data());
      const cuda::FrontTokens call{batch,
                                   prefix,
                                   tokens,
                                   width,
                                   nullptr,
                                   prefix ? floats(front) : Ends{},
                                   placed ? floats(positions) : Ends{},
                                   nullptr};
      check_pass(call, x, wanted, false);
    }
  }

  const int32_t index[] = {3, 0, 2}, mask[] = {1, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0};
  wanted.assign(batch * width, 0);
  cuda::TokenPool pick{batch, tokens, width, 0, nullptr, index, nullptr, nullptr};
  network::pick_token(pool, {batch, tokens, width}, x.data(), index, wanted.data());
  check_pass(pick, x, wanted, false);
  for (const bool masked : {false, true}) {
    const cuda::TokenPool mean{batch, tokens, width, 1, nullptr, nullptr, masked ? mask : nullptr, nullptr};
    network::mean_token(pool, {batch, tokens, width}, 1, x.data(), masked ? mask : nullptr, wanted.data());
    check_pass(mean, x, wanted, false);
  }
}

TEST("cuda replay: rotary embedding") {
  ThreadPool pool(2);
  for (const size_t pairs : {0u, 3u, 10u}) {
    const size_t tokens = 5, heads = 3, head_dim = 20;
    const std::vector<float> x = random_floats(tokens * heads * head_dim, 5);
    std::vector<float> frequencies(pairs), wanted(x.size());
    for (size_t c = 0; c < pairs; c++) {
      frequencies[c] = static_cast<float>(std::pow(10000.0, -static_cast<double>(c) / 10));
    }
    const int32_t positions[] = {0, 7, 1000, 130000, 2000000000};
    network::rope(pool, {tokens, heads, head_dim, pairs, positions, frequencies.data(), 1.5f}, x.data(),
                  wanted.data());
    const cuda::Rotary call{tokens, heads,  head_dim, pairs, nullptr, positions, frequencies.data(),
                            1.5f,   nullptr};
    check_pass(call, x, wanted, true);
  }
}

TEST("cuda replay: losses of tokens, all classes at once and in slices") {
  ThreadPool pool(2);
  const size_t rows = 6;
  for (const size_t classes : {1u, 16u, 255u, 256u, 700u}) {
    std::vector<float> logits = random_floats(rows * classes, 10, 20);
    logits[classes - 1] = 1e30f;  // no overflow
    logits[4 * classes] = std::numeric_limits<float>::quiet_NaN();
    logits[5 * classes] = INFINITY;
    const std::vector<int32_t> labels = {0, static_cast<int32_t>(classes) - 1, -1, 0, 0, 0};
    std::vector<float> wanted(rows);
    network::TokenLosses losses(labels.data(), rows);
    losses.add(pool, logits.data(), 0, classes);
    losses.finish(wanted.data());
    for (const size_t slice : {size_t{network::kLossBlock}, 2 * size_t{network::kLossBlock}, classes}) {
      std::vector<float> out(rows, 77.0f);
      std::vector<network::LossRow> state(rows);
      for (size_t first = 0; first < classes; first += slice) {
        const size_t count = std::min(slice, classes - first);
        std::vector<float> part;
        for (size_t i = 0; i < rows; i++) {
          const auto from = logits.begin() + static_cast<long>(i * classes + first);
          part.insert(part.end(), from, from + static_cast<long>(count));
        }
        network_on_host(cuda::TokenLosses{rows, first, count, part.data(), labels.data(), state.data(),
                                          first + slice >= classes ? out.data() : nullptr},
                        2);
      }
      CHECK_EQ(differing(out, wanted), 0u);
    }
  }
}

}  // namespace wisemerge::test
