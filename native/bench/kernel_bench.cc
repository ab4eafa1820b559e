// Bandwidth of the CPU kernels from memory, as a share of a non-temporal copy's (calibrated.h).
//
//   kernel_bench [--quick] [--mib N]
//
// --mib: size of x (default 256; four times the last-level cache or more). One JSON object on stdout, a table
// on stderr. Every kernel must give the element function's bits before it is timed; exits with 1 if not.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "bench/backend_context.h"
#include "bench/calibrated.h"
#include "cpu/cpu_backend.h"
#include "wisemerge/compare.h"
#include "wisemerge/lerp.h"

using namespace wisemerge;
using namespace wisemerge::bench;

namespace {

constexpr double kAlpha = 0.37;

struct Case {
  std::string kernel;  // "lerp", "copy" (alpha = 0), "compare"
  DType in, out;
  std::string isa;
  int threads;
  uint32_t alphas;
};

// Random finite weights of magnitude 2^-8 to 1, with 1 in 64 elements equal on both sides when seeds differ.
void fill(DType dtype, char* to, size_t count, uint64_t seed) {
  const uint32_t size = item_size(dtype);
  const int mantissa = dtype == DType::kF64      ? 52
                       : dtype == DType::kF32    ? 23
                       : dtype == DType::kF16    ? 10
                       : dtype == DType::kBF16   ? 7
                       : dtype == DType::kF8E5M2 ? 2
                                                 : 3;
  const uint64_t one = dtype == DType::kF64                            ? 1023
                       : dtype == DType::kF32 || dtype == DType::kBF16 ? 127
                       : dtype == DType::kF8E4M3                       ? 8
                                                                       : 15;
  std::mt19937_64 fresh(seed), shared(1);
  for (size_t i = 0; i < count; i++) {
    const uint64_t common = shared(), own = fresh(), r = common % 64 ? own : common;
    const uint64_t code = (r >> 63) << (8 * size - 1) | (one - 1 - (r >> 60 & 7)) << mantissa |
                          (r >> 7 & ((1ull << mantissa) - 1));
    std::memcpy(to + i * size, &code, size);
  }
}

struct Buffers {
  explicit Buffers(size_t bytes) : size(bytes), x(bytes, 1), y(bytes, 2) {}
  char* out(size_t k, size_t bytes) {
    if (outs.size() <= k || out_bytes < bytes) {
      if (out_bytes < bytes) outs.clear();
      out_bytes = std::max(out_bytes, bytes);
      while (outs.size() <= k) outs.push_back(std::make_unique<Buffer>(out_bytes, 3 + outs.size()));
    }
    return outs[k]->data();
  }
  size_t size;
  Buffer x, y;
  size_t out_bytes = 0;
  std::vector<std::unique_ptr<Buffer>> outs;
};

template <DType In, DType Out>
bool gate_lerp(const Buffers& buffers, const char* out, size_t count, double alpha) {
  using Bits = typename Element<Out>::Bits;
  const auto* x = reinterpret_cast<const typename Element<In>::Bits*>(buffers.x.data());
  const auto* y = reinterpret_cast<const typename Element<In>::Bits*>(buffers.y.data());
  for (size_t i = 0; i < count; i++) {
    const Bits expected = lerp_element<In, In, Out>(x[i], y[i], alpha);
    if (std::memcmp(out + i * sizeof(Bits), &expected, sizeof(Bits)) != 0) return false;
  }
  return true;
}

bool gate_lerp(const Case& c, const Buffers& buffers, const char* out, size_t count, double alpha) {
#define GATE(in_dtype, out_dtype)                           \
  if (c.in == DType::in_dtype && c.out == DType::out_dtype) \
    return gate_lerp<DType::in_dtype, DType::out_dtype>(buffers, out, count, alpha);
  GATE(kBF16, kBF16)
  GATE(kF16, kF16)
  GATE(kF32, kF32)
  GATE(kF64, kF64)
  GATE(kBF16, kF32)
  GATE(kF32, kBF16)
  GATE(kF8E4M3, kBF16)
#undef GATE
  return false;
}

// Bits that rounding, infinities and NaN make hard, in the first elements of x and y; back to numbers after.
void check_lerp(const Case& c, Buffers& buffers, const Context& context, const WmLerp& item, size_t count) {
  const size_t checked = std::min<size_t>(count, 1 << 20), hard = std::min<size_t>(checked, 4096);
  const uint32_t size = item_size(c.in);
  std::mt19937_64 random(99);
  for (size_t i = 0; i < hard; i++) {
    const uint64_t x = random(), y = i % 5 ? random() : x;
    std::memcpy(buffers.x.data() + i * size, &x, size);
    std::memcpy(buffers.y.data() + i * size, &y, size);
  }
  WmLerp part = item;
  part.count = checked;
  for (uint32_t k = 0; k < item.alpha_count; k++) std::memset(item.outs[k], 0xa5, checked * item_size(c.out));
  WmError error;
  context.check(context.backend->lerp(context.context, &part, 1, nullptr, &error));
  for (uint32_t k = 0; k < item.alpha_count; k++) {
    if (gate_lerp(c, buffers, static_cast<char*>(item.outs[k]), checked, item.alphas[k])) continue;
    std::fprintf(stderr, "%s: bits differ from the element function\n", c.isa.c_str());
    std::exit(1);
  }
  fill(c.in, buffers.x.data(), hard, 2);
  fill(c.in, buffers.y.data(), hard, 3);
}

template <DType D>
CompareSums replay_span(const Buffers& buffers, size_t count) {
  using Bits = typename Element<D>::Bits;
  const Bits *x = reinterpret_cast<const Bits*>(buffers.x.data()),
             *y = reinterpret_cast<const Bits*>(buffers.y.data());
  CompareSums span;
  for (size_t begin = 0; begin < count; begin += kCompareBlock) {
    CompareSums lanes[kCompareLanes];
    for (size_t i = begin; i < std::min(count, begin + kCompareBlock); i++) {
      compare_element<D, D>(lanes[i % kCompareLanes], x[i], y[i]);
    }
    for (size_t s = kCompareLanes / 2; s > 0; s /= 2) {
      for (size_t i = 0; i < s; i++) compare_add(lanes[i], lanes[i + s]);
    }
    compare_add(span, lanes[0]);
  }
  return span;
}

void check_compare(const Case& c, const Buffers& buffers, const CompareSums& sums, size_t count) {
  const size_t n = std::min<size_t>(count, kCompareSpan);
  const CompareSums expected = c.in == DType::kBF16  ? replay_span<DType::kBF16>(buffers, n)
                               : c.in == DType::kF16 ? replay_span<DType::kF16>(buffers, n)
                                                     : replay_span<DType::kF32>(buffers, n);
  if (std::memcmp(&sums, &expected, sizeof(sums)) == 0) return;
  std::fprintf(stderr, "%s: compare differs from its replay\n", c.isa.c_str());
  std::exit(1);
}

Measured run(const Case& c, Buffers& buffers, const Plan& plan) {
  Context context(c.threads, c.isa.c_str());
  const size_t count = buffers.size / item_size(c.in);
  const size_t in_bytes = count * item_size(c.in), out_bytes = count * item_size(c.out);
  const auto in = static_cast<int32_t>(c.in);

  std::vector<double> alphas;
  std::vector<void*> outs;
  std::vector<uint64_t> non_finite(c.alphas);
  for (uint32_t k = 0; k < c.alphas; k++) {
    alphas.push_back(c.kernel == "copy" ? 0 : kAlpha + 0.05 * k);
    outs.push_back(buffers.out(k, out_bytes));
  }
  std::vector<CompareSums> sums(count / kCompareSpan + 1);
  const WmLerp lerp = {in,
                       in,
                       static_cast<int32_t>(c.out),
                       c.alphas,
                       count,
                       buffers.x.data(),
                       buffers.y.data(),
                       alphas.data(),
                       outs.data(),
                       non_finite.data()};
  const WmCompare compare = {in, in, count, buffers.x.data(), buffers.y.data(), sums.data()};

  std::function<void()> kernel;
  double bytes;
  if (c.kernel == "compare") {
    bytes = 2.0 * static_cast<double>(in_bytes);
    kernel = [&] {
      context.check(context.backend->compare(context.context, &compare, 1, nullptr, &context.error));
    };
    kernel();
    check_compare(c, buffers, sums[0], count);
  } else {
    const double read = static_cast<double>(in_bytes) * (c.kernel == "copy" ? 1 : 2);
    bytes = read + static_cast<double>(out_bytes) * c.alphas;
    kernel = [&] {
      context.check(context.backend->lerp(context.context, &lerp, 1, nullptr, &context.error));
    };
    check_lerp(c, buffers, context, lerp, count);
  }

  ThreadPool pool(c.threads);
  char* copy_to = buffers.out(0, buffers.size);
  const size_t tile = 1 << 20;
  const auto copy = [&] {
    pool.parallel_for(buffers.size / tile, 1, [&](size_t begin, size_t end) {
      calibrator_copy(copy_to + begin * tile, buffers.x.data() + begin * tile, (end - begin) * tile);
    });
  };
  return measure(plan, kernel, bytes, copy, 2.0 * static_cast<double>(buffers.size));
}

std::vector<Case> all_cases() {
  const std::string best = [] {
    WmDeviceInfo info;
    WmError error;
    wisemerge_cpu_backend()->device_info(0, &info, &error);
    return std::string(info.isa);
  }();
  std::vector<std::string> levels = {best};
  if (best == "avx512") levels.push_back("avx2");
  if (best != "baseline") levels.push_back("baseline");
  std::vector<int> thread_counts = {1};
  if (available_cpus() > 1) thread_counts.push_back(available_cpus());

  std::vector<Case> cases;
  for (int threads : thread_counts) {
    for (const std::string& isa : levels) {
      for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32, DType::kF64}) {
        cases.push_back({"lerp", dtype, dtype, isa, threads, 1});
      }
    }
    for (uint32_t alphas : {2, 4, 8})
      cases.push_back({"lerp", DType::kBF16, DType::kBF16, best, threads, alphas});
    cases.push_back({"lerp", DType::kBF16, DType::kF32, best, threads, 1});
    cases.push_back({"lerp", DType::kF32, DType::kBF16, best, threads, 1});
    cases.push_back({"lerp", DType::kF8E4M3, DType::kBF16, best, threads, 1});
    cases.push_back({"copy", DType::kBF16, DType::kBF16, best, threads, 1});
    for (const std::string& isa : levels) {
      for (DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
        cases.push_back({"compare", dtype, dtype, isa, threads, 1});
      }
    }
  }
  std::stable_sort(cases.begin(), cases.end(), [](const Case& a, const Case& b) { return a.in < b.in; });
  return cases;
}

}  // namespace

