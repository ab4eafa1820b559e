/* The C ABI between the core and a compute backend. Two binaries built by two compilers meet here: plain C
 * types, no ownership of memory, no exceptions across. A backend exports one symbol,
 *
 *   const WmBackend* wisemerge_backend(void);
 *
 * and the core refuses a table whose `abi` differs from its own. Change WM_BACKEND_ABI with any change below
 * and in backend_network.h.
 *
 * Calls on one WmContext come from one thread at a time; different contexts are independent. */
#ifndef WISEMERGE_BACKEND_H_
#define WISEMERGE_BACKEND_H_

#include <stddef.h>
#include <stdint.h>

#include "wisemerge/backend_network.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WM_BACKEND_ABI 9u
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

/* How a context computes matrix products. */
typedef enum WmPrecision {
  WM_EXACT = 0, /* as WmMatmul says: the same bits on every device */
  WM_FAST = 1,  /* by tensor cores, within the bound of docs/numerics.md; WM_UNAVAILABLE on the CPU */
  WM_TF32 = 2   /* as WM_FAST, and networks' products of many rows by cuBLASLt, whose operands are rounded to
                   TF32;   WM_UNAVAILABLE also where there is no such library */
} WmPrecision;

typedef struct WmOpenOptions {
  int32_t device;    /* ordinal within the backend */
  int32_t threads;   /* CPU: workers including the caller; 0 = all available */
  const char* isa;   /* CPU: highest SIMD level to use; NULL = best available */
  int32_t precision; /* WmPrecision */
  uint64_t memory;   /* CUDA: most bytes of device memory that one network takes; 0 = what is free */
} WmOpenOptions;

/* Raised to non-zero by any thread to stop a running call; read with relaxed atomic loads between chunks. */
typedef const volatile int32_t* WmCancelFlag;

/* One tensor range through the interpolation kernel: outs[k] = lerp(x, y, alphas[k]), all alphas from one
 * read of x and y. dtypes are wisemerge::DType values of kind float. Pointers are host memory aligned to
 * their element size. Every outs[k] is disjoint from x, y and the other outputs; but on the CPU with one
 * thread and one alpha, outs[0] may overlap an x of the same dtype that does not begin before it.
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

/* A matrix of F32, F16 or BF16 in host memory: element (i, j) lies at data + i * row_stride +
 * j * column_stride, counted in elements. One of the strides is 1. */
typedef struct WmMatrix {
  int32_t dtype;
  const void* data;
  uint64_t row_stride, column_stride;
} WmMatrix;

/* out[i][j] = bias[j] + sum over l < k of a[i][l] * w[j][l], with w = lerp(w0, w1, alpha) and bias likewise
 * in f32, made while packing. a is m x k, w0 and w1 are n x k, out is m x n in f32 with rows out_stride
 * apart. Each element is one chain of f32 fused multiply-adds in ascending l, whatever the threads and the
 * device, unless the context was opened with another precision than WM_EXACT. w1 and bias1 may be null when
 * alpha is 0, the biases always. */
typedef struct WmMatmul {
  uint64_t m, n, k;
  WmMatrix a, w0, w1;
  double alpha;
  const float *bias0, *bias1;
  float* out;
  uint64_t out_stride;
} WmMatmul;

/* The logits of both ends of a path for one batch of samples: z(alpha) = z0 + alpha * (z1 - z0). Row i of
 * either begins `stride` floats after row i - 1. labels[i] is in [0, classes). */
typedef struct WmLogits {
  uint64_t rows, classes, stride;
  const float *z0, *z1;
  const int32_t* labels;
} WmLogits;

/* Where on [from, to] each sample's label is the argmax (the lowest class among equals): on the interval
 * lo[i] to hi[i], without lo[i] if bit 0 of open[i] is set, without hi[i] if bit 1 is. Empty: lo > hi. */
typedef struct WmPath {
  WmLogits logits;
  double from, to;
  double *lo, *hi;
  uint8_t* open;
} WmPath;

/* What WmPath gives for the logits of both ends, which nobody else needs: features is rows x dimension, w0
 * and w1 are classes x dimension, the biases (both or neither may be null) have `classes` elements. Bit for
 * bit head_path on the logits that matmul makes with alpha 0 and 1. */
