// The CUDA backend's C table: argument checks and errors, no arithmetic.
#include <cuda_runtime_api.h>

#include <memory>
#include <new>
#include <string>

#include "cuda/calls.h"
#include "cuda/devices.h"
#include "cuda/failure.h"
#include "cuda/launch.h"
#include "cuda/network.h"

namespace wisemerge::cuda {

namespace {

// Runs `body`, which returns a WmCode, and turns what it throws into `error`.
template <class Body>
WmCode guard(WmError* error, Body&& body) {
  try {
    const WmCode code = body();
    if (code == WM_CANCELLED) fill_error(error, 0, "cancelled");
    return code;
  } catch (const Failure& failure) {
    fill_error(error, failure.native_code, failure.message);
    return failure.code;
  } catch (const std::bad_alloc&) {
    fill_error(error, 0, "out of host memory");
    return WM_OUT_OF_MEMORY;
  } catch (const std::exception& exception) {
    fill_error(error, 0, exception.what());
    return WM_DEVICE_ERROR;
  }
}

WmCode require(const void* pointer, const char* name) {
  if (!pointer) throw Failure{WM_INVALID_ARGUMENT, 0, std::string(name) + " is null"};
  return WM_OK;
}

int32_t device_count(WmError* error) {
  int32_t count = 0;
  guard(error, [&] {
    const Devices devices = usable_devices();
    if (devices.ordinals.empty()) throw Failure{devices.code, devices.native_code, devices.reason};
    count = static_cast<int32_t>(devices.ordinals.size());
    return WM_OK;
  });
  return count;
}

WmCode device_info(int32_t device, WmDeviceInfo* info, WmError* error) {
  return guard(error, [&] {
    require(info, "info");
    describe_device(device, info);
    return WM_OK;
  });
}

WmCode open(const WmOpenOptions* options, WmContext** context, WmError* error) {
  return guard(error, [&] {
    require(context, "context");
    *context = nullptr;
    const WmOpenOptions given = options ? *options : WmOpenOptions{};
    if (given.precision < WM_EXACT || given.precision > WM_TF32) {
      throw Failure{WM_INVALID_ARGUMENT, 0,
                    "precision is " + std::to_string(given.precision) + "; 0 is exact, 1 is fast, 2 is tf32"};
    }
    *context =
        new WmContext(device_ordinal(given.device), static_cast<WmPrecision>(given.precision), given.memory);
    return WM_OK;
  });
}

void close(WmContext* context) { delete context; }

WmCode pin(WmContext* context, void* memory, size_t bytes, WmError* error) {
  return guard(error, [&] {
    require(context, "context");
    context->make_current();
    context->pinned().add(memory, bytes);
    return WM_OK;
  });
}

void unpin(WmContext* context, void* memory) {
  guard(nullptr, [&] {
    require(context, "context");
    context->make_current();
    // A network's weights may be on their way, and the caller may free them next.
    context->wait_for_copies();
    context->pinned().remove(memory);
    return WM_OK;
  });
}

// A call that does not end well may leave copies under way from or to the caller's memory.
template <class Item>
WmCode call(WmCode (*run)(WmContext&, const Item*, uint32_t, WmCancelFlag), WmContext* context,
            const Item* items, uint32_t count, WmCancelFlag cancelled, WmError* error) {
  const WmCode code = guard(error, [&] {
    require(context, "context");
    if (count > 0) require(items, "items");
    context->make_current();
    return run(*context, items, count, cancelled);
  });
  if (code != WM_OK && context) context->abandon();
  return code;
}

WmCode lerp(WmContext* context, const WmLerp* items, uint32_t count, WmCancelFlag cancelled, WmError* error) {
  return call(run_lerp, context, items, count, cancelled, error);
}

WmCode compare(WmContext* context, const WmCompare* items, uint32_t count, WmCancelFlag cancelled,
               WmError* error) {
  return call(run_compare, context, items, count, cancelled, error);
}

template <class Call>
WmCode call_one(WmCode (*run)(WmContext&, const Call&, WmCancelFlag), WmContext* context, const Call* one,
                WmCancelFlag cancelled, WmError* error) {
  const WmCode code = guard(error, [&] {
    require(context, "context");
    require(one, "call");
    context->make_current();
    return run(*context, *one, cancelled);
  });
  if (code != WM_OK && context) context->abandon();
  return code;
}

WmCode matmul(WmContext* context, const WmMatmul* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_matmul, context, one, cancelled, error);
}

WmCode head_path(WmContext* context, const WmPath* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_path, context, one, cancelled, error);
}

