#include "cuda/cublas_lt.h"

#include <string>

#include "cuda/cublas_lt_abi.h"
#include "cuda/failure.h"

namespace wisemerge::cuda {
namespace {

// What the library recommends for the devices that have the largest tensor cores.
constexpr size_t kWorkspaceBytes = 32u << 20;

void check_library(CublasStatus status, const char* what) {
  if (status == 0) return;
  throw Failure{WM_DEVICE_ERROR, status, std::string(what) + ": cuBLASLt's status " + std::to_string(status)};
}

template <class Function>
Function find(const char* name) {
  if (void* const found = cublas_lt_function(name)) return reinterpret_cast<Function>(found);
  throw Failure{WM_UNAVAILABLE, 0,
                std::string("precision tf32 takes cuBLASLt, of which there is no ") + name + " (" +
                    cublas_lt_names() +
                    "); install it or add its directory to LD_LIBRARY_PATH, or use precision fast"};
}

// The largest power of two, up to 256, that all of them are multiples of.
uint32_t common_alignment(const LibraryProduct& call) {
  const uintptr_t bits = reinterpret_cast<uintptr_t>(call.x) | reinterpret_cast<uintptr_t>(call.w) |
                         reinterpret_cast<uintptr_t>(call.bias) | reinterpret_cast<uintptr_t>(call.out) | 256;
  return static_cast<uint32_t>(bits & (~bits + 1));
}

// A description, layout or preference, destroyed with the object.
class Handle {
 public:
  explicit Handle(CublasDestroy destroy) : destroy_(destroy) {}
  ~Handle() {
    if (made_) destroy_(made_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  void** to() { return &made_; }
  void* get() const { return made_; }

 private:
  const CublasDestroy destroy_;
  void* made_ = nullptr;
};

}  // namespace

struct CublasLt::Functions {
  CublasCreate create = find<CublasCreate>("cublasLtCreate");
  CublasDestroy destroy = find<CublasDestroy>("cublasLtDestroy");
  CublasDescribe describe = find<CublasDescribe>("cublasLtMatmulDescCreate");
  CublasDestroy end_description = find<CublasDestroy>("cublasLtMatmulDescDestroy");
  CublasSet set = find<CublasSet>("cublasLtMatmulDescSetAttribute");
  CublasLayout layout = find<CublasLayout>("cublasLtMatrixLayoutCreate");
  CublasDestroy end_layout = find<CublasDestroy>("cublasLtMatrixLayoutDestroy");
  CublasCreate preference = find<CublasCreate>("cublasLtMatmulPreferenceCreate");
  CublasDestroy end_preference = find<CublasDestroy>("cublasLtMatmulPreferenceDestroy");
  CublasSet prefer = find<CublasSet>("cublasLtMatmulPreferenceSetAttribute");
  CublasChoose choose = find<CublasChoose>("cublasLtMatmulAlgoGetHeuristic");
  CublasMatmul matmul = find<CublasMatmul>("cublasLtMatmul");
};

struct CublasLt::Plan {
  explicit Plan(const Functions& functions)
      : description(functions.end_description),
        w(functions.end_layout),
        x(functions.end_layout),
        out(functions.end_layout) {}
  Handle description, w, x, out;
  CublasHeuristic chosen{};
};

CublasLt::CublasLt() : functions_(std::make_unique<Functions>()), workspace_(kWorkspaceBytes) {
  check_library(functions_->create(&handle_), "opening cuBLASLt");
}

CublasLt::~CublasLt() {
  plans_.clear();
  functions_->destroy(handle_);
}

// The library's matrices have their columns one behind another: rows of ours are columns there, and the
// product is out^T = w x^T.
CublasLt::Plan* CublasLt::plan(const Shape& shape, const float* bias) {
  if (const auto known = plans_.find(shape); known != plans_.end()) return known->second.get();
  auto made = std::make_unique<Plan>(*functions_);
  const auto layout = [&](Handle& into, uint64_t rows, uint64_t columns, uint64_t leading) {
    check_library(functions_->layout(into.to(), kCublasR32F, rows, columns, static_cast<int64_t>(leading)),
                  "describing a matrix");
  };
  const auto set = [&](int32_t attribute, const auto& value) {
    check_library(functions_->set(made->description.get(), attribute, &value, sizeof(value)),
                  "describing a product");
  };
  check_library(functions_->describe(made->description.to(), kCublasFastTf32, kCublasR32F),
                "describing a product");
  set(kCublasTransA, kCublasTranspose);
  if (shape.bias) {
    set(kCublasEpilogue, kCublasEpilogueBias);
    set(kCublasBiasPointer, bias);
  }
  layout(made->w, shape.inputs, shape.outputs, shape.inputs);
  layout(made->x, shape.inputs, shape.rows, shape.inputs);
  layout(made->out, shape.outputs, shape.rows, shape.out_stride);
  Handle preference(functions_->end_preference);
  check_library(functions_->preference(preference.to()), "choosing a product's algorithm");
  const auto prefer = [&](int32_t attribute, const auto& value) {
    check_library(functions_->prefer(preference.get(), attribute, &value, sizeof(value)),
                  "choosing a product's algorithm");
  };
  prefer(kCublasMaxWorkspace, uint64_t{kWorkspaceBytes});
  for (const int32_t of : {kCublasAlignmentA, kCublasAlignmentB, kCublasAlignmentC, kCublasAlignmentD}) {
    prefer(of, shape.alignment);
  }
  int found = 0;
  const CublasStatus status =
      functions_->choose(handle_, made->description.get(), made->w.get(), made->x.get(), made->out.get(),
                         made->out.get(), preference.get(), 1, &made->chosen, &found);
  if (status != kCublasNotSupported) check_library(status, "choosing a product's algorithm");
  if (status != 0 || found < 1 || made->chosen.state != 0) made.reset();
  return (plans_[shape] = std::move(made)).get();
}

bool CublasLt::product(const LibraryProduct& call, cudaStream_t stream) {
  if (call.rows == 0 || call.outputs == 0) return true;
  Plan* const made = plan(
      {call.rows, call.inputs, call.outputs, call.out_stride, call.bias != nullptr, common_alignment(call)},
      call.bias);
  if (!made) return false;
  if (call.bias) {
    check_library(functions_->set(made->description.get(), kCublasBiasPointer, &call.bias, sizeof(call.bias)),
                  "describing a product");
  }
  const float one = 1, zero = 0;
  check_library(functions_->matmul(handle_, made->description.get(), &one, call.w, made->w.get(), call.x,
                                   made->x.get(), &zero, call.out, made->out.get(), call.out, made->out.get(),
                                   &made->chosen.algorithm, workspace_.get(), made->chosen.workspace, stream),
                "launching a matrix product");
  return true;
}

}  // namespace wisemerge::cuda
