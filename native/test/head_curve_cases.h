// Heads and features for the tests of the exact curve, and what they are held against.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "cpu/head_screen.h"
#include "lerp_fixture.h"
#include "wisemerge/convert.h"

namespace wisemerge::test::curve {

inline constexpr const char* kIsas[] = {"baseline", "avx2", "avx512"};

// Every kind of screening that this CPU can do.
inline std::vector<const cpu::ScreenKernels*> screens() {
  std::vector<const cpu::ScreenKernels*> found;
  for (const char* isa : {"amx", "avx512bf16"}) {
    const cpu::ScreenKernels* const screen = cpu::select_screen(cpu::select_kernels(nullptr), isa);
    if (screen && std::strcmp(screen->isa, isa) == 0) found.push_back(screen);
  }
  return found;
}

// Numbers stored in a dtype, in either order.
struct Stored {
  Stored(DType dtype, size_t rows, size_t columns, bool transposed, const std::vector<float>& values)
      : dtype(dtype),
        rows(rows),
        columns(columns),
        transposed(transposed),
        bytes(rows * columns * item_size(dtype)) {
    for (size_t i = 0; i < rows; i++) {
      for (size_t j = 0; j < columns; j++) {
        const size_t at = transposed ? j * rows + i : i * columns + j;
        const float v = values[i * columns + j];
        if (dtype == DType::kF32) {
          std::memcpy(bytes.data() + 4 * at, &v, 4);
        } else {
          const uint16_t bits =
              dtype == DType::kF16 ? Element<DType::kF16>::store32(v) : Element<DType::kBF16>::store32(v);
          std::memcpy(bytes.data() + 2 * at, &bits, 2);
        }
      }
    }
  }
  WmMatrix view() const {
    return {static_cast<int32_t>(dtype), bytes.data(), transposed ? 1 : columns, transposed ? rows : 1};
  }
  DType dtype;
  size_t rows, columns;
  bool transposed;
  std::vector<uint8_t> bytes;
};

// A head, and features that lean towards their labels by `lean`.
struct Problem {
  Problem(size_t rows, size_t classes, size_t depth, uint64_t seed, double lean = 3)
      : rows(rows), classes(classes), depth(depth), x(rows * depth), w0(classes * depth), labels(rows) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (float& w : w0) w = static_cast<float>(normal(random));
    w1 = w0;
    for (float& w : w1) w += static_cast<float>(0.5 * normal(random));
    const double size = std::sqrt(static_cast<double>(std::max<size_t>(depth, 1)));
    for (size_t i = 0; i < rows; i++) {
      labels[i] = static_cast<int32_t>(random() % classes);
      for (size_t l = 0; l < depth; l++) {
        const double w = w1[static_cast<size_t>(labels[i]) * depth + l];
        x[i * depth + l] = static_cast<float>((normal(random) + lean * w / size) / size);
      }
    }
    bias0.resize(classes);
    bias1.resize(classes);
    for (size_t c = 0; c < classes; c++) {
      bias0[c] = static_cast<float>(normal(random));
      bias1[c] = static_cast<float>(normal(random));
    }
  }
  size_t rows, classes, depth;
  std::vector<float> x, w0, w1, bias0, bias1;
  std::vector<int32_t> labels;
  DType x_dtype = DType::kF32, w0_dtype = DType::kF32, w1_dtype = DType::kF32;
  bool x_transposed = false, w0_transposed = false, w1_transposed = false, biased = true;
  double from = 0, to = 1;
};

struct Intervals {
  explicit Intervals(size_t rows) : lo(rows, 7), hi(rows, 7), open(rows, 7) {}
  std::vector<double> lo, hi;
  std::vector<uint8_t> open;
  bool operator==(const Intervals& other) const {
    const size_t bytes = lo.size() * sizeof(double);
    return std::memcmp(lo.data(), other.lo.data(), bytes) == 0 &&
           std::memcmp(hi.data(), other.hi.data(), bytes) == 0 && open == other.open;
  }
};

