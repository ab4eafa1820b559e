// Throughput of the CUDA backend: kernels on data resident on the device against a device copy, and whole
// calls from host to host against the transfer limits. Ceilings are measured in the same run, a calibrator
// beside every timing; buffers rotate so that the L2 cache holds none of them. Prints one JSON object.
//
//   cuda_bench [MiB per operand, default 256]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "cuda_head_bench.cuh"
#include "cuda_network_bench.cuh"
#include "cuda_training_bench.cuh"
#include "wisemerge/backend.h"

extern "C" const WmBackend* wisemerge_backend(void);

namespace wisemerge::cuda {
namespace {

constexpr int kSets = 4;  // rotated operand sets
constexpr uint32_t kMaxAlphas = 8;

struct Result {
  double gb_per_s;  // bytes read + written
  double ratio;     // against the device copy beside each repetition
};

// Operands of kSets repetitions in one allocation each: x, y and kMaxAlphas outputs.
class Bench {
 public:
  explicit Bench(size_t bytes) : bytes_(bytes) {
    for (int set = 0; set < kSets; set++) {
      x_.push_back(std::make_unique<DeviceMemory>(bytes_));
      y_.push_back(std::make_unique<DeviceMemory>(bytes_));
      outs_.push_back(std::make_unique<DeviceMemory>(bytes_ * kMaxAlphas));
    }
  }

  template <DType D>
  void fill_operands() {
    using Bits = typename Element<D>::Bits;
    const uint64_t count = bytes_ / sizeof(Bits);
    for (int set = 0; set < kSets; set++) {
      fill<D><<<2048, 256, 0, stream_>>>(reinterpret_cast<Bits*>(x_[set]->get()), count, set * 2 + 1);
      fill<D><<<2048, 256, 0, stream_>>>(reinterpret_cast<Bits*>(y_[set]->get()), count, set * 2 + 2);
      check(cudaMemsetAsync(outs_[set]->get(), 0xa5, bytes_ * kMaxAlphas, stream_), "poisoning the outputs");
    }
    check(cudaGetLastError(), "filling the operands");
  }

  // Medians of work(set), which moves `moved` bytes, and of its ratio to a copy. One repetition runs all sets
  // back to back, so that the gaps of launching stay outside, and a copy of the same sets beside it.
  template <class Work>
  Result measure(size_t moved, Work&& work) {
    std::vector<double> rates, ratios;
    for (int repeat = -kWarmUps; repeat < kRepeats; repeat++) {
      const double copy_ms = event_time(stream_, [&] {
        for (int set = 0; set < kSets; set++) {
          check(cudaMemcpyAsync(outs_[set]->get(), x_[set]->get(), bytes_, cudaMemcpyDeviceToDevice, stream_),
                "copying on the device");
        }
      });
      const double work_ms = event_time(stream_, [&] {
        for (int set = 0; set < kSets; set++) work(set);
      });
      if (repeat < 0) continue;
      const double copy_rate = 2e-6 * kSets * bytes_ / copy_ms, rate = 1e-6 * kSets * moved / work_ms;
      rates.push_back(rate);
      ratios.push_back(rate / copy_rate);
      copies_.push_back(copy_rate);
    }
    return {median(rates), median(ratios)};
  }

  // `tensors` equal ranges in one launch, each `shift` elements past an aligned address.
  template <DType D>
  Result lerp(uint32_t alphas, uint32_t tensors = 1, uint32_t shift = 0) {
    using Bits = typename Element<D>::Bits;
    const LerpKernel kernel = lerp_kernel(D, D, D);
    const uint64_t share = bytes_ / sizeof(Bits) / tensors, count = share - shift;
    std::vector<double> values;
    for (uint32_t k = 0; k < alphas; k++) values.push_back((k + 1) / (alphas + 1.0));
    const DeviceMemory alpha_memory(alphas * sizeof(double)), counts(alphas * sizeof(uint64_t));
    const DeviceMemory table(kSets * tensors * sizeof(LerpSegment));
    LerpTotals totals;
    for (int set = 0; set < kSets; set++) {
      std::vector<LerpSegment> segments(tensors);
      totals = {};
      for (uint32_t t = 0; t < tensors; t++) {
        const size_t at = (t * share + shift) * sizeof(Bits);
        segments[t] = {x_[set]->get() + at,
                       y_[set]->get() + at,
                       outs_[set]->get() + at,
                       bytes_,
                       count,
                       reinterpret_cast<const double*>(alpha_memory.get()),
                       reinterpret_cast<uint64_t*>(counts.get()),
                       alphas,
                       0,
                       D,
                       D,
                       D};
        kernel.append(segments[t], totals);
      }
      upload(table.get() + set * tensors * sizeof(LerpSegment), segments.data(),
             tensors * sizeof(LerpSegment), stream_);
    }
    upload(alpha_memory.get(), values.data(), alphas * sizeof(double), stream_);
    check(cudaMemsetAsync(counts.get(), 0, alphas * sizeof(uint64_t), stream_), "clearing the counts");
    const auto run = [&](int set) {
      const auto* segments = reinterpret_cast<const LerpSegment*>(table.get()) + set * tensors;
      check(launch(kernel, segments, totals, stream_), "launching the kernel");
    };
    for (int set = 0; set < kSets; set++) run(set);
    verify<D>(values, tensors, share, shift);
    return measure(sizeof(Bits) * count * tensors * (2 + alphas), run);
  }