typedef struct WmCurve {
  uint64_t rows, classes, dimension;
  WmMatrix features, w0, w1;
  const float *bias0, *bias1;
  const int32_t* labels;
  double from, to;
  double *lo, *hi;
  uint8_t* open;
} WmCurve;

/* Adds the metrics of the samples at each of `alpha_count` alphas to `sums`; head.h names its columns,
 * kMetricColumns doubles per alpha. lo, hi and open are what WmPath gave for an interval with 0, 1 and all
 * alphas: they decide what is correct at top-1. predicted[k * classes + c] (may be null) is raised by how
 * often class c was predicted at alphas[k]; predictions[k * rows + i] (may be null) becomes sample i's class.
 * Batches of a multiple of kSampleBlock samples, in order, give the same sums as one batch. */
typedef struct WmHeadMetrics {
  WmLogits logits;
  const double *lo, *hi;
  const uint8_t* open;
  const double* alphas;
  uint32_t alpha_count;
  double* sums;
  uint32_t* predicted;
  int32_t* predictions;
} WmHeadMetrics;

/* The negative log-likelihood of softmax(b * z0 + g * (z1 - z0)), summed over the samples with weights[i]
 * (null: 1), and its derivatives: sums = { f, df/db, df/dg, d2f/db2, d2f/dbdg, d2f/dg2 }. */
typedef struct WmHeadMoments {
  WmLogits logits;
  const double* weights;
  double b, g;
  double* sums;
} WmHeadMoments;

/* What both ends and the model at `alpha` put out: kOutputColumns numbers per sample, which head.h names, at
 * outputs + i * kOutputColumns. */
typedef struct WmHeadOutputs {
  WmLogits logits;
  double alpha;
  double* outputs;
} WmHeadOutputs;

/* A range of N tensors of one shape, element by element as merge.h specifies. Element e of the range is
 * element `first` + e of the tensors and lies e items behind each pointer; pointers are host memory aligned
 * to their items, dtypes wisemerge::DType values of kind float. d_i = x_i - base, or x_i where base is null.
 *
 * `first` is a multiple of kMergeSpan (merge.h), or of `row` where a call takes whole rows: `row` is the
 * number of elements of a row in the view that the method takes of the tensor. */
typedef struct WmMergeInputs {
  uint64_t first, count, row;
  uint32_t models;
  int32_t base_dtype;
  const void* base;
  const void* const* x;
  const int32_t* x_dtypes;
} WmMergeInputs;

/* What an element is ranked by. */
typedef enum WmScore {
  WM_SCORE_MAGNITUDE = 0, /* |d_model| */
  WM_SCORE_VARIANCE = 1,  /* population variance of all models' d */
  WM_SCORE_ROW_SCALED = 2 /* |d_model| times its row's score */
} WmScore;

typedef enum WmKeepRule {
  WM_KEEP_ALL = 0,
  WM_KEEP_RANKED = 1, /* by score: between (low_key, low_from..low_to) and (high_key, ..high_to) */
  WM_KEEP_RANDOM = 2, /* with `probability`, by Philox (philox.h) */
  WM_KEEP_MASKED = 3  /* where bit e % 8 of mask[e / 8] is set, e counted from the range's first element */
} WmKeepRule;

/* Which elements of one model's delta take part. A ranked element has a key (merge_key of its score) and its
 * index in the tensor; it is kept if key > low_key, or key == low_key and low_from <= index < low_to; and key
 * < high_key, or key == high_key and index < high_to. */
typedef struct WmKeep {
  int32_t rule, score;
  const double* row_scores; /* of the tensor, from its first row on */
  uint64_t low_key, low_from, low_to, high_key, high_to;
  double probability;
  uint64_t key;
  uint32_t stream;
  const uint8_t* mask;
} WmKeep;

/* Adds 1 to table[(key >> shift) & 0xffff], 65536 counters, for each element of `model` whose key >> shift >>
 * 16 is `prefix`. */
typedef struct WmMergeCount {
  WmMergeInputs inputs;
  uint32_t model;
  int32_t score;
  const double* row_scores;
  uint32_t shift;
  uint64_t prefix;
  uint64_t* table;
} WmMergeCount;