struct Views {
  explicit Views(const Problem& p)
      : x(p.x_dtype, p.rows, p.depth, p.x_transposed, p.x),
        w0(p.w0_dtype, p.classes, p.depth, p.w0_transposed, p.w0),
        w1(p.w1_dtype, p.classes, p.depth, p.w1_transposed, p.w1) {}
  Stored x, w0, w1;
};

inline Intervals from_logits(const Problem& p, const Views& views) {
  WmContext context(1, cpu::select_kernels("baseline"));
  const WmBackend* const backend = wisemerge_cpu_backend();
  std::vector<float> z0(p.rows * p.classes), z1(z0.size());
  WmError error{};
  for (const bool end : {false, true}) {
    const float* const bias = !p.biased ? nullptr : end ? p.bias1.data() : p.bias0.data();
    const WmMatmul product{p.rows,   p.classes, p.depth, views.x.view(), (end ? views.w1 : views.w0).view(),
                           {},       0,         bias,    nullptr,        end ? z1.data() : z0.data(),
                           p.classes};
    CHECK_EQ(backend->matmul(&context, &product, nullptr, &error), WM_OK);
  }
  Intervals all(p.rows);
  const WmPath path{{p.rows, p.classes, p.classes, z0.data(), z1.data(), p.labels.data()},
                    p.from,
                    p.to,
                    all.lo.data(),
                    all.hi.data(),
                    all.open.data()};
  CHECK_EQ(backend->head_path(&context, &path, nullptr, &error), WM_OK);
  return all;
}

inline WmCurve curve_call(const Problem& p, const Views& views, Intervals& out) {
  return {p.rows,
          p.classes,
          p.depth,
          views.x.view(),
          views.w0.view(),
          views.w1.view(),
          p.biased ? p.bias0.data() : nullptr,
          p.biased ? p.bias1.data() : nullptr,
          p.labels.data(),
          p.from,
          p.to,
          out.lo.data(),
          out.hi.data(),
          out.open.data()};
}

// Gives the number of samples that are right somewhere.
inline size_t check_curve(const Problem& p) {
  const Views views(p);
  const Intervals expected = from_logits(p, views);
  for (const char* isa : kIsas) {
    for (const int threads : {1, 3}) {
      WmContext context(threads, cpu::select_kernels(isa));
      Intervals got(p.rows);
      const WmCurve call = curve_call(p, views, got);
      WmError error{};
      CHECK_EQ(wisemerge_cpu_backend()->head_curve(&context, &call, nullptr, &error), WM_OK);
      CHECK(got == expected);
    }
  }
  return static_cast<size_t>(
      std::count_if(expected.hi.begin(), expected.hi.end(), [](double hi) { return hi >= 0; }));
}

// The same by screening alone; gives the share of blocks that screening decided, or -1 for none to decide.
inline double check_screening(const Problem& p, const cpu::ScreenKernels& screen) {
  const Views views(p);
  const Intervals expected = from_logits(p, views);
  WmContext context(2, cpu::select_kernels(nullptr));
  Intervals got(p.rows);
  const WmCurve call = curve_call(p, views, got);
  if (!cpu::Screening::suits(call)) return -1;
  const cpu::Screening screening(context, screen, call, nullptr);
  std::vector<float> memory(screening.scratch() + 16);
  float* const scratch =
      memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64 / sizeof(float);
  size_t blocks = 0, decided = 0;
  for (size_t first = 0; first < p.rows; first += screening.block_rows(), blocks++) {
    const size_t last = std::min(p.rows, first + screening.block_rows());
    if (!screening.block(first, last, scratch)) continue;
    decided++;
    for (size_t i = first; i < last; i++) {
      CHECK_EQ(got.lo[i], expected.lo[i]);
      CHECK_EQ(got.hi[i], expected.hi[i]);
      CHECK_EQ(got.open[i], expected.open[i]);
    }
  }
  return static_cast<double>(decided) / static_cast<double>(blocks);
}

// The least share of all kernels that this CPU has; -1 where it has none.
inline double check_screening(const Problem& p) {
  double least = 2;
  for (const cpu::ScreenKernels* screen : screens()) least = std::min(least, check_screening(p, *screen));
  return least == 2 ? -1 : least;
}

}  // namespace wisemerge::test::curve
