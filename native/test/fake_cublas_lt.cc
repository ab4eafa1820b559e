// cuBLASLt without a device: the functions that cublas_lt.cc calls, over the CUDA runtime that replays (see
// fake_cuda_runtime.cc). As strict as the library about what is described, and as rough: operands lose what
// TF32 does not hold, and sums run backwards. With WISEMERGE_REPLAY_NO_LIBRARY there is none.
#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda/cublas_lt.h"
#include "cuda/cublas_lt_abi.h"
#include "fake_cuda_stream.h"
#include "wisemerge/convert.h"

namespace wisemerge::cuda {
namespace {

constexpr CublasStatus kInvalid = 7, kNotRun = 13, kUnsupported = kCublasNotSupported;

struct Description {
  int32_t compute, transposed_a = 0;
  uint32_t epilogue = 1;
  const float* bias = nullptr;
};
struct Layout {
  uint64_t rows, columns, leading;
};

template <class T>
CublasStatus end(void* made) {
  delete static_cast<T*>(made);
  return 0;
}
CublasStatus begin(void** made) { return *made = new int(1), 0; }

struct Preference {
  uint32_t alignment[4] = {256, 256, 256, 256};
};
CublasStatus begin_preference(void** made) { return *made = new Preference, 0; }

CublasStatus describe(void** made, int32_t compute, int32_t scale) {
  if (scale != kCublasR32F) return kInvalid;
  return *made = new Description{compute}, 0;
}
CublasStatus lay_out(void** made, int32_t type, uint64_t rows, uint64_t columns, int64_t leading) {
  if (type != kCublasR32F || leading < static_cast<int64_t>(rows)) return kInvalid;
  return *made = new Layout{rows, columns, static_cast<uint64_t>(leading)}, 0;
}
CublasStatus set(void* of, int32_t attribute, const void* value, size_t bytes) {
  auto& description = *static_cast<Description*>(of);
  const auto take = [&](auto& field) {
    if (bytes != sizeof(field)) return kInvalid;
    std::memcpy(&field, value, bytes);
    return CublasStatus{0};
  };
  switch (attribute) {
    case kCublasTransA:
      return take(description.transposed_a);
    case kCublasEpilogue:
      return take(description.epilogue);
    case kCublasBiasPointer:
      return take(description.bias);
    default:
      return kInvalid;
  }
}
CublasStatus prefer(void* of, int32_t attribute, const void* value, size_t bytes) {
  if (attribute == kCublasMaxWorkspace) return bytes == sizeof(uint64_t) ? 0 : kInvalid;
  if (attribute < kCublasAlignmentA || attribute > kCublasAlignmentD || bytes != sizeof(uint32_t)) {
    return kInvalid;
  }
  std::memcpy(static_cast<Preference*>(of)->alignment + (attribute - kCublasAlignmentA), value, bytes);
  return 0;
}

// Whether out = a^T b fits together.
bool fits(const Layout& a, const Layout& b, const Layout& out) {
  return a.rows == b.rows && out.rows == a.columns && out.columns == b.columns;
}

CublasStatus choose(void* handle, void* description, void* a, void* b, void* c, void* d, void* preference,
                    int wanted, CublasHeuristic* results, int* found) {
  if (!handle || !preference || wanted < 1 || c != d) return kInvalid;
  if (static_cast<Description*>(description)->transposed_a != kCublasTranspose) return kUnsupported;
  if (!fits(*static_cast<Layout*>(a), *static_cast<Layout*>(b), *static_cast<Layout*>(d))) return kInvalid;
  // As a version might: no kernel that adds a bias to so few columns.
  if (static_cast<Description*>(description)->epilogue != 1 && static_cast<Layout*>(d)->rows < 12) {
    return *found = 0, kUnsupported;
  }
  results[0] = {};
  results[0].algorithm.data[0] = 42;
  for (int i = 0; i < 4; i++) {
    results[0].algorithm.data[1 + i] = static_cast<Preference*>(preference)->alignment[i];
  }
  results[0].workspace = 1024;
  return *found = 1, 0;
}

float tf32(float x) { return bit_cast<float>(bit_cast<uint32_t>(x) & 0xffffe000u); }

CublasStatus multiply(void* handle, void* description, const void* alpha, const void* a, void* a_layout,
                      const void* b, void* b_layout, const void* beta, const void* c, void* c_layout, void* d,
                      void* d_layout, const CublasAlgorithm* algorithm, void* workspace, size_t bytes,
                      cudaStream_t stream) {
  const Layout w = *static_cast<Layout*>(a_layout), x = *static_cast<Layout*>(b_layout),
               out = *static_cast<Layout*>(d_layout);
  const Description how = *static_cast<Description*>(description);
  if (!handle || *static_cast<const float*>(alpha) != 1 || *static_cast<const float*>(beta) != 0 || c != d ||
      c_layout != d_layout || !fits(w, x, out) || algorithm->data[0] != 42 || bytes < 1024 ||
      how.compute != kCublasFastTf32) {
    return kInvalid;
  }
  const void* const pointers[] = {a, b, c, d};
  for (int i = 0; i < 4; i++) {
    if (reinterpret_cast<uintptr_t>(pointers[i]) % algorithm->data[1 + i] != 0) return kInvalid;
  }
  const cudaError_t launched = test::fake_launch(stream, [=] {
    std::memset(workspace, 0x77, bytes);
    for (uint64_t row = 0; row < out.columns; row++) {
      for (uint64_t j = 0; j < out.rows; j++) {
        const float* const wj = static_cast<const float*>(a) + j * w.leading;
        const float* const xi = static_cast<const float*>(b) + row * x.leading;
        float sum = 0;
        for (uint64_t k = w.rows; k-- > 0;) sum += tf32(wj[k]) * tf32(xi[k]);
        if (how.epilogue == kCublasEpilogueBias) sum += how.bias[j];
        static_cast<float*>(d)[row * out.leading + j] = sum;
      }
    }
  });
  return launched == cudaSuccess ? 0 : kNotRun;
}

}  // namespace

void* cublas_lt_function(const char* name) {
  if (std::getenv("WISEMERGE_REPLAY_NO_LIBRARY")) return nullptr;
  const std::string wanted = name;
  const auto is = [&](const char* one) { return wanted == std::string("cublasLt") + one; };
  if (is("Create")) return reinterpret_cast<void*>(&begin);
  if (is("Destroy")) return reinterpret_cast<void*>(&end<int>);
  if (is("MatmulPreferenceCreate")) return reinterpret_cast<void*>(&begin_preference);
  if (is("MatmulPreferenceDestroy")) return reinterpret_cast<void*>(&end<Preference>);
  if (is("MatmulDescCreate")) return reinterpret_cast<void*>(&describe);
  if (is("MatmulDescDestroy")) return reinterpret_cast<void*>(&end<Description>);
  if (is("MatmulDescSetAttribute")) return reinterpret_cast<void*>(&set);
  if (is("MatrixLayoutCreate")) return reinterpret_cast<void*>(&lay_out);
  if (is("MatrixLayoutDestroy")) return reinterpret_cast<void*>(&end<Layout>);
  if (is("MatmulPreferenceSetAttribute")) return reinterpret_cast<void*>(&prefer);
  if (is("MatmulAlgoGetHeuristic")) return reinterpret_cast<void*>(&choose);
  if (is("Matmul")) return reinterpret_cast<void*>(&multiply);
  return nullptr;
}

const char* cublas_lt_names() { return "a library that replays"; }

}  // namespace wisemerge::cuda
