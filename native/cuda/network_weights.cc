#include "cuda/network_weights.h"

#include <algorithm>
#include <numeric>

#include "cuda/slot.h"

namespace wisemerge::cuda {

NetworkWeights::NetworkWeights(WmContext& context, const WmParameter* parameters, uint32_t count)
    : context_(context), staging_(context.streams().upload, context.pinned()) {
  for (uint32_t i = 0; i < count; i++) {
    Parameter parameter{};
    parameter.given = parameters[i];
    const auto bytes = [&](int32_t dtype) {
      return slot_bytes(parameters[i].count * item_size(static_cast<DType>(dtype)));
    };
    parameter.bytes[0] = bytes(parameters[i].zeroshot_dtype);
    parameter.bytes[1] = parameters[i].finetuned ? bytes(parameters[i].finetuned_dtype) : 0;
    parameters_.push_back(parameter);
  }
}

uint64_t NetworkWeights::bundle_bytes(const WmOperation& operation) const {
  uint64_t bytes = 0;
  for (const uint32_t id : operation.parameter) {
    if (id != WM_NO_PARAMETER && !parameters_[id].resident) bytes += bytes_of(parameters_[id]);
  }
  return bytes;
}

uint64_t NetworkWeights::largest_bundle(const std::vector<WmOperation>& operations) const {
  uint64_t largest = 0;
  for (const WmOperation& operation : operations) largest = std::max(largest, bundle_bytes(operation));
  return largest;
}

uint64_t NetworkWeights::least(const std::vector<WmOperation>& operations) const {
  uint64_t largest = 0;
  for (const WmOperation& operation : operations) {
    uint64_t bytes = 0;
    for (const uint32_t id : operation.parameter) {
      if (id != WM_NO_PARAMETER) bytes += bytes_of(parameters_[id]);
    }
    largest = std::max(largest, bytes);
  }
  return largest;
}

bool NetworkWeights::placed(const std::vector<WmOperation>& operations) const {
  return memory_ && largest_bundle(operations) <= ring_bytes_;
}

void NetworkWeights::choose_residents(const std::vector<WmOperation>& operations, uint64_t bytes) {
  std::vector<uint32_t> order(parameters_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return bytes_of(parameters_[a]) < bytes_of(parameters_[b]);
  });
  resident_bytes_ = 0;
  for (const uint32_t id : order) {
    Parameter& parameter = parameters_[id];
    parameter.resident = true;
    const uint64_t together = resident_bytes_ + bytes_of(parameter);
    if (together > bytes || 2 * largest_bundle(operations) > bytes - together) {
      parameter.resident = false;
      break;
    }
    parameter.offset = resident_bytes_;
    resident_bytes_ = together;
  }
}

void NetworkWeights::place(const std::vector<WmOperation>& operations, uint64_t bytes) {
  release();
  choose_residents(operations, bytes);
  ring_bytes_ = std::min(2 * largest_bundle(operations), bytes - resident_bytes_);
  memory_ = std::make_unique<DeviceMemory>(std::max<uint64_t>(resident_bytes_ + ring_bytes_, 1));
}

void NetworkWeights::release() {
  memory_.reset();
  resident_bytes_ = ring_bytes_ = 0;
  for (Parameter& parameter : parameters_) parameter.resident = parameter.there = false;
}

void NetworkWeights::begin(const std::vector<WmOperation>& operations) {
  operations_ = operations;
  bundles_.resize(operations.size());
  std::vector<uint32_t> there;  // operations whose bundles lie in the ring
  uint64_t head = 0;
  for (uint32_t at = 0; at < operations.size(); at++) {
    Bundle& bundle = bundles_[at];
    const uint64_t bytes = bundle_bytes(operations[at]);
    bundle.behind = kNobody;
    if (bytes > 0 && !bundle.done) bundle.done = std::make_unique<Event>();
    if (bytes > ring_bytes_ - head) head = 0;
    bundle.begin = head;
    bundle.end = head = head + bytes;
    if (bytes == 0) continue;
    // Operations end in their order, so that the last of those in the way stands for all of them.
    const auto in_the_way = [&](uint32_t other) {
      return bundles_[other].begin < bundle.end && bundle.begin < bundles_[other].end;
    };
    for (const uint32_t other : there) {
      if (in_the_way(other)) bundle.behind = other;
    }
    std::erase_if(there, in_the_way);
    there.push_back(at);
  }
}

bool NetworkWeights::bring(uint32_t at, WmCancelFlag cancelled) {
  const Bundle& bundle = bundles_[at];
  if (bundle.behind != kNobody) {
    check(cudaStreamWaitEvent(context_.streams().upload, *bundles_[bundle.behind].done, 0),
          "ordering the streams");
  }
  bool uploaded = false;
  uint64_t place = resident_bytes_ + bundle.begin;
  for (const uint32_t id : operations_[at].parameter) {
    if (id == WM_NO_PARAMETER || parameters_[id].there) continue;
    Parameter& parameter = parameters_[id];
    if (!parameter.resident) {
      parameter.offset = place;
      place += bytes_of(parameter);
    }
    if (!upload(parameter, cancelled)) return false;
    parameter.there = parameter.resident;
    uploaded = true;
  }
  if (!uploaded) return true;
  check(cudaEventRecord(arrived_, context_.streams().upload), "recording an event");
  check(cudaStreamWaitEvent(context_.streams().compute, arrived_, 0), "ordering the streams");
  return true;
}

bool NetworkWeights::upload(const Parameter& parameter, WmCancelFlag cancelled) {
  const WmParameter& given = parameter.given;
  const auto bytes = [&](int32_t dtype) { return given.count * item_size(static_cast<DType>(dtype)); };
  std::byte* const to = memory_->get() + parameter.offset;
  return staging_.copy(to, given.zeroshot, bytes(given.zeroshot_dtype), cancelled) &&
         (!given.finetuned ||
          staging_.copy(to + parameter.bytes[0], given.finetuned, bytes(given.finetuned_dtype), cancelled));
}

void NetworkWeights::done(uint32_t at) {
  if (bundles_[at].begin == bundles_[at].end) return;
  check(cudaEventRecord(*bundles_[at].done, context_.streams().compute), "recording an event");
}

Ends NetworkWeights::at(uint32_t id, double alpha) const {
  if (id == WM_NO_PARAMETER) return {};
  const Parameter& parameter = parameters_[id];
  const std::byte* const x = memory_->get() + parameter.offset;
  const auto x_dtype = static_cast<DType>(parameter.given.zeroshot_dtype);
  const auto y_dtype = static_cast<DType>(parameter.given.finetuned_dtype);
  // At 0 and 1, and where both models have the same bytes, a parameter is one tensor.
  if (!parameter.given.finetuned || alpha == 0) return {x, nullptr, x_dtype, x_dtype, 0};
  const std::byte* const y = x + parameter.bytes[0];
  if (alpha == 1) return {y, nullptr, y_dtype, y_dtype, 0};
  return {x, y, x_dtype, y_dtype, static_cast<float>(alpha)};
}

}  // namespace wisemerge::cuda
