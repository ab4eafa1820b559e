#include "cuda/context.h"

#include <string>

#include "cuda/launch.h"
#include "cuda/network.h"

using wisemerge::cuda::check;
using wisemerge::cuda::Slot;

WmContext::WmContext(int ordinal, WmPrecision precision, uint64_t memory)
    : ordinal_(ordinal), precision_(precision), memory_(memory) {
  make_current();
  // Before work starts: a device that is newer than all kernels takes a driver that translates them.
  if (const cudaError_t status = wisemerge::cuda::try_kernels()) {
    wisemerge::cuda::fail(status,
                          std::string("loading the kernels, which were built for the architectures ") +
                              wisemerge::cuda::kernel_architectures());
  }
  if (precision == WM_TF32) library_ = std::make_unique<wisemerge::cuda::CublasLt>();
  streams_ = std::make_unique<wisemerge::cuda::Streams>();
}

WmContext::~WmContext() {
  cudaSetDevice(ordinal_);
  abandon();
  cudaGetLastError();
}

void WmContext::make_current() const { check(cudaSetDevice(ordinal_), "selecting the device"); }

Slot& WmContext::next_slot() {
  std::unique_ptr<Slot>& slot = slots_[turn_];
  if (!slot) slot = std::make_unique<Slot>(*streams_, pinned_);
  turn_ = (turn_ + 1) % kSlots;
  slot->wait();
  return *slot;
}

void WmContext::finish() {
  for (size_t i = 0; i < kSlots; i++) {
    if (slots_[(turn_ + i) % kSlots]) slots_[(turn_ + i) % kSlots]->wait();
  }
}

void WmContext::wait_for_copies() noexcept {
  cudaStreamSynchronize(streams_->upload);
  cudaStreamSynchronize(streams_->download);
  cudaGetLastError();
}

void WmContext::abandon() noexcept {
  cudaStreamSynchronize(streams_->compute);
  wait_for_copies();
  for (const auto& slot : slots_) {
    if (slot) slot->discard();
  }
}