WmCode head_metrics(WmContext* context, const WmHeadMetrics* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_metrics, context, one, cancelled, error);
}

WmCode head_moments(WmContext* context, const WmHeadMoments* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_moments, context, one, cancelled, error);
}

WmCode merge_count(WmContext* context, const WmMergeCount* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_merge_count, context, one, cancelled, error);
}

WmCode merge_sums(WmContext* context, const WmMergeSums* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_merge_sums, context, one, cancelled, error);
}

WmCode merge_gram(WmContext* context, const WmMergeGram* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_merge_gram, context, one, cancelled, error);
}

WmCode merge_overlap(WmContext* context, const WmMergeOverlap* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_merge_overlap, context, one, cancelled, error);
}

WmCode merge_rank_mask(WmContext* context, const WmMergeRankMask* one, WmCancelFlag cancelled,
                       WmError* error) {
  return call_one(run_merge_rank_mask, context, one, cancelled, error);
}

WmCode merge_divergence(WmContext* context, const WmMergeDivergence* one, WmCancelFlag cancelled,
                        WmError* error) {
  return call_one(run_merge_divergence, context, one, cancelled, error);
}

WmCode merge_combine(WmContext* context, const WmMergeCombine* one, WmCancelFlag cancelled, WmError* error) {
  return call_one(run_merge_combine, context, one, cancelled, error);
}

WmCode network_open(WmContext* context, const WmParameter* parameters, uint32_t count, int32_t way,
                    WmNetwork** network, WmError* error) {
  return guard(error, [&] {
    require(context, "context");
    require(network, "network");
    if (count > 0) require(parameters, "parameters");
    context->make_current();
    context->networks().push_back(std::make_unique<WmNetwork>(*context, parameters, count, way));
    *network = context->networks().back().get();
    return WM_OK;
  });
}

void network_close(WmContext* context, WmNetwork* network) {
  guard(nullptr, [&] {
    require(context, "context");
    context->make_current();
    context->abandon();
    context->networks().remove_if([&](const auto& open) { return open.get() == network; });
    return WM_OK;
  });
}

// As call(): what does not end well may leave work under way.
template <class Body>
WmCode network_call(WmContext* context, WmNetwork* network, WmError* error, Body&& body) {
  const WmCode code = guard(error, [&] {
    require(context, "context");
    require(network, "network");
    context->make_current();
    return body();
  });
  if (code != WM_OK && context) context->abandon();
  return code;
}

WmCode network_begin(WmContext* context, WmNetwork* network, const WmProgram* program, WmCancelFlag cancelled,
                     WmError* error) {
  return network_call(context, network, error, [&] {
    require(program, "program");
    return network->begin(*program, cancelled);
  });
}

WmCode network_operate(WmContext* context, WmNetwork* network, uint32_t operation, const WmOperands* operands,
                       WmCancelFlag cancelled, WmError* error) {
  return network_call(context, network, error, [&] {
    require(operands, "operands");
    return network->operate(operation, *operands, cancelled);
  });
}

WmCode network_finish(WmContext* context, WmNetwork* network, const WmTransfer* results, uint32_t count,
                      WmCancelFlag cancelled, WmError* error) {
  return network_call(context, network, error, [&] {
    if (count > 0) require(results, "results");
    return network->finish(results, count, cancelled);
  });
}

