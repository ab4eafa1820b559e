#include "cuda_parity_heads.h"

#include "head_cases.h"
#include "matmul_case.h"

namespace wisemerge::test {
namespace {

// The same bits as the CPU's, and nothing written between the rows.
void run_matmul(Tally& tally, Opened& cuda, Opened& cpu, const MatmulCase& one, uint64_t out_gap = 0) {
  const uint64_t stride = one.n + out_gap;
  std::vector<float> wanted(one.m * stride, 77.0f), got(one.m * stride, 77.0f);
  const WmMatmul reference = one.call(wanted.data(), stride), tried = one.call(got.data(), stride);
  WmError error = {};
  tally.expect(cpu.backend->matmul(cpu.context, &reference, nullptr, &error) == WM_OK, error.message);
  const WmCode code = cuda.backend->matmul(cuda.context, &tried, nullptr, &error);
  const bool same =
      wanted.empty() || std::memcmp(wanted.data(), got.data(), wanted.size() * sizeof(float)) == 0;
  tally.expect(code == WM_OK && same,
               "matmul " + text(one) + ": " + (code == WM_OK ? "bits" : error.message));
}

// Page-locked operands travel without a stop: rows with gaps among them.
void run_pinned_matmul(Tally& tally, Opened& cuda, Opened& cpu) {
  const MatmulCase one(2000, 100, 64, DType::kF32, DType::kF32, false, false, 0.3);
  for (const uint64_t stride : {100u, 108u}) {
    std::vector<float, PageAllocator<float>> wanted(one.m * stride, 77.0f), got(one.m * stride, 77.0f);
    const size_t bytes = got.size() * sizeof(float);
    WmError error = {};
    const auto* const a = static_cast<const void*>(one.a_memory.data());
    tally.expect(cuda.backend->pin(cuda.context, got.data(), bytes, &error) == WM_OK, error.message);
    tally.expect(cuda.backend->pin(cuda.context, const_cast<void*>(a), one.a_memory.size(), &error) == WM_OK,
                 error.message);
    const WmMatmul reference = one.call(wanted.data(), stride), tried = one.call(got.data(), stride);
    tally.expect(cpu.backend->matmul(cpu.context, &reference, nullptr, &error) == WM_OK, error.message);
    tally.expect(cuda.backend->matmul(cuda.context, &tried, nullptr, &error) == WM_OK, error.message);
    tally.expect(std::memcmp(wanted.data(), got.data(), bytes) == 0, "matmul of pinned operands: bits");
    cuda.backend->unpin(cuda.context, got.data());
    cuda.backend->unpin(cuda.context, const_cast<void*>(a));
  }
}

bool equal(const HeadResults& x, const HeadResults& y) {
  return same_doubles(x.lo, y.lo) && same_doubles(x.hi, y.hi) && x.open == y.open &&
         same_doubles(x.sums, y.sums) && x.predicted == y.predicted && x.predictions == y.predictions &&
         same_doubles(x.moments, y.moments);
}

void run_heads(Tally& tally, Opened& cuda, Opened& cpu, const HeadData& data,
               const std::vector<double>& alphas, bool one_model = false, double from = 0, double to = 1) {
  HeadResults wanted(data, alphas.size()), got(data, alphas.size());
  WmError error = {};
  tally.expect(
      run_heads(cpu.backend, cpu.context, data, from, to, alphas, one_model, wanted, &error) == WM_OK,
      error.message);
  const WmCode code = run_heads(cuda.backend, cuda.context, data, from, to, alphas, one_model, got, &error);
  tally.expect(code == WM_OK && equal(wanted, got),
               "heads: " + std::to_string(data.rows) + " samples of " + std::to_string(data.classes) +
                   " classes, " + std::to_string(alphas.size()) +
                   " alphas: " + (code == WM_OK ? "bits" : error.message));
}

// Predictions that are only counted, sums that go on from others, and samples without weights.
void counted_without_predictions(Tally& tally, Opened& cuda, Opened& cpu) {
  const HeadData data(200, 9, Flavour::kTies);
  const std::vector<double> alphas = {0.2, 0.9};
  HeadResults wanted(data, 2), got(data, 2);
  for (const auto& [opened, results] : {std::pair{&cpu, &wanted}, std::pair{&cuda, &got}}) {
    WmError error = {};
    bool good =
        run_heads(opened->backend, opened->context, data, 0, 1, alphas, false, *results, &error) == WM_OK;
    const WmHeadMetrics metrics = {data.view(),
                                   results->lo.data(),
                                   results->hi.data(),
                                   results->open.data(),
                                   alphas.data(),
                                   2,
                                   results->sums.data(),
                                   results->predicted.data(),
                                   nullptr};
    good = good && opened->backend->head_metrics(opened->context, &metrics, nullptr, &error) == WM_OK;
    const WmHeadMoments moments = {data.view(), nullptr, 0.8, 0.3, results->moments.data()};
    good = good && opened->backend->head_moments(opened->context, &moments, nullptr, &error) == WM_OK;
    tally.expect(good, error.message);
  }
  tally.expect(equal(wanted, got), "heads: counts without predictions, no weights: bits");
  tally.expect(got.predicted[0] > 0 && got.sums[kTop1] > 0, "heads: something was counted");
}

template <class Call>
void refuse(Tally& tally, Opened& cuda, WmCode (*run)(WmContext*, const Call*, WmCancelFlag, WmError*),
            const Call& call, const char* message) {
  WmError error = {};
  const WmCode code = run(cuda.context, &call, nullptr, &error);
  tally.expect(code == WM_INVALID_ARGUMENT && std::strstr(error.message, message),
               std::string("refuses: ") + message + ", said: " + error.message);
}

}  // namespace

void check_matrix_products(Tally& tally, Opened& cuda, Opened& cpu, bool reduced) {
  for (const DType w : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const DType a : {DType::kF32, DType::kF16, DType::kBF16}) {
      for (const bool transposed : {false, true}) {
        for (const double alpha : {0.0, 1.0, 0.3, 1.2, 1e-60}) {
          if (reduced && alpha != 0.3 && a != w) continue;
          run_matmul(tally, cuda, cpu, {67, 131, 45, a, w, transposed, !transposed, alpha}, 2);
          run_matmul(tally, cuda, cpu, {67, 131, 48, a, w, transposed, transposed, alpha, 5});
        }
      }
    }
  }
  for (const uint64_t size : {1u, 2u, 127u, 128u, 129u}) {
    run_matmul(tally, cuda, cpu, {size, 300 - size, size, DType::kF32, DType::kF32, false, false, 0.5});
  }
  run_matmul(tally, cuda, cpu, {3, 5, 0, DType::kF32, DType::kF32, false, false, 0.5});
  run_matmul(tally, cuda, cpu, {3, 5, 0, DType::kBF16, DType::kF16, true, true, 0.5});
  run_matmul(tally, cuda, cpu, {0, 5, 7, DType::kF32, DType::kF32, false, false, 0.5});
  // Lines with gaps too wide to travel along, and results past a slot.
  run_matmul(tally, cuda, cpu, {50, 40, 30, DType::kF32, DType::kBF16, false, true, 0.5, 1000}, 3000);
  run_matmul(tally, cuda, cpu, {50, 40, 30, DType::kBF16, DType::kF32, true, false, 0.5, 1000});
  // More rows than one slot's output, and lines as deep as they may be.
  run_matmul(tally, cuda, cpu, {70000, 3, 9, DType::kBF16, DType::kBF16, false, false, 0.5}, 1);
  run_matmul(tally, cuda, cpu, {300, 2, 32768, DType::kF32, DType::kF32, false, true, 0.5});
  run_matmul(tally, cuda, cpu, {300, 2, 32768, DType::kBF16, DType::kF16, true, false, 0.5});
  run_pinned_matmul(tally, cuda, cpu);
  if (!reduced) {
    run_matmul(tally, cuda, cpu, {20011, 1000, 768, DType::kF32, DType::kF32, false, false, 0.3});
    run_matmul(tally, cuda, cpu, {20011, 1000, 768, DType::kBF16, DType::kBF16, false, true, 0.3}, 24);
    // More columns than one block of weights.
    run_matmul(tally, cuda, cpu, {130, 6000, 8192, DType::kF32, DType::kF32, false, false, 0.7});
  }

