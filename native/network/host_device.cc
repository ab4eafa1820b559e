#include "network/host_device.h"

#include <utility>

#include "network/activations.h"
#include "network/attention_call.h"
#include "network/memory_parts.h"
#include "network/norms.h"
#include "network/rearrange.h"
#include "network/rope.h"
#include "network/similarity.h"
#include "network/token_loss.h"

namespace wisemerge::network {
namespace {

// The operands of one operation for one candidate.
class Operands {
 public:
  Operands(const Program& program, const MemoryPlan& plan, const Op& op, uint64_t candidate, float* memory)
      : program_(program), plan_(plan), op_(op), candidate_(candidate), memory_(memory) {}

  const float* in(size_t i) const { return static_cast<const float*>(address(op_.value[i])); }
  const int32_t* whole(size_t i) const { return static_cast<const int32_t*>(address(op_.value[i])); }
  float* out() const { return static_cast<float*>(address(op_.out)); }

 private:
  void* address(uint32_t id) const {
    if (id == kNone) return nullptr;
    const Value& value = program_.values[id];
    const MemoryPlan::Place& place = plan_.places[id];
    const uint64_t candidate = place.shared ? 0 : candidate_;
    // The caller's arrays lie close together, those in here on cache lines.
    if (place.offset == MemoryPlan::kElsewhere) {
      return static_cast<float*>(value.memory) + candidate * value.count;
    }
    return memory_ + place.offset + candidate * whole_lines(value.count);
  }

  const Program& program_;
  const MemoryPlan& plan_;
  const Op& op_;
  const uint64_t candidate_;
  float* const memory_;
};

}  // namespace

HostDevice::HostDevice(std::shared_ptr<Engine> engine, const std::vector<Parameter>& parameters, int threads,
                       ProductWay way)
    : engine_(std::move(engine)),
      parameters_(parameters),
      pool_(threads),
      weights_(*engine_, parameters, way) {}

void HostDevice::begin(const Running& running, WmCancelFlag) { activations_.reserve(running.plan.floats); }

void HostDevice::run(const Running& running, size_t index, uint64_t candidate, const double* alphas,
                     WmCancelFlag cancelled) {
  const Op& op = running.program.ops[index];
  const Operands at(running.program, running.plan, op, candidate, activations_.reserve(running.plan.floats));
  const auto& n = op.size;
  const auto alpha = [&](size_t i) { return op.parameter[i] == kNone ? 0 : alphas[op.parameter[i]]; };
  const auto parameter = [&](size_t i) { return weights_.whole(i, op.parameter[i], alpha(i), cancelled); };
  const auto activation = static_cast<Activation>(n[1]);
  const float epsilon = static_cast<float>(op.real);
  switch (op.kind) {
    case OpKind::kLinear:
      return weights_.product({n[0], n[1], n[2], n[3] != 0, at.in(0), at.out()}, op.parameter[0], alpha(0),
                              op.parameter[1], alpha(1), cancelled);
    case OpKind::kPatches:
      return cut_patches(pool_, {n[0], n[1], n[2], n[3], n[4]}, at.in(0), at.out());
    case OpKind::kPrefix:
      return put_prefix(pool_, {n[0], n[1], n[2], n[3], parameter(0), parameter(1)}, at.in(0), at.out());
    case OpKind::kEmbedding:
      return weights_.rows(op.parameter[0], alpha(0), at.whole(0), n[0], n[1], at.out(), cancelled);
    case OpKind::kAdd:
      return add(pool_, at.in(0), at.in(1), n[0], at.out());
    case OpKind::kLayerNorm:
      return layer_norm(pool_, {n[0], n[1], parameter(0), parameter(1), epsilon}, at.in(0), at.out());
    case OpKind::kRmsNorm:
      return rms_norm(pool_, n[0], n[1], parameter(0), epsilon, at.in(0), at.out());
    case OpKind::kActivation:
      return activate(pool_, activation, at.in(0), n[0], at.out());
    case OpKind::kGate:
      return gate(pool_, activation, at.in(0), at.in(1), n[0], at.out());
    case OpKind::kRope:
      return rope(pool_, {n[0], n[1], n[2], n[3], at.whole(1), at.in(2), epsilon}, at.in(0), at.out());
    case OpKind::kAttention:
      return engine_->attention(attention_call(op, at.in(0), at.in(1), at.in(2), at.whole(3), at.out()),
                                cancelled);
    case OpKind::kPickToken:
      return pick_token(pool_, {n[0], n[1], n[2]}, at.in(0), at.whole(1), at.out());
    case OpKind::kMeanToken:
      return mean_token(pool_, {n[0], n[1], n[2]}, n[3], at.in(0), at.whole(1), at.out());
    case OpKind::kNormalise:
      return normalise(pool_, n[0], n[1], at.in(0), at.out());
    case OpKind::kSimilarity: {
      WmMatmul call{};
      call.m = n[0];
      call.n = n[1];
      call.k = n[2];
      const int32_t dtype = static_cast<int32_t>(DType::kF32);
      call.a = {dtype, at.in(0), n[2], 1};
      call.w0 = {dtype, at.in(1), n[2], 1};
      call.out = at.out();
      call.out_stride = n[1];
      engine_->matmul(call, cancelled);
      const float scale = similarity_scale(parameters_[op.parameter[0]], alpha(0));
      for (uint64_t i = 0; i < n[0] * n[1]; i++) call.out[i] *= scale;
      return;
    }
    case OpKind::kTokenLosses:
    case OpKind::kHeadLosses: {
      TokenLosses losses(at.whole(1), n[0]);
      if (op.kind == OpKind::kTokenLosses) {
        losses.add(pool_, at.in(0), 0, n[1]);
      } else {
        const auto add = [&](const float* logits, uint64_t first, uint64_t count) {
          losses.add(pool_, logits, first, count);
        };
        weights_.slices({n[0], n[1], n[2], false, at.in(0), nullptr}, op.parameter[0], alpha(0), kLossBlock,
                        add, cancelled);
      }
      return losses.finish(at.out());
    }
  }
}

}  // namespace wisemerge::network
