#include "core/engine.h"

#include <utility>

#include "core/status.h"
#include "core/thread_pool.h"
#include "cpu/cpu_backend.h"

namespace wisemerge {
namespace {

constexpr const char* kTraining = "training of a network";

}  // namespace

void check_backend(WmCode code, const WmError& error, const char* operation) {
  if (code == WM_OK) return;
  std::string text = std::string(operation) + ": " + (error.message[0] ? error.message : "no message");
  if (error.native_code) text += " (code " + std::to_string(error.native_code) + ")";
  switch (code) {
    case WM_CANCELLED:
      throw Error("ERR_ABORTED", std::string(operation) + " was aborted");
    case WM_INVALID_ARGUMENT:
      throw Error("ERR_INTERNAL_ARGUMENT", text);
    case WM_UNAVAILABLE:
      throw Error("ERR_DEVICE_UNAVAILABLE", text);
    case WM_OUT_OF_MEMORY:
      throw Error("ERR_DEVICE_MEMORY", text);
    default:
      throw Error("ERR_DEVICE", text);
  }
}

Engine::Engine(const WmBackend* backend, EngineOptions options)
    : backend_(backend), options_(std::move(options)) {}

Engine::~Engine() { close(); }

WmContext* Engine::context() {
  if (closed_) throw Error("ERR_ENGINE_CLOSED", "this engine is closed");
  if (!context_) {
    const WmOpenOptions options{options_.ordinal, options_.threads,
                                options_.isa.empty() ? nullptr : options_.isa.c_str(), options_.precision,
                                options_.memory};
    WmError error{};
    check_backend(backend_->open(&options, &context_, &error), error, "opening the device");
  }
  return context_;
}

void Engine::lerp(const std::vector<WmLerp>& items, WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  const auto count = static_cast<uint32_t>(items.size());
  check_backend(backend_->lerp(context(), items.data(), count, cancelled, &error), error, "lerp");
}

void Engine::compare(const std::vector<WmCompare>& items, WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  const auto count = static_cast<uint32_t>(items.size());
  check_backend(backend_->compare(context(), items.data(), count, cancelled, &error), error, "compare");
}

template <class Function, class Call>
void Engine::run(Function function, const Call& call, WmCancelFlag cancelled, const char* operation) {
  if (!function) {
    throw Error("ERR_DEVICE_UNAVAILABLE",
                std::string("the ") + backend_->name + " backend has no " + operation + "; use the CPU");
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(function(context(), &call, cancelled, &error), error, operation);
}

void Engine::matmul(const WmMatmul& call, WmCancelFlag cancelled) {
  run(backend_->matmul, call, cancelled, "matrix product");
}

void Engine::head_path(const WmPath& call, WmCancelFlag cancelled) {
  run(backend_->head_path, call, cancelled, "exact path");
}

void Engine::head_curve(const WmCurve& call, WmCancelFlag cancelled) {
  run(backend_->head_curve, call, cancelled, "exact curve without logits");
}

void Engine::head_metrics(const WmHeadMetrics& call, WmCancelFlag cancelled) {
  run(backend_->head_metrics, call, cancelled, "evaluation of heads");
}

void Engine::head_moments(const WmHeadMoments& call, WmCancelFlag cancelled) {
  run(backend_->head_moments, call, cancelled, "likelihood of heads");
}

void Engine::head_outputs(const WmHeadOutputs& call, WmCancelFlag cancelled) {
  run(backend_->head_outputs, call, cancelled, "comparison of outputs");
}

void Engine::attention(const WmAttention& call, WmCancelFlag cancelled) {
  run(backend_->attention, call, cancelled, "attention");
}

void Engine::attention_gradient(const WmAttentionGradient& call, WmCancelFlag cancelled) {
  run(backend_->attention_gradient, call, cancelled, "gradient of attention");
}

void Engine::merge_count(const WmMergeCount& call, WmCancelFlag cancelled) {
  run(backend_->merge_count, call, cancelled, "counting of ranks");
}

void Engine::merge_sums(const WmMergeSums& call, WmCancelFlag cancelled) {
  run(backend_->merge_sums, call, cancelled, "sums of deltas");
}

void Engine::merge_gram(const WmMergeGram& call, WmCancelFlag cancelled) {
  run(backend_->merge_gram, call, cancelled, "inner products of models");
}

void Engine::merge_overlap(const WmMergeOverlap& call, WmCancelFlag cancelled) {
  run(backend_->merge_overlap, call, cancelled, "overlap of deltas");
}

void Engine::merge_rank_mask(const WmMergeRankMask& call, WmCancelFlag cancelled) {
  run(backend_->merge_rank_mask, call, cancelled, "ranking of rows");
}

void Engine::merge_divergence(const WmMergeDivergence& call, WmCancelFlag cancelled) {
  run(backend_->merge_divergence, call, cancelled, "divergence of rows");
}

void Engine::merge_combine(const WmMergeCombine& call, WmCancelFlag cancelled) {
  run(backend_->merge_combine, call, cancelled, "merge of many models");
}

WmNetwork* Engine::network_open(const std::vector<WmParameter>& parameters, WmProductWay way) {
  const std::lock_guard<std::mutex> lock(mutex_);
  end_networks();
  WmNetwork* network = nullptr;
  WmError error{};
  check_backend(backend_->network_open(context(), parameters.data(), static_cast<uint32_t>(parameters.size()),
                                       way, &network, &error),
                error, "opening a network");
  return network;
}

void Engine::network_begin(WmNetwork* network, const WmProgram& program, WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  end_networks();
  WmError error{};
  check_backend(backend_->network_begin(context(), network, &program, cancelled, &error), error,
                "evaluation of a network");
}

void Engine::network_operate(WmNetwork* network, uint32_t operation, const WmOperands& operands,
                             WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(backend_->network_operate(context(), network, operation, &operands, cancelled, &error), error,
                "evaluation of a network");
}

void Engine::network_finish(WmNetwork* network, const std::vector<WmTransfer>& results,
                            WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(backend_->network_finish(context(), network, results.data(),
                                         static_cast<uint32_t>(results.size()), cancelled, &error),
                error, "evaluation of a network");
}

void Engine::network_train(WmNetwork* network, const WmTraining& training, WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(backend_->network_train(context(), network, &training, cancelled, &error), error, kTraining);
}

void Engine::network_reverse_begin(WmNetwork* network, const std::vector<WmTransfer>& gradients,
                                   WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(backend_->network_reverse_begin(context(), network, gradients.data(),
                                                static_cast<uint32_t>(gradients.size()), cancelled, &error),
                error, kTraining);
}

void Engine::network_reverse(WmNetwork* network, uint32_t operation, const WmReverse& operands,
                             WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(backend_->network_reverse(context(), network, operation, &operands, cancelled, &error), error,
                kTraining);
}

double Engine::network_norm(WmNetwork* network, WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  double norm = 0;
  check_backend(backend_->network_norm(context(), network, &norm, cancelled, &error), error, kTraining);
  return norm;
}

void Engine::network_update(WmNetwork* network, const WmAdamW& factors) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(backend_->network_update(context(), network, &factors, &error), error, kTraining);
}

void Engine::network_read(WmNetwork* network, WmTrainedArray array, float* to, WmCancelFlag cancelled) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmError error{};
  check_backend(backend_->network_read(context(), network, array, to, cancelled, &error), error, kTraining);
}

