// Parameters at one point of the path between two models, made when they are used.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/engine.h"
#include "core/float_array.h"
#include "network/ops.h"

namespace wisemerge::network {

// How the weights of a matrix product come about; the results have the same bits.
enum class ProductWay : uint8_t {
  kAuto,     // by the number of rows
  kFused,    // interpolated while the product packs them
  kScratch,  // interpolated into memory that is used again, then multiplied
};

// x [rows, inputs], W [outputs, inputs], or [inputs, outputs] if transposed; out [rows, outputs].
struct Product {
  uint64_t rows, inputs, outputs;
  bool transposed;
  const float* x;
  float* out;
};

class Weights {
 public:
  Weights(Engine& engine, const std::vector<Parameter>& parameters, ProductWay way)
      : engine_(engine), parameters_(parameters), way_(way) {}

  // All of a parameter at alpha in f32, until the next call with the same slot. For vectors and small tables.
  static constexpr size_t kSlots = 2;
  const float* whole(size_t slot, uint32_t parameter, double alpha, WmCancelFlag cancelled);

  // Rows `ids` [rows] of the table [?, width] at alpha. Only they are interpolated.
  void rows(uint32_t parameter, double alpha, const int32_t* ids, uint64_t rows, uint64_t width, float* out,
            WmCancelFlag cancelled);

  // out = x W^T + bias, W and bias at their alphas; no bias: kNone. Throws as Engine::matmul.
  void product(const Product& call, uint32_t weight, double alpha, uint32_t bias, double bias_alpha,
               WmCancelFlag cancelled);

  // Logits x W^T of `rows` rows in slices of classes, in order: calls body(logits [rows, count], first,
  // count). Every slice but the last has a multiple of `multiple` classes.
  using SliceBody = std::function<void(const float* logits, uint64_t first, uint64_t count)>;
  void slices(const Product& call, uint32_t weight, double alpha, uint64_t multiple, const SliceBody& body,
              WmCancelFlag cancelled);

 private:
  // With rows `first` on of W.
  void product_of(const Product& call, const Parameter& weight, uint64_t first, double alpha,
                  const float* bias, WmCancelFlag cancelled);
  void product_by_slices(const Product& call, const Parameter& weight, uint64_t first, double alpha,
                         const float* bias, WmCancelFlag cancelled);

  Engine& engine_;
  const std::vector<Parameter>& parameters_;
  const ProductWay way_;
  FloatArray vectors_[kSlots], slice_, logits_;
};

}  // namespace wisemerge::network
