/* The part of backend.h about networks: attention on the caller's memory, and whole programs in the memory of
 * a device. */
#ifndef WISEMERGE_BACKEND_NETWORK_H_
#define WISEMERGE_BACKEND_NETWORK_H_

#include <stdint.h>

/* Scaled dot-product attention (Vaswani et al., 2017) over `batch` sequences of `tokens` positions:
 *
 *   out_i = sum over j of p_j v_j, p = softmax over the j that i attends to of scale * (q_i . k_j)
 *
 * Head h of head_dim numbers at position i of sequence b begins at data + (b * tokens + i) * stride + h *
 * head_dim; `heads` share out evenly among `kv_heads` heads of k and v. Position i attends to j where
 * mask[b * tokens + j] is not 0 (null: all), j <= i if `causal`, and j > i - window if `window` is not 0;
 * without any it gives zeros. All in f32, by blocks of keys in ascending order (Dao et al., 2022): memory
 * does not grow with tokens^2. Keys that nobody attends to, whatever their number, change no bit. */
typedef struct WmAttention {
  uint64_t batch, tokens, heads, kv_heads, head_dim;
  const float *q, *k, *v;
  uint64_t q_stride, k_stride, v_stride;
  float* out;
  uint64_t out_stride;
  const int32_t* mask;
  int32_t causal;
  uint64_t window;
  float scale;
} WmAttention;

/* The gradients of a loss by q, k and v, from that by the result, `out_gradient`, which is laid out as
 * `forward.out`; forward.out itself is not read. They are added to what lies at q_gradient, k_gradient and
 * v_gradient, laid out as q, k and v, in an order that does not depend on the threads. */
typedef struct WmAttentionGradient {
  WmAttention forward;
  const float* out_gradient;
  float *q_gradient, *k_gradient, *v_gradient;
} WmAttentionGradient;

/* A network in the memory of a device, where a program's values stay from its first operation to its last.
 * The core goes through the operations and says where values lie; the backend has their kernels, and brings
 * parameters to the device, all of them or, where they do not fit, those of one operation after another.
 *
 *   network_open    the parameters of the model
 *   network_begin   a program: its operations, room for values, the given values on their way
 *   network_operate one operation for one candidate; in the order of the program, candidates of an operation
 *                   one behind the other. Returns before it is done
 *   network_finish  results to host memory; returns when they are there
 *   network_close
 *
 * network_begin may follow a program that was left off at any operation. Networks end with their context. */
typedef struct WmNetwork WmNetwork;

#define WM_NO_PARAMETER UINT32_MAX
#define WM_NO_VALUE UINT64_MAX

/* A tensor of the model at both ends of the path, F32, F16 or BF16 in host memory that outlives the network
 * and does not change. `finetuned` is null where both ends have the same bytes. */
typedef struct WmParameter {
  uint64_t count;
  int32_t zeroshot_dtype, finetuned_dtype;
  const void *zeroshot, *finetuned;
} WmParameter;

/* How weights of products are interpolated; the results have the same bits. */
typedef enum WmProductWay {
  WM_WAY_AUTO = 0,   /* by the number of rows */
  WM_WAY_FUSED = 1,  /* inside the product */
  WM_WAY_SCRATCH = 2 /* into memory that is used again, before it */
} WmProductWay;

/* Kind, sizes and what parameters are for: operations.h. */
typedef struct WmOperation {
  int32_t kind;
  uint32_t parameter[2]; /* WM_NO_PARAMETER: none */
  uint64_t size[13];
} WmOperation;

/* `bytes` at `offset` of the network's memory, from or to host memory. */
typedef struct WmTransfer {
  void* host;
  uint64_t offset, bytes;
} WmTransfer;

/* `memory` bytes for values, at offsets that are multiples of 64. Inputs are read until network_finish. */
typedef struct WmProgram {
  uint32_t operations, inputs;
  const WmOperation* operation;
  const WmTransfer* input;
  uint64_t memory;
} WmProgram;

/* Training of a network whose parameters are F32 at one end and lie in `parameters`, one behind another in
 * the order of their numbers. From network_train on a device holds them, their gradients and AdamW's moments;
 * host memory has them again when network_read brings them.
 *
 *   network_train          once, before the first program; reads the arrays
 *   network_begin, _operate, _finish  a forward pass: all values that network_reverse reads stay in places of
 *                          their own
 *   network_reverse_begin  gradients of a loss by results, from host memory that is read until network_norm;
 *                          those by parameters are 0
 *   network_reverse        the backward pass of one operation, in the reverse order. Returns before it is
 * done network_norm           of the gradient by all parameters network_update         of all parameters and
 * moments network_read           one of the arrays */
typedef struct WmTraining {
  uint64_t count;
  const float *parameters, *first_moment, *second_moment; /* [count] each */
} WmTraining;

typedef enum WmTrainedArray {
  WM_PARAMETERS = 0,
  WM_GRADIENT = 1,
  WM_FIRST_MOMENT = 2,
  WM_SECOND_MOMENT = 3
} WmTrainedArray;

/* Operands of a backward pass: byte offsets in the network's memory (WM_NO_VALUE: none). The gradient by the
 * operation's result lies at out_gradient; those by its values go to value_gradient, where they are added to
 * what there is or, without `add`, take its place, which may be out_gradient for passes that go row by row.
 * `spare` has room for the largest gradient that is added. `real` as in WmOperands. */
typedef struct WmReverse {
  uint64_t value[4], value_gradient[4], out_gradient, spare;
  int32_t add[4];
  double real;
} WmReverse;

/* One update of AdamW, all in f32: g is the gradient, m and v are the moments, p is the parameter.
 *
 *   m = beta1 * m + rest1 * (g * scale)
 *   v = beta2 * v + rest2 * (g * scale)^2
 *   p = p * keep - size * (m / (sqrt(v) * correction + epsilon)), unless `frozen` */
typedef struct WmAdamW {
  float scale, beta1, rest1, beta2, rest2, keep, size, correction, epsilon;
  int32_t frozen;
} WmAdamW;

/* An operation's operands for one candidate: byte offsets in the network's memory (WM_NO_VALUE: none), the
 * alphas of its parameters, and operations.h's `real`: for a similarity, which has no parameter here, e^s. */
typedef struct WmOperands {
  uint64_t value[4], out;
  double alpha[2], real;
} WmOperands;

#endif /* WISEMERGE_BACKEND_NETWORK_H_ */