void Engine::network_close(WmNetwork* network) {
  const std::lock_guard<std::mutex> lock(users_mutex_);
  ending_.push_back(network);
}

void Engine::end_networks() {
  std::vector<WmNetwork*> ending;
  {
    const std::lock_guard<std::mutex> lock(users_mutex_);
    ending.swap(ending_);
  }
  for (WmNetwork* const network : ending) backend_->network_close(context(), network);
}

void Engine::pin(const std::shared_ptr<HostBuffer>& buffer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  WmContext* const open = context();
  if (!pins() || pinned_.count(buffer.get())) return;
  WmError error{};
  const WmCode code = backend_->pin(open, buffer->data(), buffer->size(), &error);
  if (code == WM_OUT_OF_MEMORY || code == WM_DEVICE_ERROR) return;
  check_backend(code, error, "pinning host memory");
  pinned_.emplace(buffer.get(), buffer);
}

void Engine::unpin(const HostBuffer* buffer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  unpin_held(buffer);
}

void Engine::unpin_held(const HostBuffer* buffer) {
  const auto found = pinned_.find(buffer);
  if (found == pinned_.end()) return;
  backend_->unpin(context_, buffer->data());
  pinned_.erase(found);
}

bool Engine::on_host() const { return backend_ == wisemerge_cpu_backend(); }

std::vector<std::shared_ptr<Engine>> Engine::lanes(const std::shared_ptr<Engine>& engine) {
  if (!engine->on_host()) return {engine};
  EngineOptions options = engine->options_;
  const int threads = options.threads > 0 ? options.threads : available_cpus();
  options.threads = 1;
  std::vector<std::shared_ptr<Engine>> all;
  for (int i = 0; i < threads; i++) all.push_back(std::make_shared<Engine>(engine->backend_, options));
  return all;
}

Engine::Use::Use(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {
  const std::lock_guard<std::mutex> lock(engine_->users_mutex_);
  if (engine_->closing_) throw Error("ERR_ENGINE_CLOSED", "this engine is closed");
  engine_->uses_++;
}

Engine::Use::~Use() {
  if (!engine_) return;
  bool last;
  {
    const std::lock_guard<std::mutex> lock(engine_->users_mutex_);
    last = --engine_->uses_ == 0 && engine_->closing_;
  }
  if (last) engine_->close_context();
}

void Engine::close() {
  {
    const std::lock_guard<std::mutex> lock(users_mutex_);
    closing_ = true;
    if (uses_ > 0) return;
  }
  close_context();
}

void Engine::close_context() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  while (!pinned_.empty()) unpin_held(pinned_.begin()->first);
  if (context_) backend_->close(context_);
  context_ = nullptr;
}

}  // namespace wisemerge