int main(int argc, char** argv) {
  Plan plan = {11, 0.1};
  size_t mib = 256;
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      plan = {5, 0.02};
    } else if (std::strcmp(argv[i], "--mib") == 0 && i + 1 < argc && std::atol(argv[i + 1]) > 0) {
      mib = static_cast<size_t>(std::atol(argv[++i]));
    } else {
      std::fprintf(stderr, "usage: kernel_bench [--quick] [--mib N]\n");
      return 2;
    }
  }

  WmDeviceInfo device;
  WmError error;
  wisemerge_cpu_backend()->device_info(0, &device, &error);
  double load[3] = {};
  if (getloadavg(load, 3) < 1) load[0] = -1;
  std::printf(
      "{\"bench\":\"kernel\",\"cpu\":\"%s\",\"cpus\":%d,\"compiler\":\"%s\",\"load\":%.2f,\"mib\":%zu,"
      "\"results\":[",
      device.name, device.compute_units, __VERSION__, load[0], mib);
  std::fprintf(stderr, "%-8s %-8s %-8s %-9s %2s %2s %8s %8s %7s  %s\n", "kernel", "in", "out", "isa", "t",
               "K", "GB/s", "copy", "ratio", "95 %");

  Buffers buffers(mib << 20);
  bool first = true, filled = false;
  DType dtype = {};
  for (const Case& c : all_cases()) {
    if (!filled || dtype != c.in) {
      fill(c.in, buffers.x.data(), buffers.size / item_size(c.in), 2);
      fill(c.in, buffers.y.data(), buffers.size / item_size(c.in), 3);
      dtype = c.in;
      filled = true;
    }
    const Measured m = run(c, buffers, plan);
    const char *in = dtype_info(c.in).name, *out = c.kernel == "compare" ? "-" : dtype_info(c.out).name;
    std::printf(
        "%s\n{\"kernel\":\"%s\",\"in\":\"%s\",\"out\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"alphas\":%u,"
        "\"gbps\":%.2f,\"copy_gbps\":%.2f,\"ratio\":%.4f,\"ratio_low\":%.4f,\"ratio_high\":%.4f,"
        "\"ratio_min\":%.4f,\"ratio_max\":%.4f,\"seconds\":%.6f,\"pairs\":%zu,\"dropped\":%zu}",
        first ? "" : ",", c.kernel.c_str(), in, out, c.isa.c_str(), c.threads, c.alphas, m.gbps,
        m.calibrator_gbps, m.ratio.median, m.ratio.low, m.ratio.high, m.ratio.min, m.ratio.max, m.seconds,
        m.pairs, m.dropped);
    std::fprintf(stderr, "%-8s %-8s %-8s %-9s %2d %2u %8.1f %8.1f %7.3f  [%.3f, %.3f]\n", c.kernel.c_str(),
                 in, out, c.isa.c_str(), c.threads, c.alphas, m.gbps, m.calibrator_gbps, m.ratio.median,
                 m.ratio.low, m.ratio.high);
    first = false;
  }
  std::printf("]}\n");
}