typedef enum WmMergeAxis { WM_AXIS_WHOLE = 0, WM_AXIS_ROW = 1, WM_AXIS_COLUMN = 2 } WmMergeAxis;

/* Of each span, kMergeSumColumns numbers per model (merge.h): sums[span][model][column]; with axis
 * WM_AXIS_ROW of each whole row, sums[row][model][column]. keeps: one per model. */
typedef struct WmMergeSums {
  WmMergeInputs inputs;
  const WmKeep* keeps;
  double* sums;
  int32_t axis;
} WmMergeSums;

/* Inner products <d_i, d_j> for i <= j, in the order (0,0) (0,1) .. (1,1) ..: of each span, sums[span][pair];
 * of each whole row, sums[row][pair]; or added to each column's, sums[column][pair], over the range's whole
 * rows. */
typedef struct WmMergeGram {
  WmMergeInputs inputs;
  int32_t axis;
  double* sums;
} WmMergeGram;

/* Adds to counts[2 * i] the elements of model i with |d_i| > epsilon where another model has one too, and to
 * counts[2 * i + 1] those where it is alone. */
typedef struct WmMergeOverlap {
  WmMergeInputs inputs;
  double epsilon;
  uint64_t* counts;
} WmMergeOverlap;

/* The mask (as WmKeep::mask) of MagPrune over whole rows: each element of `model` is kept with the
 * probability merge_rank_probability of its rank by (|d|, index) in its row; random bits by `key`, `stream`
 * and its index in the tensor. */
typedef struct WmMergeRankMask {
  WmMergeInputs inputs;
  uint32_t model, stream;
  double density, epsilon;
  uint64_t key;
  uint8_t* mask;
} WmMergeRankMask;

/* Kullback-Leibler divergence per whole row of softmax(x_0) from softmax(base), both plus 1e-8 and not
 * normalised again: sum of p ln(p / q), in f64. divergence[row]. */
typedef struct WmMergeDivergence {
  WmMergeInputs inputs;
  double* divergence;
} WmMergeDivergence;

typedef enum WmMergeOperation {
  WM_MERGE_SUM = 0,       /* sum of w_i x_i (no base) */
  WM_MERGE_DELTA_SUM = 1, /* base + sum of w_i d_i over what is kept */
  WM_MERGE_CONSENSUS = 2, /* parameters: normalize, lambda */
  WM_MERGE_ELECTED = 3,   /* parameters: floor */
  WM_MERGE_OVERLAP = 4,   /* parameters: epsilon */
  WM_MERGE_NEARSWAP = 5,  /* one model; parameters: t */
  WM_MERGE_FISHER = 6,    /* 2 n models: x_i, then F_i (no base); parameters: floor */
  WM_MERGE_TAKE = 7,      /* one model: x where kept, else base */
  /* The first two with every step rounded to work_dtype; parameters: divisor, lambda */
  WM_MERGE_ROUNDED_SUM = 8,
  WM_MERGE_ROUNDED_DELTA_SUM = 9
} WmMergeOperation;

/* out[e] from all inputs, by the function of merge.h that bears the operation's name, rounded once. weights
 * [models], or with axis WM_AXIS_ROW [row of the range][models], or with WM_AXIS_COLUMN [column][models] (SUM
 * and DELTA_SUM only). factors [models]: what kept deltas are multiplied by (CONSENSUS), or those that are
 * alone (OVERLAP). keeps [models], or null: all (DELTA_SUM, CONSENSUS, ELECTED, TAKE). */
