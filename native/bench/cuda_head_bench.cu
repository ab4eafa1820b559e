#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>

#include "cuda/head_launch.h"
#include "cuda/tensor_matmul.h"
#include "cuda_head_bench.cuh"

namespace wisemerge::cuda {
namespace {

// cuBLAS where it is installed: the peer of the f32 product, not a dependency. Its functions by their C
// signatures, in which handles are pointers and enumerations int.
class Cublas {
 public:
  Cublas() {
    for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
      if ((library_ = dlopen(name, RTLD_NOW | RTLD_LOCAL))) break;
    }
    if (!library_) return;
    int (*create)(void**) = nullptr;
    find(create, "cublasCreate_v2");
    find(destroy_, "cublasDestroy_v2");
    find(set_stream_, "cublasSetStream_v2");
    find(sgemm_, "cublasSgemm_v2");
    if (!create || !destroy_ || !set_stream_ || !sgemm_ || create(&handle_) != 0) handle_ = nullptr;
  }
  ~Cublas() {
    if (handle_) destroy_(handle_);
  }
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  explicit operator bool() const { return handle_ != nullptr; }

  // out = a w^T, all in rows without gaps: for cuBLAS, whose matrices are stored by columns, out^T = w a^T.
  void multiply(int m, int n, int k, const float* a, const float* w, float* out, cudaStream_t stream) const {
    const float one = 1, zero = 0;
    constexpr int kPlain = 0, kTransposed = 1;
    if (set_stream_(handle_, stream) != 0 ||
        sgemm_(handle_, kTransposed, kPlain, n, m, k, &one, w, k, a, k, &zero, out, n) != 0) {
      throw Failure{WM_DEVICE_ERROR, 0, "cuBLAS refuses the matrix product"};
    }
  }

 private:
  template <class Function>
  void find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library_, name));
  }

  void* library_ = nullptr;
  void* handle_ = nullptr;
  int (*destroy_)(void*) = nullptr;
  int (*set_stream_)(void*, cudaStream_t) = nullptr;
  int (*sgemm_)(void*, int, int, int, int, int, const float*, const float*, int, const float*, int,
                const float*, float*, int) = nullptr;
};

template <class Work>
double median_ms(cudaStream_t stream, Work&& work) {
  std::vector<double> times;
  for (int repeat = -kWarmUps; repeat < kRepeats; repeat++) {
    const double ms = event_time(stream, work);
    if (repeat >= 0) times.push_back(ms);
  }
  return median(times);
}

template <class T>
std::vector<T> fetch(const void* from, size_t count) {
  std::vector<T> values(count);
  check(cudaMemcpy(values.data(), from, count * sizeof(T), cudaMemcpyDeviceToHost), "fetching a sample");
  return values;
}

[[noreturn]] void wrong(const std::string& what) {
  throw Failure{WM_DEVICE_ERROR, 0, "the result of " + what + " is wrong; nothing was timed"};
}

// Every 997th element of the first and the last row against a chain of fused multiply-adds; by tensor cores,
// against f64 within the bound.
template <DType D>
void verify(const Matmul& call, const std::string& name, bool fast) {
  using Bits = typename Element<D>::Bits;
  const auto w0 = fetch<Bits>(call.w0.data, uint64_t{call.n} * call.k);
  const auto w1 = fetch<Bits>(call.w1.data, uint64_t{call.n} * call.k);
  for (const uint64_t i : {uint64_t{0}, uint64_t{call.m} - 1}) {
    const auto a = fetch<Bits>(static_cast<const Bits*>(call.a.data) + i * call.k, call.k);
    const auto out = fetch<float>(call.out + i * call.out_stride, call.n);
    for (uint32_t j = 0; j < call.n; j += 997) {
      float sum = 0;
      double exact = 0, size = 0;
      for (uint32_t l = 0; l < call.k; l++) {
        const uint64_t at = uint64_t{j} * call.k + l;
        const auto bits = lerp_element<D, D, DType::kF32>(w0[at], w1[at], call.alpha);
        sum = fmaf(Element<D>::load32(a[l]), bit_cast<float>(bits), sum);
        const double product = double{Element<D>::load32(a[l])} * bit_cast<float>(bits);
        exact += product;
        size += std::fabs(product);
      }
      const double bound = tensor_matmul_bound(call.k, tensor_splits_a(call), tensor_splits_w(call)) * size;
      if (fast ? !(std::fabs(out[j] - exact) <= bound)
               : bit_cast<uint32_t>(sum) != bit_cast<uint32_t>(out[j])) {
        wrong(name);
      }
    }
  }
}