  std::vector<float> out(12);
  const MatmulCase good(3, 4, 5, DType::kF32, DType::kF32, false, false, 0.5);
  const auto spoilt = [&](const char* message, auto spoil) {
    WmMatmul call = good.call(out.data(), 4);
    spoil(call);
    refuse(tally, cuda, cuda.backend->matmul, call, message);
  };
  spoilt("dtype", [](WmMatmul& c) { c.a.dtype = static_cast<int32_t>(DType::kF64); });
  spoilt("w1 is null", [](WmMatmul& c) { c.w1.data = nullptr; });
  spoilt("one must be 1", [](WmMatmul& c) { c.a.row_stride = c.a.column_stride = 2; });
  spoilt("sizes", [](WmMatmul& c) { c.out_stride = 3; });
  spoilt("alpha", [](WmMatmul& c) { c.alpha = std::numeric_limits<double>::quiet_NaN(); });
  spoilt("out is null", [](WmMatmul& c) { c.out = nullptr; });
  spoilt("bias1 is null", [](WmMatmul& c) { c.bias1 = nullptr; });
  spoilt("depth", [](WmMatmul& c) { c.k = c.a.row_stride = c.w0.row_stride = c.w1.row_stride = 40000; });
  const int32_t raised = 1;
  const WmMatmul call = good.call(out.data(), 4);
  WmError error = {};
  tally.expect(cuda.backend->matmul(cuda.context, &call, &raised, &error) == WM_CANCELLED,
               "a raised flag cancels a matrix product");
}

