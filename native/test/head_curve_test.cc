// The exact curve of a head against head_path on the logits of matmul, bit for bit, at every SIMD level: with
// screening where the CPU can, whatever the features and weights are. The screened logits against f64.
#include "head_curve_cases.h"

namespace wisemerge::test {

using namespace curve;

TEST("head curve: every edge of a tile") {
  uint64_t seed = 0;
  for (const size_t rows : {1, 11, 13, 97}) {
    for (const size_t classes : {1, 2, 32, 33, 79}) {
      for (const size_t depth : {1, 2, 63, 65, 129}) check_curve(Problem(rows, classes, depth, ++seed));
    }
  }
  check_curve(Problem(3, 5, 0, 1));
}

TEST("head curve: every dtype and layout") {
  constexpr DType kDTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
  Problem p(50, 70, 75, 5);
  for (const DType x : kDTypes) {
    for (const DType w : kDTypes) {
      for (const bool transposed : {false, true}) {
        p.x_dtype = x, p.w0_dtype = w, p.w1_dtype = x;
        p.x_transposed = transposed, p.w0_transposed = !transposed, p.w1_transposed = transposed;
        p.biased = transposed == (x == w);
        CHECK(check_curve(p) > 0);
      }
    }
  }
}

TEST("head curve: screening decides where classes are apart") {
  for (const double lean : {3.0, 4.0, 6.0}) {
    Problem p(500, 700, 300, 7, lean);
    p.biased = lean == 4;
    const double decided = check_screening(p);
    CHECK(decided == -1 || decided == 1);
    const size_t right = check_curve(p);
    CHECK(right > 100);
    CHECK(lean > 3 || right < 490);
  }
  Problem wide(100, 400, 130, 9, 5);
  for (const auto& [from, to] : {std::pair{-1.0, 2.0}, std::pair{0.25, 0.25}, std::pair{-40.0, 0.5}}) {
    wide.from = from, wide.to = to;
    check_curve(wide);
    check_screening(wide);
  }
}

TEST("head curve: ties and nearly ties") {
  for (const int steps : {0, 1, 4}) {
    Problem p(120, 300, 90, 11, 5);
    std::mt19937_64 random(3);
    // Every class has a few others that differ from it by units in the last place of one weight.
    for (size_t c = 0; c < p.classes; c++) {
      if (c % 5 == 0) continue;
      const size_t of = c / 5 * 5;
      p.bias0[c] = p.bias0[of], p.bias1[c] = p.bias1[of];
      for (auto* w : {&p.w0, &p.w1}) {
        std::copy_n(w->begin() + static_cast<ptrdiff_t>(of * p.depth), p.depth,
                    w->begin() + static_cast<ptrdiff_t>(c * p.depth));
        float& one = (*w)[c * p.depth + random() % p.depth];
        for (int n = 0; n < steps; n++) one = std::nextafter(one, random() % 2 ? 1e9f : -1e9f);
      }
    }
    const double decided = check_screening(p);
    CHECK(decided == -1 || decided > 0);
    check_curve(p);
  }
  // Whole numbers: crossings at halves and thirds, parallel and equal classes.
  Problem grid(400, 40, 6, 13);
  std::mt19937_64 random(4);
  for (auto* values : {&grid.x, &grid.w0, &grid.w1, &grid.bias0, &grid.bias1}) {
    for (float& v : *values) v = static_cast<float>(static_cast<int>(random() % 5) - 2);
  }
  CHECK(check_curve(grid) > 0);
}

TEST("head curve: roundings that all go one way") {
  // Class 0 is the label, class 1 its only rival, the same at both ends. What bf16 loses of features or
  // weights adds up to the whole bound and turns the comparison around.
  const float below = 1 + 0.99f * 0x1p-8f, above = 1 + 1.01f * 0x1p-8f;  // round to 1 and to 1 + 2^-7
  for (const size_t depth : {2, 64, 513}) {
    for (const bool of_features : {false, true}) {
      for (const float rounded : {below, above}) {
        Problem p(13, 64, depth, 21);
        p.biased = false;
        std::fill(p.labels.begin(), p.labels.end(), 0);
        std::fill(p.x.begin(), p.x.end(), of_features ? rounded : 1.0f);
        std::fill(p.w0.begin(), p.w0.end(), 0.0f);
        // Half way between the rival's logit and what it is after rounding.
        const float lost = rounded == below ? 1 : 1 + 0x1p-7f;
        const float own = (rounded + lost) / 2 / (of_features ? rounded : 1.0f);
        std::fill_n(p.w0.begin(), depth, own);
        std::fill_n(p.w0.begin() + static_cast<ptrdiff_t>(depth), depth, of_features ? 1.0f : rounded);
        p.w1 = p.w0;
        const double decided = check_screening(p);
        CHECK(decided == -1 || decided == 1);
        CHECK_EQ(check_curve(p), rounded == below ? 0u : 13u);
      }
    }
  }
  // Numbers that bf16 holds, whose sum in f32 depends on the order within a pair: in ascending order these
  // drift by +1020 and -509 from the bias, in the other by 0.
  struct Drift {
    float pattern[4];
    int own;
    size_t right;
  };
  for (const Drift& drift : {Drift{{3, -1, 0.5f, -1}, 510, 0}, Drift{{-2, -2.5f, 2.5f, 1}, -254, 13}}) {
    const size_t depth = 1020;
    Problem p(13, 64, depth, 22);
    std::fill(p.labels.begin(), p.labels.end(), 0);
    std::fill(p.x.begin(), p.x.end(), 1.0f);
    std::fill(p.w0.begin(), p.w0.end(), 0.0f);
    for (size_t l = 0; l < depth; l++) p.w0[depth + l] = drift.pattern[l % 4];
    std::fill(p.bias0.begin(), p.bias0.end(), 0.0f);
    p.bias0[0] = 0x1p24f + static_cast<float>(drift.own);
    p.bias0[1] = 0x1p24f;
    p.w1 = p.w0, p.bias1 = p.bias0;
    const double decided = check_screening(p);
    CHECK(decided == -1 || decided == 1);
    CHECK_EQ(check_curve(p), drift.right);
  }
}

TEST("head curve: a head whose classes all come near is computed in full") {
  Problem p(200, 500, 60, 15, 0);
  for (size_t c = 1; c < p.classes; c++) {
    for (size_t l = 0; l < p.depth; l++) {
      p.w0[c * p.depth + l] = p.w0[l] * (1 + static_cast<float>(c) * 0x1p-22f);
      p.w1[c * p.depth + l] = p.w1[l] * (1 - static_cast<float>(c) * 0x1p-21f);
    }
  }
  p.biased = false;
  const double decided = check_screening(p);
  CHECK(decided == -1 || decided < 1);
  check_curve(p);
}

TEST("head curve: sizes and numbers that no bound covers") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const float odd : {nan, inf, -inf, 3e38f, -3e38f, 1e-39f, 0x1p61f, 0x1p-100f}) {
    Problem p(60, 80, 40, 17, 5);
    std::mt19937_64 random(5);
    for (auto* values : {&p.x, &p.w0, &p.w1, &p.bias0, &p.bias1}) {
      for (int n = 0; n < 3; n++) (*values)[random() % values->size()] = odd;
    }
    check_curve(p);
  }
  for (const double scale : {1e-42, 1e-36, 1e-20, 1e12, 1e19, 1e25}) {
    Problem p(60, 80, 40, 19, 5);
    p.biased = false;
    for (auto* values : {&p.x, &p.w0, &p.w1}) {
      for (float& v : *values) v = static_cast<float>(v * scale);
    }
    check_curve(p);
    check_screening(p);
  }
}

