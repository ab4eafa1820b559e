// Timing on a machine whose memory speed drifts by half: every measurement is paired with a calibrator, a
// copy with non-temporal stores, run directly before or after it (ABBA order), and what counts is the ratio
// of the two bandwidths. Medians with bootstrap intervals; pairs with a disturbed calibrator are dropped.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>
#include <vector>

#include "core/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace wisemerge::bench {

// Anonymous memory in huge pages where the system gives them, already backed. `stagger`, different for each
// buffer, sets their addresses apart: streams at a distance of exactly 2^28 bytes share the banks of the
// memory and ran at 0.6 of the speed, which would measure the allocator and not the kernel.
class Buffer {
 public:
  explicit Buffer(size_t bytes, size_t stagger = 0) : offset_(stagger * kStagger), bytes_(bytes + offset_) {
    base_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base_ == MAP_FAILED) throw std::runtime_error("mmap failed");
#if defined(MADV_HUGEPAGE)
    madvise(base_, bytes_, MADV_HUGEPAGE);
#endif
    std::memset(base_, 1, bytes_);
  }
  ~Buffer() { munmap(base_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  char* data() const { return static_cast<char*>(base_) + offset_; }

 private:
  static constexpr size_t kStagger = 68 << 10;
  size_t offset_, bytes_;
  void* base_;
};

#if defined(__x86_64__)
__attribute__((target("avx512f"))) inline void copy_avx512(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) {
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to + i), _mm512_loadu_si512(from + i));
  }
  _mm_sfence();
}
inline void copy_sse2(char* to, const char* from, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  }
  _mm_sfence();
}
#endif

// The calibrator on one thread; `bytes` is a multiple of 64, `to` is aligned to as much.
inline void calibrator_copy(char* to, const char* from, size_t bytes) {
#if defined(__x86_64__)
  static const bool avx512 = __builtin_cpu_supports("avx512f");
  avx512 ? copy_avx512(to, from, bytes) : copy_sse2(to, from, bytes);
#else
  std::memcpy(to, from, bytes);
#endif
}

struct Interval {
  double median = 0, low = 0, high = 0, min = 0, max = 0;  // low and high: 95 % of the median, by bootstrap
};

inline double median(std::vector<double> values) {
  const size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + half, values.end());
  if (values.size() % 2) return values[half];
  return (values[half] + *std::max_element(values.begin(), values.begin() + half)) / 2;
}

inline Interval summarize(const std::vector<double>& values) {
  std::mt19937 random(1);
  std::vector<double> medians(2000), sample(values.size());
  for (double& m : medians) {
    for (double& value : sample) value = values[random() % values.size()];
    m = median(sample);
  }
  std::sort(medians.begin(), medians.end());
  return {median(values), medians[50], medians[1949], *std::min_element(values.begin(), values.end()),
          *std::max_element(values.begin(), values.end())};
}

struct Measured {
  Interval ratio;                // kernel bandwidth / calibrator bandwidth
  double gbps, calibrator_gbps;  // medians, 1e9 bytes read and written per second
  double highest, calibrator_highest;
  double seconds;  // median of one kernel run
  size_t pairs, dropped;
};

struct Plan {
  size_t pairs;
  double region_seconds;  // a timed region repeats its work until about this long
};

inline double seconds_of(const std::function<void()>& work, size_t repeat) {
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < repeat; i++) work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
         static_cast<double>(repeat);
}

inline Measured measure(const Plan& plan, const std::function<void()>& kernel, double kernel_bytes,
                        const std::function<void()>& calibrator, double calibrator_bytes) {
  const auto repeats = [&](const std::function<void()>& work) {  // the first run also warms up
    work();
    return std::max<size_t>(1, static_cast<size_t>(plan.region_seconds / seconds_of(work, 1)));
  };
  const size_t kernel_repeat = repeats(kernel), calibrator_repeat = repeats(calibrator);
  std::vector<double> a, b;
  for (size_t i = 0; i < plan.pairs; i++) {
    if (i % 2 == 0) a.push_back(seconds_of(kernel, kernel_repeat));
    b.push_back(seconds_of(calibrator, calibrator_repeat));
    if (i % 2 == 1) a.push_back(seconds_of(kernel, kernel_repeat));
  }
  const double limit = 1.5 * median(b);
  std::vector<double> ratios, kernel_gbps, calibrator_gbps;
  for (size_t i = 0; i < a.size(); i++) {
    if (b[i] > limit) continue;
    kernel_gbps.push_back(kernel_bytes / a[i] * 1e-9);
    calibrator_gbps.push_back(calibrator_bytes / b[i] * 1e-9);
    ratios.push_back(kernel_gbps.back() / calibrator_gbps.back());
  }
  const auto highest = [](const std::vector<double>& of) { return *std::max_element(of.begin(), of.end()); };
  return {summarize(ratios),        median(kernel_gbps), median(calibrator_gbps), highest(kernel_gbps),
          highest(calibrator_gbps), median(a),           ratios.size(),           a.size() - ratios.size()};
}

}  // namespace wisemerge::bench