template <DType D>
void product(const Cublas& cublas, const std::string& shape, uint32_t m, uint32_t n, uint32_t k) {
  using Bits = typename Element<D>::Bits;
  const Stream stream;
  const DeviceMemory a(uint64_t{m} * k * sizeof(Bits)), w0(uint64_t{n} * k * sizeof(Bits)),
      w1(uint64_t{n} * k * sizeof(Bits)), out(uint64_t{m} * n * sizeof(float));
  uint64_t seed = 0;
  for (const auto& [memory, count] :
       {std::pair{&a, uint64_t{m} * k}, std::pair{&w0, uint64_t{n} * k}, std::pair{&w1, uint64_t{n} * k}}) {
    fill<D><<<2048, 256, 0, stream>>>(reinterpret_cast<Bits*>(memory->get()), count, seed += count);
  }
  Matmul call{};
  call.m = m;
  call.n = n;
  call.k = k;
  call.a = {a.get(), k, 1, D};
  call.w0 = {w0.get(), k, 1, D};
  call.w1 = {w1.get(), k, 1, D};
  call.alpha = 0.5f;
  call.out = reinterpret_cast<float*>(out.get());
  call.out_stride = n;
  const double tflop = 2e-12 * m * n * k;
  const auto measure = [&](const std::string& name, bool fast) {  // TFLOP/s of the product, whatever it takes
    const auto run = [&] {
      check(fast ? launch_tensor(call, stream) : launch(call, stream), "launching a matrix product");
    };
    run();
    check(cudaStreamSynchronize(stream), "running a matrix product");
    verify<D>(call, name, fast);
    return tflop / median_ms(stream, run) * 1e3;
  };
  const double rate = measure(shape, false), tensor_rate = measure(shape + ", tensor cores", true);
  std::printf("  \"tensor_%s\": {\"tflop_per_s\": %.2f, \"of_exact\": %.4f},\n", shape.c_str(), tensor_rate,
              tensor_rate / rate);
  std::printf("  \"%s\": {\"tflop_per_s\": %.2f, \"of_cublas\": ", shape.c_str(), rate);
  if (cublas && D == DType::kF32) {
    const auto* const x = reinterpret_cast<const float*>(a.get());
    const auto* const y = reinterpret_cast<const float*>(w0.get());
    const double peer = tflop * 1e3 / median_ms(stream, [&] {
                          cublas.multiply(static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), x, y,
                                          call.out, stream);
                        });
    std::printf("%.4f},\n", rate / peer);
  } else {
    std::printf("null},\n");
  }
}

