// One opened device: a backend context, the memory pinned in it, and its errors as exceptions.
//
// The context opens with the first call, because opening takes long enough to be felt on the JavaScript
// thread. Calls may come from several threads, as those of a stream do beside the executor's; they take
// turns.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/host_buffer.h"
#include "wisemerge/backend.h"

namespace wisemerge {

struct EngineOptions {
  int ordinal = 0;
  int threads = 0;  // as WmOpenOptions
  std::string isa;  // empty = best available
  WmPrecision precision = WM_EXACT;
  uint64_t memory = 0;  // as WmOpenOptions
};

class Engine {
 public:
  Engine(const WmBackend* backend, EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Work of many calls that a close() must let end: whoever ends the last of it closes the engine then.
  // Throws ERR_ENGINE_CLOSED where close() came first.
  class Use {
   public:
    explicit Use(std::shared_ptr<Engine> engine);
    ~Use();
    Use(Use&&) noexcept = default;
    Use& operator=(Use&&) = delete;

   private:
    std::shared_ptr<Engine> engine_;
  };

  // All throw Error: ERR_ABORTED, ERR_DEVICE_UNAVAILABLE, ERR_DEVICE_MEMORY, ERR_DEVICE,
  // ERR_INTERNAL_ARGUMENT, ERR_ENGINE_CLOSED.
  void lerp(const std::vector<WmLerp>& items, WmCancelFlag cancelled);
  void compare(const std::vector<WmCompare>& items, WmCancelFlag cancelled);
  void matmul(const WmMatmul& call, WmCancelFlag cancelled);
  void head_path(const WmPath& call, WmCancelFlag cancelled);
  void head_curve(const WmCurve& call, WmCancelFlag cancelled);
  void head_metrics(const WmHeadMetrics& call, WmCancelFlag cancelled);
  void head_moments(const WmHeadMoments& call, WmCancelFlag cancelled);
  void head_outputs(const WmHeadOutputs& call, WmCancelFlag cancelled);
  void attention(const WmAttention& call, WmCancelFlag cancelled);
  void attention_gradient(const WmAttentionGradient& call, WmCancelFlag cancelled);
  void merge_count(const WmMergeCount& call, WmCancelFlag cancelled);
  void merge_sums(const WmMergeSums& call, WmCancelFlag cancelled);
  void merge_gram(const WmMergeGram& call, WmCancelFlag cancelled);
  void merge_overlap(const WmMergeOverlap& call, WmCancelFlag cancelled);
  void merge_rank_mask(const WmMergeRankMask& call, WmCancelFlag cancelled);
  void merge_divergence(const WmMergeDivergence& call, WmCancelFlag cancelled);
  void merge_combine(const WmMergeCombine& call, WmCancelFlag cancelled);

  // Whether networks run in the device's own memory (backend_network.h), by the functions below; elsewhere
  // the core has their operations.
  bool has_networks() const { return backend_->network_open != nullptr; }
  WmNetwork* network_open(const std::vector<WmParameter>& parameters, WmProductWay way);
  void network_begin(WmNetwork* network, const WmProgram& program, WmCancelFlag cancelled);
  void network_operate(WmNetwork* network, uint32_t operation, const WmOperands& operands,
                       WmCancelFlag cancelled);
  void network_finish(WmNetwork* network, const std::vector<WmTransfer>& results, WmCancelFlag cancelled);
  // Of a network that is trained.
  bool has_training() const { return backend_->network_train != nullptr; }
  void network_train(WmNetwork* network, const WmTraining& training, WmCancelFlag cancelled);
  void network_reverse_begin(WmNetwork* network, const std::vector<WmTransfer>& gradients,
                             WmCancelFlag cancelled);
  void network_reverse(WmNetwork* network, uint32_t operation, const WmReverse& operands,
                       WmCancelFlag cancelled);
  double network_norm(WmNetwork* network, WmCancelFlag cancelled);
  void network_update(WmNetwork* network, const WmAdamW& factors);
  void network_read(WmNetwork* network, WmTrainedArray array, float* to, WmCancelFlag cancelled);
  // May be called from any thread: the network ends when the next one begins, or with the engine.
  void network_close(WmNetwork* network);

  // Whether the backend has any use for pin().
  bool pins() const { return backend_->pin != nullptr; }
  // Keeps the buffer until unpin() or close(). Nothing happens without a use for it, nor where the system
  // locks no more memory: transfers then go through memory of the backend's, which takes longer.
  void pin(const std::shared_ptr<HostBuffer>& buffer);
  void unpin(const HostBuffer* buffer);

  // Refuses further use and closes the context, at once or with the last Use. From any thread.
  void close();

  // Whether calls work on the caller's memory itself, with nothing to be sent anywhere.
  bool on_host() const;
  // Of the CPU, as WmOpenOptions has them.
  int threads() const { return options_.threads; }

  // For work cut into blocks that several threads compute, each its own: a CPU engine of n threads as n
  // engines of one thread, which need no handing out; any other as itself.
  static std::vector<std::shared_ptr<Engine>> lanes(const std::shared_ptr<Engine>& engine);

 private:
  // These with mutex_ held.
  WmContext* context();
  void end_networks();
  void unpin_held(const HostBuffer* buffer);

  void close_context();
  // Throws where the backend does not have the function.
  template <class Function, class Call>
  void run(Function function, const Call& call, WmCancelFlag cancelled, const char* operation);

  const WmBackend* const backend_;
  const EngineOptions options_;
  std::mutex mutex_;  // one call at a time
  WmContext* context_ = nullptr;
  bool closed_ = false;
  // Of what must not wait for a call: it comes from the JavaScript thread.
  std::mutex users_mutex_;
  size_t uses_ = 0;
  bool closing_ = false;
  std::vector<WmNetwork*> ending_;  // closed, but not in the backend yet
  std::map<const HostBuffer*, std::shared_ptr<HostBuffer>> pinned_;
};

// Throws the Error that stands for `code`; does nothing for WM_OK.
void check_backend(WmCode code, const WmError& error, const char* operation);

}  // namespace wisemerge