// Logits of one tile and one panel against their bound, which is computed here.
void check_bound(const cpu::ScreenKernels& kernels) {
  const size_t rows = kernels.rows;
  constexpr size_t kColumns = cpu::kScreenColumns;
  double tightest = 1e9;
  for (const size_t depth : {1, 2, 31, 512, 4096}) {
    // Last: one feature dwarfs the others and cancels.
    for (const int kind : {0, 1, 2}) {
      std::mt19937_64 random(depth + static_cast<size_t>(kind));
      std::normal_distribution<float> normal;
      std::vector<float> x(depth * rows), w(depth * kColumns), bias(kColumns);
      for (float& v : x) v = kind == 1 ? std::fabs(normal(random)) + 1 : normal(random);
      for (float& v : w) v = kind == 1 ? std::fabs(normal(random)) + 1 : normal(random);
      for (float& v : bias) v = 10 * normal(random);
      if (kind == 2 && depth > 2) {
        for (size_t i = 0; i < rows; i++) x[i] = 1e4f, x[rows + i] = -1e4f;
        for (size_t j = 0; j < kColumns; j++) w[j] = w[kColumns + j] = 100;
      }
      const size_t pairs = (depth + 2 * kernels.step - 1) / (2 * kernels.step) * kernels.step;
      std::vector<uint32_t> x_words(pairs * rows), w_words(pairs * kColumns);
      double x_sums[3 * cpu::kMaxScreenRows] = {}, w_sums[3 * kColumns] = {};
      kernels.narrow_samples(x.data(), depth, x_words.data(), x_sums);
      kernels.narrow_classes(w.data(), depth, w_words.data(), w_sums);
      // With an infinite bound every class is a candidate.
      const std::vector<float> infinite(kColumns, std::numeric_limits<float>::infinity());
      const cpu::ScreenPanel panel{
          w_words.data(),  w_words.data(),  bias.data(), bias.data(), infinite.data(),
          infinite.data(), infinite.data(), 0,           ~0u};
      auto tile = std::make_unique<cpu::ScreenTile>();
      std::fill_n(tile->label, rows, 1000);
      std::fill_n(tile->by_norm, rows, 1.0f);
      std::fill_n(tile->by_error, rows, 1.0f);
      std::fill_n(tile->hi, rows, 1.0f);
      kernels.screen(x_words.data(), pairs, panel, 1e-6f, rows, *tile);
      for (size_t i = 0; i < rows; i++) {
        CHECK_EQ(tile->count[i], kColumns);
        for (size_t j = 0; j < kColumns; j++) {
          float chain = bias[j];
          double x2 = 0, w2 = 0, kept2 = 0, x_lost2 = 0, w_lost2 = 0;
          for (size_t l = 0; l < depth; l++) {
            const float a = x[l * rows + i], b = w[l * kColumns + j];
            chain = std::fma(a, b, chain);
            // To bf16 and back by the specification.
            const double a_kept = Element<DType::kBF16>::load32(Element<DType::kBF16>::store32(a));
            const double b_kept = Element<DType::kBF16>::load32(Element<DType::kBF16>::store32(b));
            x2 += static_cast<double>(a) * a, w2 += static_cast<double>(b) * b, kept2 += a_kept * a_kept;
            x_lost2 += (a - a_kept) * (a - a_kept), w_lost2 += (b - b_kept) * (b - b_kept);
          }
          const auto near = [](double a, double b) { return std::fabs(a - b) <= 1e-12 * b; };
          CHECK(near(x_sums[i], x2) && near(x_sums[rows + i], kept2) && near(x_sums[2 * rows + i], x_lost2));
          CHECK(near(w_sums[j], w2) && near(w_sums[2 * kColumns + j], w_lost2));
          const double k = 3.1 * static_cast<double>(depth + 8) * 0x1p-24;
          const double bound = std::sqrt(w2) * (std::sqrt(x_lost2) + k * std::sqrt(x2)) +
                               std::sqrt(w_lost2 * kept2) + k * std::fabs(static_cast<double>(bias[j]));
          CHECK_EQ(tile->candidate[i][j], static_cast<int32_t>(j));
          const double error = std::fabs(static_cast<double>(tile->z0[i][j]) - static_cast<double>(chain));
          CHECK(error <= bound);
          CHECK_EQ(tile->z0[i][j], tile->z1[i][j]);
          if (error > 0) tightest = std::min(tightest, bound / error);
        }
      }
    }
  }
  CHECK(tightest < 10);  // what is bounded does happen
}