typedef struct WmMergeCombine {
  WmMergeInputs inputs;
  int32_t operation, axis;
  const double *weights, *factors;
  const WmKeep* keeps;
  double parameters[2];
  int32_t out_dtype;
  void* out;
  uint64_t* non_finite; /* the number of NaN and infinite elements in out */
  int32_t work_dtype;   /* F64, F32, F16 or BF16; of the rounded operations */
} WmMergeCombine;

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

  /* Evaluation of linear heads. NULL where a backend does not have it. */
  WmCode (*matmul)(WmContext* context, const WmMatmul* call, WmCancelFlag cancelled, WmError* error);
  WmCode (*head_path)(WmContext* context, const WmPath* call, WmCancelFlag cancelled, WmError* error);
  WmCode (*head_metrics)(WmContext* context, const WmHeadMetrics* call, WmCancelFlag cancelled,
                         WmError* error);
  WmCode (*head_moments)(WmContext* context, const WmHeadMoments* call, WmCancelFlag cancelled,
                         WmError* error);
  WmCode (*head_curve)(WmContext* context, const WmCurve* call, WmCancelFlag cancelled, WmError* error);
  WmCode (*head_outputs)(WmContext* context, const WmHeadOutputs* call, WmCancelFlag cancelled,
                         WmError* error);

  /* Evaluation of networks. NULL where a backend does not have it. */
  WmCode (*attention)(WmContext* context, const WmAttention* call, WmCancelFlag cancelled, WmError* error);
  WmCode (*attention_gradient)(WmContext* context, const WmAttentionGradient* call, WmCancelFlag cancelled,
                               WmError* error);
  WmCode (*network_open)(WmContext* context, const WmParameter* parameters, uint32_t count, int32_t way,
                         WmNetwork** network, WmError* error);
  void (*network_close)(WmContext* context, WmNetwork* network);
  WmCode (*network_begin)(WmContext* context, WmNetwork* network, const WmProgram* program,
                          WmCancelFlag cancelled, WmError* error);
  WmCode (*network_operate)(WmContext* context, WmNetwork* network, uint32_t operation,
                            const WmOperands* operands, WmCancelFlag cancelled, WmError* error);
  WmCode (*network_finish)(WmContext* context, WmNetwork* network, const WmTransfer* results, uint32_t count,
                           WmCancelFlag cancelled, WmError* error);

  /* Training of networks (backend_network.h). NULL where a backend does not have it. */
  WmCode (*network_train)(WmContext* context, WmNetwork* network, const WmTraining* training,
                          WmCancelFlag cancelled, WmError* error);
  WmCode (*network_reverse_begin)(WmContext* context, WmNetwork* network, const WmTransfer* gradients,
                                  uint32_t count, WmCancelFlag cancelled, WmError* error);
  WmCode (*network_reverse)(WmContext* context, WmNetwork* network, uint32_t operation,
                            const WmReverse* operands, WmCancelFlag cancelled, WmError* error);
  /* Squares are summed in f64: lane_sum.h over blocks of kNormBlock numbers (adamw.h), then the blocks. */
  WmCode (*network_norm)(WmContext* context, WmNetwork* network, double* norm, WmCancelFlag cancelled,
                         WmError* error);
  WmCode (*network_update)(WmContext* context, WmNetwork* network, const WmAdamW* factors, WmError* error);
  WmCode (*network_read)(WmContext* context, WmNetwork* network, int32_t array, float* to,
                         WmCancelFlag cancelled, WmError* error);

  /* Merging of many models. NULL where a backend does not have it. */
  WmCode (*merge_count)(WmContext* context, const WmMergeCount* call, WmCancelFlag cancelled, WmError* error);
  WmCode (*merge_sums)(WmContext* context, const WmMergeSums* call, WmCancelFlag cancelled, WmError* error);
  WmCode (*merge_gram)(WmContext* context, const WmMergeGram* call, WmCancelFlag cancelled, WmError* error);
  WmCode (*merge_overlap)(WmContext* context, const WmMergeOverlap* call, WmCancelFlag cancelled,
                          WmError* error);
  WmCode (*merge_rank_mask)(WmContext* context, const WmMergeRankMask* call, WmCancelFlag cancelled,
                            WmError* error);
  WmCode (*merge_divergence)(WmContext* context, const WmMergeDivergence* call, WmCancelFlag cancelled,
                             WmError* error);
  WmCode (*merge_combine)(WmContext* context, const WmMergeCombine* call, WmCancelFlag cancelled,
                          WmError* error);
} WmBackend;

typedef const WmBackend* (*WmBackendEntry)(void);

#ifdef __cplusplus
}
#endif
#endif /* WISEMERGE_BACKEND_H_ */
