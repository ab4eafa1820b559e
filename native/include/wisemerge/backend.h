/* The C ABI between the core and a compute backend. Two binaries built by two compilers meet here: plain C
 * types, no ownership of memory, no exceptions across. A backend exports one symbol,
 *
 *   const WmBackend* wisemerge_backend(void);
 *
 * and the core refuses a table whose `abi` differs from its own. Change WM_BACKEND_ABI with any change below.
 *
 * Calls on one WmContext come from one thread at a time; different contexts are independent. */
#ifndef WISEMERGE_BACKEND_H_
#define WISEMERGE_BACKEND_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WM_BACKEND_ABI 1u
#define WM_BACKEND_SYMBOL "wisemerge_backend"

typedef enum WmCode {
  WM_OK = 0,
  WM_CANCELLED = 1,
  WM_INVALID_ARGUMENT = 2,
  WM_UNAVAILABLE = 3, /* no driver, no device, wrong version: a reason, not a failure */
  WM_OUT_OF_MEMORY = 4,
  WM_DEVICE_ERROR = 5
} WmCode;

/* Filled by the callee when a function returns anything but WM_OK. */
typedef struct WmError {
  int32_t native_code; /* cudaError_t or errno; 0 if none */
  char message[508];   /* NUL-terminated UTF-8 */
} WmError;

typedef struct WmDeviceInfo {
  char name[128];
  char isa[32];          /* "avx512", "avx2", "baseline"; "sm_90" */
  uint64_t memory_total; /* bytes; 0 for the CPU */
  uint64_t memory_free;
  int32_t driver_version; /* CUDA's encoding, 13000 = 13.0; 0 for the CPU */
  int32_t runtime_version;
  int32_t compute_units; /* SMs, or CPUs available */
} WmDeviceInfo;

typedef struct WmOpenOptions {
  int32_t device;  /* ordinal within the backend */
  int32_t threads; /* CPU: workers including the caller; 0 = all available */
  const char* isa; /* CPU: highest SIMD level to use; NULL = best available */
} WmOpenOptions;

/* Raised to non-zero by any thread to stop a running call; read with relaxed atomic loads between chunks. */
typedef const volatile int32_t* WmCancelFlag;

/* One tensor range through the interpolation kernel: outs[k] = lerp(x, y, alphas[k]), all alphas from one
 * read of x and y. dtypes are wisemerge::DType values of kind float. Pointers are host memory aligned to
 * their element size. Every outs[k] is disjoint from x, y and the other outputs.
 * non_finite[k] receives the number of NaN and infinite elements in outs[k]. */
typedef struct WmLerp {
  int32_t x_dtype, y_dtype, out_dtype;
  uint32_t alpha_count;
  uint64_t count; /* elements */
  const void* x;
  const void* y;
  const double* alphas;
  void* const* outs;
  uint64_t* non_finite;
} WmLerp;

/* One tensor range through the comparison kernel (compare.h). `sums` points to ceil(count / kCompareSpan)
 * CompareSums. */
typedef struct WmCompare {
  int32_t x_dtype, y_dtype;
  uint64_t count;
  const void* x;
  const void* y;
  void* sums;
} WmCompare;

typedef struct WmContext WmContext;

typedef struct WmBackend {
  uint32_t abi;
  const char* name;    /* "cpu", "cuda" */
  const char* version; /* build: library version, and for CUDA the toolkit and architectures */

  /* Number of usable devices; 0 with *error filled (WM_UNAVAILABLE) says why there is none. */
  int32_t (*device_count)(WmError* error);
  WmCode (*device_info)(int32_t device, WmDeviceInfo* info, WmError* error);

  WmCode (*open)(const WmOpenOptions* options, WmContext** context, WmError* error);
  void (*close)(WmContext* context);

  /* Registers host memory for fast transfers (page-locks it). Optional: NULL when there is nothing to gain.
   */
  WmCode (*pin)(WmContext* context, void* memory, size_t bytes, WmError* error);
  void (*unpin)(WmContext* context, void* memory);

  WmCode (*lerp)(WmContext* context, const WmLerp* items, uint32_t count, WmCancelFlag cancelled,
                 WmError* error);
  WmCode (*compare)(WmContext* context, const WmCompare* items, uint32_t count, WmCancelFlag cancelled,
                    WmError* error);
} WmBackend;

typedef const WmBackend* (*WmBackendEntry)(void);

#ifdef __cplusplus
}
#endif
#endif /* WISEMERGE_BACKEND_H_ */
