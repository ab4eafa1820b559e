#include "cuda/network_operations.h"

#include <string>

#include "cuda/failure.h"
#include "cuda/head_launch.h"
#include "cuda/slot.h"

namespace wisemerge::cuda {
namespace {

using network::Activation;
using network::OpKind;

// The operands in the types that kernels take them in.
struct Operands {
  const OperationCall& call;
  const uint64_t* n;

  const float* in(size_t i) const { return static_cast<const float*>(call.value[i]); }
  const int32_t* whole(size_t i) const { return static_cast<const int32_t*>(call.value[i]); }
  float* out() const { return static_cast<float*>(call.out); }
  float real() const { return static_cast<float>(call.real); }
};

ElementPass element_pass(const Operands& at, ElementPass::Kind kind) {
  ElementPass pass{};
  pass.kind = kind;
  pass.x = at.in(0);
  pass.y = at.in(1);
  pass.count = at.n[0];
  pass.activation = static_cast<Activation>(at.n[1]);
  pass.out = at.out();
  return pass;
}

RowNorm row_norm_call(const Operands& at, RowNorm::Kind kind) {
  RowNorm norm{};
  norm.kind = kind;
  norm.rows = at.n[0];
  norm.width = at.n[1];
  norm.x = at.in(0);
  norm.out = at.out();
  norm.weight = at.call.parameter[0];
  norm.bias = at.call.parameter[1];
  norm.epsilon = at.real();
  return norm;
}

TokenPool token_pool(const Operands& at) {
  TokenPool pool{};
  pool.batch = at.n[0];
  pool.tokens = at.n[1];
  pool.width = at.n[2];
  pool.x = at.in(0);
  pool.out = at.out();
  return pool;
}

Attention attention_call(const Operands& at) {
  const uint64_t* const n = at.n;
  Attention call{};
  call.batch = static_cast<uint32_t>(n[0]);
  call.tokens = static_cast<uint32_t>(n[1]);
  call.heads = static_cast<uint32_t>(n[2]);
  call.kv_heads = static_cast<uint32_t>(n[3]);
  call.head_dim = static_cast<uint32_t>(n[4]);
  call.causal = n[5] != 0;
  // A window that holds the whole sequence is none.
  call.window = n[6] < n[1] ? static_cast<uint32_t>(n[6]) : 0;
  call.q_stride = n[7];
  call.k_stride = n[8];
  call.v_stride = n[9];
  call.q = at.in(0) + n[10];
  call.k = at.in(1) + n[11];
  call.v = at.in(2) + n[12];
  call.mask = at.whole(3);
  call.scale = at.real();
  call.out = at.out();
  call.out_stride = n[2] * n[4];
  return call;
}

// Small, and what it gives is multiplied by up to a hundred: always exact.
void run_similarity(const Operands& at, cudaStream_t stream) {
  const uint64_t* const n = at.n;
  Matmul product{};
  product.m = static_cast<uint32_t>(n[0]);
  product.n = static_cast<uint32_t>(n[1]);
  product.k = static_cast<uint32_t>(n[2]);
  product.a = {at.in(0), n[2], 1, DType::kF32};
  product.w0 = {at.in(1), n[2], 1, DType::kF32};
  product.out = at.out();
  product.out_stride = n[1];
  check(launch(product, stream), "launching a matrix product");
  ElementPass pass{};
  pass.kind = ElementPass::Kind::kScale;
  pass.x = pass.out = at.out();
  pass.factor = at.real();
  pass.count = n[0] * n[1];
  check(launch(pass, stream), "launching a similarity");
}

void launch_pass(const Operands& at, OpKind kind, std::byte* scratch, cudaStream_t stream) {
  const uint64_t* const n = at.n;
  const auto run = [&](const auto& pass) { check(launch(pass, stream), "launching an operation"); };
  switch (kind) {
    case OpKind::kPatches:
      return run(PatchCut{n[0], n[1], n[2], n[3], n[4], at.in(0), at.out()});
    case OpKind::kPrefix:
      return run(FrontTokens{n[0], n[1], n[2], n[3], at.in(0), at.call.parameter[0], at.call.parameter[1],
                             at.out()});
    case OpKind::kEmbedding:
      return run(TableRows{at.call.parameter[0], at.whole(0), 0, n[0], n[1], at.out()});
    case OpKind::kAdd:
      return run(element_pass(at, ElementPass::Kind::kAdd));
    case OpKind::kActivation:
      return run(element_pass(at, ElementPass::Kind::kActivation));
    case OpKind::kGate:
      return run(element_pass(at, ElementPass::Kind::kGate));
    case OpKind::kLayerNorm:
      return run(row_norm_call(at, RowNorm::Kind::kLayer));
    case OpKind::kRmsNorm:
      return run(row_norm_call(at, RowNorm::Kind::kRootMeanSquare));
    case OpKind::kNormalise:
      return run(row_norm_call(at, RowNorm::Kind::kLength));
    case OpKind::kRope:
      return run(Rotary{n[0], n[1], n[2], n[3], at.in(0), at.whole(1), at.in(2), at.real(), at.out()});
    case OpKind::kAttention:
      return run(attention_call(at));
    case OpKind::kPickToken: {
      TokenPool pool = token_pool(at);
      pool.index = at.whole(1);
      return run(pool);
    }
    case OpKind::kMeanToken: {
      TokenPool pool = token_pool(at);
      pool.mask = at.whole(1);
      pool.first = n[3];
      return run(pool);
    }
    case OpKind::kTokenLosses:
      return run(TokenLosses{n[0], 0, n[1], at.in(0), at.whole(1),
                             reinterpret_cast<network::LossRow*>(scratch), at.out()});
    case OpKind::kLinear:
    case OpKind::kSimilarity:
    case OpKind::kHeadLosses:
      return;  // run_operation has them
  }
}

}  // namespace

void check_operation(const WmOperation& operation) {
  const auto refuse = [&](const std::string& why) {
    throw Failure{WM_INVALID_ARGUMENT, 0,
                  "a network's operation of kind " + std::to_string(operation.kind) + ": " + why};
  };
  if (operation.kind < 0 || static_cast<uint64_t>(operation.kind) >= network::kOpKinds) refuse("unknown");
  const uint64_t* const n = operation.size;
  uint64_t products[3] = {};
  switch (static_cast<OpKind>(operation.kind)) {
    case OpKind::kLinear:
    case OpKind::kHeadLosses:
      products[0] = n[0], products[1] = n[2], products[2] = n[1];
      break;
    case OpKind::kSimilarity:
      products[0] = n[0], products[1] = n[1], products[2] = n[2];
      break;
    case OpKind::kAttention: {
      const uint64_t tiles = (n[1] + kAttentionRows - 1) / kAttentionRows;
      if (n[1] > INT32_MAX || n[4] > INT32_MAX || n[0] > INT32_MAX || n[2] > INT32_MAX ||
          n[0] * n[2] > INT32_MAX / (tiles > 0 ? tiles : 1)) {
        refuse("more attention than one launch takes");
      }
      break;
    }
    default:
      break;
  }
  constexpr uint64_t kLimit = INT32_MAX;
  const uint64_t tile_rows = (products[0] + kMatmulTile - 1) / kMatmulTile;
  const uint64_t tile_columns = (products[1] + kMatmulTile - 1) / kMatmulTile;
  if (products[0] > kLimit || products[1] > kLimit || products[2] > kLimit ||
      tile_rows * tile_columns > kLimit) {
    refuse("a product larger than one launch takes");
  }
}

uint64_t operation_scratch(const ProductRule& rule, const WmOperation& operation) {
  const uint64_t* const n = operation.size;
  switch (static_cast<OpKind>(operation.kind)) {
    case OpKind::kLinear:
      return product_scratch(rule, n[0], n[1], n[2]);
    case OpKind::kHeadLosses:
      return head_losses_scratch(rule, n[0], n[1], n[2]);
    case OpKind::kTokenLosses:
      return slot_bytes(n[0] * sizeof(network::LossRow));
    default:
      return 0;
  }
}

void run_operation(const ProductRule& rule, const OperationCall& call, std::byte* scratch,
                   cudaStream_t stream) {
  const uint64_t* const n = call.operation.size;
  const Operands at{call, n};
  switch (static_cast<OpKind>(call.operation.kind)) {
    case OpKind::kLinear:
      return run_product(
          rule, {n[0], n[1], n[2], n[3] != 0, at.in(0), call.parameter[0], call.parameter[1], 0, at.out()},
          scratch, stream);
    case OpKind::kHeadLosses:
      return run_head_losses(rule, {n[0], n[1], n[2], at.in(0), call.parameter[0], at.whole(1), at.out()},
                             scratch, stream);
    case OpKind::kSimilarity:
      return run_similarity(at, stream);
    default:
      return launch_pass(at, static_cast<OpKind>(call.operation.kind), scratch, stream);
  }
}

}  // namespace wisemerge::cuda
