// The matrix product and the passes over logits, as a share of the core's peak of fused multiply-adds.
//
//   matmul_bench [--quick]
//
// One JSON object on stdout, a table on stderr; "operations" are f32 multiplications and additions.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "bench/backend_context.h"
#include "bench/calibrated.h"
#include "cpu/cpu_backend.h"
#include "wisemerge/convert.h"
#include "wisemerge/dtype.h"
#include "wisemerge/head.h"

using namespace wisemerge;
using namespace wisemerge::bench;

namespace {

#if defined(__x86_64__)
// Chains enough to hide the latency of the instruction; nothing is loaded.
__attribute__((target("avx512f"))) float peak_avx512(size_t rounds) {
  __m512 sums[24];
  for (int i = 0; i < 24; i++) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
  for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
    for (int i = 0; i < 24; i++) sums[i] = _mm512_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < 24; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_cvtss_f32(sums[0]);
}
__attribute__((target("avx2,fma"))) float peak_avx2(size_t rounds) {
  __m256 sums[12];
  for (int i = 0; i < 12; i++) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
  for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) sums[i] = _mm256_fmadd_ps(sums[i], a, b);
  }
  for (int i = 1; i < 12; i++) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  return _mm256_cvtss_f32(sums[0]);
}
#endif

struct Matrix {
  Matrix(DType dtype, size_t rows, size_t columns, uint64_t seed)
      : dtype(dtype), columns(columns), buffer(rows * columns * item_size(dtype), seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < rows * columns; i++) {
      const float v = normal(random);
      if (dtype == DType::kF32) {
        std::memcpy(buffer.data() + 4 * i, &v, 4);
      } else {
        const auto bits = Element<DType::kBF16>::store32(v);
        std::memcpy(buffer.data() + 2 * i, &bits, 2);
      }
    }
  }
  WmMatrix view() const { return {static_cast<int32_t>(dtype), buffer.data(), columns, 1}; }
  float* floats() const { return reinterpret_cast<float*>(buffer.data()); }
  DType dtype;
  size_t columns;
  Buffer buffer;
};

struct Report {
  bool first = true;
  void add(const std::string& name, const char* isa, int threads, const Measured& m) {
    std::printf(
        "%s\n{\"name\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"gflops\":%.2f,\"peak_gflops\":%.2f,"
        "\"ratio\":%.4f,\"ratio_low\":%.4f,\"ratio_high\":%.4f,\"ratio_min\":%.4f,\"ratio_max\":%.4f,"
        "\"highest_gflops\":%.2f,\"highest_peak\":%.2f,\"seconds\":%.6f,\"pairs\":%zu}",
        first ? "" : ",", name.c_str(), isa, threads, m.gbps, m.calibrator_gbps, m.ratio.median, m.ratio.low,
        m.ratio.high, m.ratio.min, m.ratio.max, m.highest, m.calibrator_highest, m.seconds, m.pairs);
    std::fprintf(stderr, "%-44s %-8s %2d %8.1f %8.1f %7.3f  [%.3f, %.3f] %7.3f\n", name.c_str(), isa, threads,
                 m.gbps, m.calibrator_gbps, m.ratio.median, m.ratio.low, m.ratio.high,
                 m.highest / m.calibrator_highest);
    first = false;
  }
};

Measured against_peak(const Plan& plan, const char* isa, int threads, double operations,
                      const std::function<void()>& work) {
#if defined(__x86_64__)
  const bool wide = std::strcmp(isa, "avx512") == 0;
  const size_t rounds = 1 << 18;
  ThreadPool pool(threads);
  static std::atomic<float> sink;
  const auto peak = [&] {
    pool.parallel_for(static_cast<size_t>(threads), 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) sink = wide ? peak_avx512(rounds) : peak_avx2(rounds);
    });
  };
  return measure(
      plan, work, operations, peak,
      2.0 * static_cast<double>(threads) * static_cast<double>(rounds) * (wide ? 24 * 16 : 12 * 8));
