// Uploads straight into device memory: host memory that is pinned is copied from directly, any other through
// a few pinned pieces. A Slot (slot.h) is for what is computed at once; this is for what stays.
#pragma once

#include <array>
#include <memory>

#include "cuda/pinned_ranges.h"
#include "cuda/resources.h"
#include "wisemerge/backend.h"

namespace wisemerge::cuda {

class Staging {
 public:
  Staging(cudaStream_t upload, const PinnedRanges& pinned) : stream_(upload), pinned_(pinned) {}

  // Queues the copy; waits where all pieces are on their way. Pinned memory is read until the copy is done.
  // False if cancelled, with a part of it queued.
  bool copy(std::byte* to, const void* from, size_t bytes, WmCancelFlag cancelled);

 private:
  static constexpr size_t kPieceBytes = 16u << 20;
  // As Slot::kDirectBytes.
  static constexpr size_t kDirectBytes = 64u << 10;

  struct Piece {
    PinnedMemory memory{kPieceBytes};
    Event copied;
    size_t used = 0;
  };

  Piece& with_room();

  const cudaStream_t stream_;
  const PinnedRanges& pinned_;
  std::array<std::unique_ptr<Piece>, 4> pieces_;  // made when first needed
  size_t turn_ = 0;
};

}  // namespace wisemerge::cuda