void heads(uint32_t rows, uint32_t classes) {
  const Stream stream;
  const uint64_t count = uint64_t{rows} * classes;
  const DeviceMemory z0(count * sizeof(float)), z1(count * sizeof(float)), labels(rows * sizeof(int32_t)),
      lo(rows * sizeof(double)), hi(rows * sizeof(double)), open(rows);
  fill<DType::kF32><<<2048, 256, 0, stream>>>(reinterpret_cast<uint32_t*>(z0.get()), count, 1);
  fill<DType::kF32><<<2048, 256, 0, stream>>>(reinterpret_cast<uint32_t*>(z1.get()), count, count);
  std::vector<int32_t> own(rows);
  std::mt19937 random(1);
  for (int32_t& label : own) label = static_cast<int32_t>(random() % classes);
  upload(labels.get(), own.data(), rows * sizeof(int32_t), stream);
  HeadPath path{};
  path.logits = {reinterpret_cast<const float*>(z0.get()),
                 reinterpret_cast<const float*>(z1.get()),
                 reinterpret_cast<const int32_t*>(labels.get()),
                 classes,
                 rows,
                 classes};
  path.to = 1;
  path.lo = reinterpret_cast<double*>(lo.get());
  path.hi = reinterpret_cast<double*>(hi.get());
  path.open = reinterpret_cast<uint8_t*>(open.get());
  const auto run_path = [&] { check(launch(path, stream), "launching the exact path"); };
  run_path();
  check(cudaStreamSynchronize(stream), "running the exact path");

  // The same body on the host, for the first samples.
  constexpr uint32_t kVerified = 64;
  const auto host_z0 = fetch<float>(path.logits.z0, kVerified * classes);
  const auto host_z1 = fetch<float>(path.logits.z1, kVerified * classes);
  std::vector<double> host_lo(kVerified), host_hi(kVerified);
  std::vector<uint8_t> host_open(kVerified);
  const HeadPath host = {{host_z0.data(), host_z1.data(), own.data(), classes, kVerified, classes},
                         0,
                         1,
                         host_lo.data(),
                         host_hi.data(),
                         host_open.data()};
  for (uint32_t i = 0; i < kVerified; i++) path_sample(host, i, {0});
  if (fetch<double>(path.lo, kVerified) != host_lo || fetch<double>(path.hi, kVerified) != host_hi ||
      fetch<uint8_t>(path.open, kVerified) != host_open) {
    wrong("head_path");
  }
  const double bytes = 2.0 * static_cast<double>(count) * sizeof(float);
  std::printf("  \"head_path_%u\": {\"gb_per_s\": %.1f},\n", classes,
              bytes * 1e-6 / median_ms(stream, run_path));

  constexpr uint32_t kAlphas = 21;
  std::vector<double> values;
  for (uint32_t k = 0; k < kAlphas; k++) values.push_back(k / (kAlphas - 1.0));
  const size_t width = kAlphas * kMetricColumns * sizeof(double);
  const DeviceMemory alphas(kAlphas * sizeof(double)),
      samples(size_t{rows} * kAlphas * sizeof(SampleMetrics)), carry(2 * width),
      blocks(chunk_blocks(0, rows) * width);
  upload(alphas.get(), values.data(), kAlphas * sizeof(double), stream);
  const AlphaRuns found = alpha_runs({values.begin(), values.end()}, kAlphas);
  const DeviceMemory runs(found.runs.size() * sizeof(AlphaRun));
  upload(runs.get(), found.runs.data(), found.runs.size() * sizeof(AlphaRun), stream);
  HeadMetrics metrics{};
  metrics.runs = reinterpret_cast<const AlphaRun*>(runs.get());
  metrics.run_count = static_cast<uint32_t>(found.runs.size());
  metrics.step = found.step;
  metrics.logits = path.logits;
  metrics.lo = path.lo;
  metrics.hi = path.hi;
  metrics.open = path.open;
  metrics.alphas = reinterpret_cast<const double*>(alphas.get());
  metrics.asked = metrics.places = kAlphas;
  metrics.finetuned = kAlphas - 1;
  metrics.samples = reinterpret_cast<SampleMetrics*>(samples.get());
  metrics.carried_in = reinterpret_cast<const double*>(carry.get());
  metrics.carried_out = reinterpret_cast<double*>(carry.get() + width);
  metrics.blocks = reinterpret_cast<double*>(blocks.get());
  const double ms = median_ms(stream, [&] { check(launch(metrics, stream), "launching the metrics"); });
  std::printf("  \"head_metrics_%u_k%u\": {\"giga_logits_per_s\": %.1f},\n", classes, kAlphas,
              static_cast<double>(count) * kAlphas * 1e-6 / ms);
}

}  // namespace

void head_kernels() {
  const Cublas cublas;
  product<DType::kF32>(cublas, "matmul_f32_4096", 4096, 4096, 4096);
  product<DType::kF32>(cublas, "matmul_f32_head", 16384, 1000, 768);
  product<DType::kBF16>(cublas, "matmul_bf16_head", 16384, 1000, 768);
  product<DType::kBF16>(cublas, "matmul_bf16_4096", 4096, 4096, 4096);
  heads(65536, 1000);
  heads(1 << 20, 10);
}

}  // namespace wisemerge::cuda