#else
  return measure(plan, work, operations, work, operations);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  if (argc > (quick ? 2 : 1)) {
    std::fprintf(stderr, "usage: matmul_bench [--quick]\n");
    return 2;
  }
  const Plan plan = quick ? Plan{5, 0.05} : Plan{11, 0.1};
  // Short and many where the fastest counts: some of them meet no neighbour.
  const Plan fine = quick ? Plan{25, 0.01} : Plan{75, 0.025};
  WmDeviceInfo device;
  WmError error;
  wisemerge_cpu_backend()->device_info(0, &device, &error);
  std::printf("{\"bench\":\"matmul\",\"cpu\":\"%s\",\"cpus\":%d,\"results\":[", device.name,
              device.compute_units);
  std::fprintf(stderr, "%-44s %-8s %2s %8s %8s %7s  %-14s %7s\n", "case", "isa", "t", "GFLOP/s", "peak",
               "ratio", "95 %", "fastest");
  Report report;
  std::vector<const char*> levels;
  if (std::strcmp(device.isa, "avx512") == 0) levels.push_back("avx512");
  if (std::strcmp(device.isa, "baseline") != 0) levels.push_back("avx2");

  const size_t size = 1024;
  for (const char* isa : levels) {
    for (const int threads : {1, device.compute_units}) {
      const Context context(threads, isa);
      const Matrix out(DType::kF32, size, size, 9);
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        for (const double alpha : {0.0, 0.37}) {
          const Matrix a(dtype, size, size, 1), w0(dtype, size, size, 2), w1(dtype, size, size, 3);
          const WmMatmul call{size,  size,    size,    a.view(),     w0.view(), w1.view(),
                              alpha, nullptr, nullptr, out.floats(), size};
          report.add(std::string("matmul 1024^3 ") + dtype_info(dtype).name + (alpha != 0 ? " lerp" : ""),
                     isa, threads,
                     against_peak(threads == 1 ? fine : plan, isa, threads, 2.0 * size * size * size, [&] {
                       context.check(context.backend->matmul(context.context, &call, nullptr, nullptr));
                     }));
        }
      }
    }
  }
  for (const char* isa : levels) {
    const size_t rows = 2048, classes = 1000;
    const Context context(1, isa);
    const Matrix z0(DType::kF32, rows, classes, 1), z1(DType::kF32, rows, classes, 2);
    std::vector<int32_t> labels(rows);
    for (size_t i = 0; i < rows; i++) {
      labels[i] = static_cast<int32_t>(i % classes);
      z0.floats()[i * classes + i % classes] += 3;
      z1.floats()[i * classes + i % classes] += 4;
    }
    const WmLogits logits{rows, classes, classes, z0.floats(), z1.floats(), labels.data()};
    std::vector<double> lo(rows), hi(rows);
    std::vector<uint8_t> open(rows);
    const WmPath path{logits, 0, 1, lo.data(), hi.data(), open.data()};
    const double elements = static_cast<double>(rows * classes);
    report.add("head path, 1000 classes (elements)", isa, 1, against_peak(plan, isa, 1, elements, [&] {
                 context.check(context.backend->head_path(context.context, &path, nullptr, nullptr));
               }));
    // Features that lean towards their labels' weights, so that most labels win on a part of the path.
    const size_t depth = 512;
    const Matrix x(DType::kF32, rows, depth, 3), w0(DType::kF32, classes, depth, 4),
        w1(DType::kF32, classes, depth, 5);
    for (size_t i = 0; i < classes * depth; i++) w1.floats()[i] = w0.floats()[i] + 0.5f * w1.floats()[i];
    for (size_t i = 0; i < rows * depth; i++) {
      x.floats()[i] += 0.15f * w1.floats()[static_cast<size_t>(labels[i / depth]) * depth + i % depth];
    }
    const WmCurve curve{rows,    classes,       depth, x.view(), w0.view(), w1.view(), nullptr,
                        nullptr, labels.data(), 0,     1,        lo.data(), hi.data(), open.data()};
    report.add("head curve, 1000 classes, 512 features", isa, 1,
               against_peak(plan, isa, 1, 4.0 * elements * depth, [&] {
                 context.check(context.backend->head_curve(context.context, &curve, nullptr, nullptr));
               }));
    context.check(context.backend->head_path(context.context, &path, nullptr, nullptr));
    for (const uint32_t count : {1u, 21u}) {
      std::vector<double> alphas, sums(count * kMetricColumns);
      for (uint32_t k = 0; k < count; k++) alphas.push_back(count == 1 ? 0.5 : k / 20.0);
      const WmHeadMetrics metrics{logits, lo.data(),   hi.data(), open.data(), alphas.data(),
                                  count,  sums.data(), nullptr,   nullptr};
      report.add("head metrics, " + std::to_string(count) + " alphas (elements)", isa, 1,
                 against_peak(plan, isa, 1, elements * count, [&] {
                   context.check(context.backend->head_metrics(context.context, &metrics, nullptr, nullptr));
                 }));
    }
    double sums[6];
    const WmHeadMoments moments{logits, nullptr, 1, 0.5, sums};
    report.add("head moments (elements)", isa, 1, against_peak(plan, isa, 1, elements, [&] {
                 context.check(context.backend->head_moments(context.context, &moments, nullptr, nullptr));
               }));
  }
  std::printf("]}\n");
}
