// The parameters of a network in device memory, both ends of the path. All of them stay there if they fit.
// Otherwise as many as do, the smallest first; the others come to a ring, those of one operation after
// another, once for all candidates. The ring holds the two largest operations where there is room, so that
// one is uploaded while the one before runs.
#pragma once

#include <memory>
#include <vector>

#include "cuda/context.h"
#include "cuda/kernels/ends.h"
#include "cuda/staging.h"
#include "wisemerge/backend.h"

namespace wisemerge::cuda {

class NetworkWeights {
 public:
  NetworkWeights(WmContext& context, const WmParameter* parameters, uint32_t count);

  // The least device memory in which a program of these operations runs.
  uint64_t least(const std::vector<WmOperation>& operations) const;
  // Whether there is memory for these operations.
  bool placed(const std::vector<WmOperation>& operations) const;
  // Takes at most `bytes` of device memory, which are not below least(). Nothing that was there is kept.
  void place(const std::vector<WmOperation>& operations, uint64_t bytes);
  // Frees the device memory; the device is idle.
  void release();

  // The program that comes next. What one that was left off still reads is of no interest to anybody.
  void begin(const std::vector<WmOperation>& operations);
  // Brings the parameters of operation `at`; what is launched from here on finds them. False if cancelled.
  bool bring(uint32_t at, WmCancelFlag cancelled);
  // Behind the last launch of operation `at`.
  void done(uint32_t at);

  // Of an operation that bring() was last called for.
  Ends at(uint32_t parameter, double alpha) const;

 private:
  struct Parameter {
    WmParameter given;
    uint64_t bytes[2], offset = 0;  // of either end; in device memory
    bool resident = false, there = false;
  };
  // What an operation has in the ring.
  struct Bundle {
    uint64_t begin = 0, end = 0;
    uint32_t behind;  // the operation whose place it takes, or kNobody
    std::unique_ptr<Event> done;
  };
  static constexpr uint32_t kNobody = UINT32_MAX;

  static uint64_t bytes_of(const Parameter& parameter) { return parameter.bytes[0] + parameter.bytes[1]; }
  // Of the operation's parameters that are not resident; the same parameter twice counts twice.
  uint64_t bundle_bytes(const WmOperation& operation) const;
  uint64_t largest_bundle(const std::vector<WmOperation>& operations) const;
  void choose_residents(const std::vector<WmOperation>& operations, uint64_t bytes);
  bool upload(const Parameter& parameter, WmCancelFlag cancelled);

  WmContext& context_;
  Staging staging_;
  std::vector<Parameter> parameters_;
  std::unique_ptr<DeviceMemory> memory_;  // residents, then the ring
  uint64_t resident_bytes_ = 0, ring_bytes_ = 0;
  std::vector<WmOperation> operations_;
  std::vector<Bundle> bundles_;  // by operation
  Event arrived_;
};

}  // namespace wisemerge::cuda