TEST("head curve: screened logits are within their bound of f32 chains") {
  for (const cpu::ScreenKernels* screen : screens()) check_bound(*screen);
}

TEST("head curve: refuses what it cannot do") {
  const Problem p(4, 6, 5, 1);
  const Views views(p);
  WmContext context(1, cpu::select_kernels(nullptr));
  Intervals out(p.rows);
  const auto code = [&](auto change) {
    WmCurve call = curve_call(p, views, out);
    change(call);
    WmError error{};
    return wisemerge_cpu_backend()->head_curve(&context, &call, nullptr, &error);
  };
  CHECK_EQ(code([](WmCurve&) {}), WM_OK);
  CHECK_EQ(code([](WmCurve& c) { c.rows = 0; }), WM_OK);
  CHECK_EQ(code([](WmCurve& c) { c.classes = 0; }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmCurve& c) { c.bias1 = nullptr; }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmCurve& c) { c.from = 2; }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmCurve& c) { c.to = std::numeric_limits<double>::infinity(); }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmCurve& c) { c.labels = nullptr; }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmCurve& c) { c.w1.dtype = static_cast<int32_t>(DType::kF64); }), WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmCurve& c) { c.features.row_stride = c.features.column_stride = 2; }),
           WM_INVALID_ARGUMENT);
  CHECK_EQ(code([](WmCurve& c) { c.classes = 3; }), WM_INVALID_ARGUMENT);  // labels go further
  const int32_t cancelled = 1;
  const WmCurve call = curve_call(p, views, out);
  WmError error{};
  CHECK_EQ(wisemerge_cpu_backend()->head_curve(&context, &call, &cancelled, &error), WM_CANCELLED);
}

}  // namespace wisemerge::test