  template <DType D>
  Result compare() {
    using Bits = typename Element<D>::Bits;
    const uint64_t count = bytes_ / sizeof(Bits);
    const uint32_t blocks = compare_block_count(count), spans = compare_span_count(count);
    const DeviceMemory block_sums(blocks * sizeof(CompareSums)), span_sums(spans * sizeof(CompareSums));
    const DeviceMemory table(kSets * sizeof(CompareSegment));
    for (int set = 0; set < kSets; set++) {
      const CompareSegment segment = {x_[set]->get(),
                                      y_[set]->get(),
                                      count,
                                      reinterpret_cast<CompareSums*>(block_sums.get()),
                                      reinterpret_cast<CompareSums*>(span_sums.get()),
                                      0,
                                      0,
                                      D,
                                      D};
      upload(table.get() + set * sizeof(segment), &segment, sizeof(segment), stream_);
    }
    const CompareKernel kernel = compare_kernel(D, D);
    return measure(2 * bytes_, [&](int set) {
      check(launch(kernel, reinterpret_cast<const CompareSegment*>(table.get()) + set, {1, blocks, spans},
                   stream_),
            "launching the kernel");
    });
  }

  double copy_rate() const { return median(copies_); }

 private:
  // Both ends of the first and the last range of every set against lerp_element. A wrong kernel is not timed.
  template <DType D>
  void verify(const std::vector<double>& alphas, uint32_t tensors, uint64_t share, uint32_t shift) {
    using Bits = typename Element<D>::Bits;
    const uint64_t sample = std::min<uint64_t>(share - shift, 100000);
    std::vector<Bits> x(sample), y(sample), out(sample);
    const auto fetch = [&](std::vector<Bits>& to, const std::byte* from, uint64_t element) {
      check(
          cudaMemcpy(to.data(), from + element * sizeof(Bits), sample * sizeof(Bits), cudaMemcpyDeviceToHost),
          "fetching a sample");
    };
    check(cudaStreamSynchronize(stream_), "running the kernel");
    for (int set = 0; set < kSets; set++) {
      for (const uint64_t begin : {uint64_t{shift}, tensors * share - sample}) {
        fetch(x, x_[set]->get(), begin);
        fetch(y, y_[set]->get(), begin);
        for (size_t k = 0; k < alphas.size(); k++) {
          fetch(out, outs_[set]->get() + k * bytes_, begin);
          for (uint64_t i = 0; i < sample; i++) {
            if (out[i] != lerp_element<D, D, D>(x[i], y[i], alphas[k])) {
              throw Failure{WM_DEVICE_ERROR, 0, "the kernel's result is wrong; nothing was timed"};
            }
          }
        }
      }
    }
  }