WmCode network_train(WmContext* context, WmNetwork* network, const WmTraining* training,
                     WmCancelFlag cancelled, WmError* error) {
  return network_call(context, network, error, [&] {
    require(training, "training");
    if (training->count > 0) {
      require(training->parameters, "parameters");
      require(training->first_moment, "first moments");
      require(training->second_moment, "second moments");
    }
    return network->train(*training, cancelled);
  });
}

WmCode network_reverse_begin(WmContext* context, WmNetwork* network, const WmTransfer* gradients,
                             uint32_t count, WmCancelFlag cancelled, WmError* error) {
  return network_call(context, network, error, [&] {
    if (count > 0) require(gradients, "gradients");
    return network->reverse_begin(gradients, count, cancelled);
  });
}

WmCode network_reverse(WmContext* context, WmNetwork* network, uint32_t operation, const WmReverse* operands,
                       WmCancelFlag cancelled, WmError* error) {
  return network_call(context, network, error, [&] {
    require(operands, "operands");
    return network->reverse(operation, *operands, cancelled);
  });
}

WmCode network_norm(WmContext* context, WmNetwork* network, double* norm, WmCancelFlag cancelled,
                    WmError* error) {
  return network_call(context, network, error, [&] {
    require(norm, "norm");
    return network->norm(norm, cancelled);
  });
}

WmCode network_update(WmContext* context, WmNetwork* network, const WmAdamW* factors, WmError* error) {
  return network_call(context, network, error, [&] {
    require(factors, "factors");
    return network->update(*factors);
  });
}

WmCode network_read(WmContext* context, WmNetwork* network, int32_t array, float* to, WmCancelFlag cancelled,
                    WmError* error) {
  return network_call(context, network, error, [&] {
    require(to, "memory");
    return network->read(array, to, cancelled);
  });
}

#ifndef WISEMERGE_VERSION
#define WISEMERGE_VERSION "development"
#endif

std::string version_text() {
  return std::string(WISEMERGE_VERSION) + ", CUDA " + std::to_string(CUDART_VERSION / 1000) + "." +
         std::to_string(CUDART_VERSION % 1000 / 10) + ", architectures " + kernel_architectures();
}

}  // namespace
}  // namespace wisemerge::cuda

extern "C" __attribute__((visibility("default"))) const WmBackend* wisemerge_backend(void) {
  using namespace wisemerge::cuda;
  static const std::string version = version_text();
  static const WmBackend backend = {
      .abi = WM_BACKEND_ABI,
      .name = "cuda",
      .version = version.c_str(),
      .device_count = device_count,
      .device_info = device_info,
      .open = open,
      .close = close,
      .pin = pin,
      .unpin = unpin,
      .lerp = lerp,
      .compare = compare,
      .matmul = matmul,
      .head_path = head_path,
      .head_metrics = head_metrics,
      .head_moments = head_moments,
      .head_curve = nullptr,  // callers make the logits and take head_path
      .head_outputs = nullptr,
      .attention = nullptr,  // of networks, which are evaluated in device memory
      .attention_gradient = nullptr,
      .network_open = network_open,
      .network_close = network_close,
      .network_begin = network_begin,
      .network_operate = network_operate,
      .network_finish = network_finish,
      .network_train = network_train,
      .network_reverse_begin = network_reverse_begin,
      .network_reverse = network_reverse,
      .network_norm = network_norm,
      .network_update = network_update,
      .network_read = network_read,
      .merge_count = merge_count,
      .merge_sums = merge_sums,
      .merge_gram = merge_gram,
      .merge_overlap = merge_overlap,
      .merge_rank_mask = merge_rank_mask,
      .merge_divergence = merge_divergence,
      .merge_combine = merge_combine,
  };
  return &backend;
}