void check_heads(Tally& tally, Opened& cuda, Opened& cpu, bool reduced) {
  const std::vector<double> alphas = {0.3, 0, 1.2, -0.5, 1, 0.5};
  for (const Flavour flavour : kFlavours) {
    for (const size_t classes : {1u, 2u, 10u, 16u, 17u, 133u}) {
      run_heads(tally, cuda, cpu, HeadData(300, classes, flavour, classes % 3), alphas);
    }
    run_heads(tally, cuda, cpu, HeadData(200, 30, flavour), {0.25, 0.75}, false, -2, 3);
    run_heads(tally, cuda, cpu, HeadData(100, 17, flavour), {0, 0.7}, true);
  }
  run_heads(tally, cuda, cpu, HeadData(0, 5, Flavour::kUsual), alphas);
  run_heads(tally, cuda, cpu, HeadData(70, 5, Flavour::kUsual), {});
  // Chunks that end within a block of samples, and many of them.
  run_heads(tally, cuda, cpu, HeadData(70, 50000, Flavour::kUsual, 7), {0.3});
  run_heads(tally, cuda, cpu, HeadData(30000, 3, Flavour::kTies), alphas);
  std::vector<double> many;
  for (int k = 0; k < (reduced ? 1030 : 2100); k++) many.push_back(k / 1029.0);
  run_heads(tally, cuda, cpu, HeadData(reduced ? 130 : 1000, 4, Flavour::kUsual), many);
  if (!reduced) run_heads(tally, cuda, cpu, HeadData(20000, 1000, Flavour::kUsual), alphas);

  counted_without_predictions(tally, cuda, cpu);

  HeadData data(10, 6, Flavour::kUsual);
  HeadResults results(data, 1);
  const auto path = [&] {
    return WmPath{data.view(), 0, 1, results.lo.data(), results.hi.data(), results.open.data()};
  };
  WmPath backwards = path();
  backwards.from = 2;
  refuse(tally, cuda, cuda.backend->head_path, backwards, "no interval");
  const int32_t raised = 1;
  WmError error = {};
  const WmPath good = path();
  tally.expect(cuda.backend->head_path(cuda.context, &good, &raised, &error) == WM_CANCELLED,
               "a raised flag cancels an exact path");
  data.labels[2] = 6;
  refuse(tally, cuda, cuda.backend->head_moments,
         WmHeadMoments{data.view(), nullptr, 1, 0, results.moments.data()}, "label 6 of sample 2");
  const HeadData wide(1, 3000000, Flavour::kUsual);
  refuse(tally, cuda, cuda.backend->head_moments,
         WmHeadMoments{wide.view(), nullptr, 1, 0, results.moments.data()}, "3000000 classes");
}

}  // namespace wisemerge::test