  size_t bytes_;
  Stream stream_;
  std::vector<std::unique_ptr<DeviceMemory>> x_, y_, outs_;
  std::vector<double> copies_;
};

void print(const std::string& name, const Result& result) {
  std::printf("  \"%s\": {\"gb_per_s\": %.1f, \"of_copy\": %.4f},\n", name.c_str(), result.gb_per_s,
              result.ratio);
}

template <DType D>
void kernels(Bench& bench, const std::string& name) {
  bench.fill_operands<D>();
  for (const uint32_t alphas : {1u, 2u, 4u, 8u}) {
    print("lerp_" + name + "_k" + std::to_string(alphas), bench.lerp<D>(alphas));
  }
  print("lerp_" + name + "_300_tensors", bench.lerp<D>(1, 300));
  print("lerp_" + name + "_misaligned", bench.lerp<D>(1, 1, 1));
  print("compare_" + name, bench.compare<D>());
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Whole calls, host to host, bf16.
void calls(size_t bytes) {
  const WmBackend* backend = wisemerge_backend();
  const WmOpenOptions options = {0, 0, nullptr, WM_EXACT, 0};
  WmContext* context = nullptr;
  WmError error = {};
  const auto require = [&](WmCode code) {
    if (code != WM_OK) throw Failure{code, error.native_code, error.message};
  };
  require(backend->open(&options, &context, &error));
  std::vector<uint16_t> x(bytes / 2), y(bytes / 2), out(bytes / 2);
  for (size_t i = 0; i < x.size(); i++) {
    x[i] = static_cast<uint16_t>(0x3f00 + (static_cast<uint32_t>(i * 2654435761u) >> 24));
    y[i] = static_cast<uint16_t>(0x3f80 + (static_cast<uint32_t>(i * 2246822519u) >> 24));
  }
  const double alpha = 0.5;
  void* outs[] = {out.data()};
  uint64_t non_finite = 0;
  constexpr int32_t kType = static_cast<int32_t>(DType::kBF16);
  const WmLerp item = {kType, kType, kType, 1, x.size(), x.data(), y.data(), &alpha, outs, &non_finite};
  const auto call_rate = [&] {  // seconds per call
    std::vector<double> times;
    for (int repeat = -kWarmUps; repeat < kRepeats; repeat++) {
      const double begin = seconds();
      require(backend->lerp(context, &item, 1, nullptr, &error));
      if (repeat >= 0) times.push_back(seconds() - begin);
    }
    return median(times);
  };
  const double pageable = call_rate();
  for (void* memory : {static_cast<void*>(x.data()), static_cast<void*>(y.data()), outs[0]}) {
    require(backend->pin(context, memory, bytes, &error));
  }
  const double pinned = call_rate();

  const Stream stream;
  const DeviceMemory device(bytes);
  const auto transfer = [&](void* to, const void* from, cudaMemcpyKind kind) {  // bytes per second
    std::vector<double> times;
    for (int repeat = -kWarmUps; repeat < kRepeats; repeat++) {
      const double ms =
          event_time(stream, [&] { check(cudaMemcpyAsync(to, from, bytes, kind, stream), "copying"); });
      if (repeat >= 0) times.push_back(ms * 1e-3);
    }
    return bytes / median(times);
  };
  const double up = transfer(device.get(), x.data(), cudaMemcpyHostToDevice);
  const double down = transfer(out.data(), device.get(), cudaMemcpyDeviceToHost);
  const double limit = std::max(2 * bytes / up, bytes / down);
  std::printf("  \"h2d_gb_per_s\": %.2f,\n  \"d2h_gb_per_s\": %.2f,\n", up * 1e-9, down * 1e-9);
  std::printf("  \"call_bf16_pinned\": {\"gb_of_operand_per_s\": %.2f, \"of_limit\": %.4f},\n",
              bytes / pinned * 1e-9, limit / pinned);
  std::printf("  \"call_bf16_pageable\": {\"gb_of_operand_per_s\": %.2f, \"of_limit\": %.4f},\n",
              bytes / pageable * 1e-9, limit / pageable);
  backend->close(context);
}

// A section that fails is told of in its place; what the others measure counts nonetheless.
template <class Measure>
bool section(const char* name, Measure&& measure) {
  try {
    measure();
    return true;
  } catch (const Failure& failure) {
    std::string message = failure.message;
    std::replace(message.begin(), message.end(), '"', '\'');
    std::printf("  \"%s_failed\": \"%s\",\n", name, message.c_str());
    std::fprintf(stderr, "cuda_bench, %s: %s\n", name, message.c_str());
    return false;
  }
}

int main(size_t bytes) {
  // Line by line: of a run that is stopped, what it has measured is there.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  if (const cudaError_t status = cudaSetDevice(0)) {
    std::fprintf(stderr, "cuda_bench: no device: %s\n", cudaGetErrorString(status));
    return 77;
  }
  std::printf("{\n");
  bool good = section("elementwise", [&] {
    Bench bench(bytes);
    kernels<DType::kBF16>(bench, "bf16");
    kernels<DType::kF16>(bench, "f16");
    kernels<DType::kF32>(bench, "f32");
    std::printf("  \"device_copy_gb_per_s\": %.1f,\n", bench.copy_rate());
  });
  good &= section("heads", head_kernels);
  good &= section("networks", network_runs);
  good &= section("training", training_runs);
  good &= section("calls", [&] { calls(2 * bytes); });
  std::printf("  \"operand_mib\": %zu, \"repeats\": %d, \"sets\": %d\n}\n", bytes >> 20, kRepeats, kSets);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace wisemerge::cuda

int main(int argc, char** argv) {
  const long mib = argc > 1 ? std::strtol(argv[1], nullptr, 10) : 256;
  if (mib < 1) {
    std::fprintf(stderr, "usage: %s [MiB per operand]\n", argv[0]);
    return 2;
  }
  return wisemerge::cuda::main(static_cast<size_t>(mib) << 20);
}
