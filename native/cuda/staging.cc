#include "cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "cuda/calls.h"

namespace wisemerge::cuda {

bool Staging::copy(std::byte* to, const void* from, size_t bytes, WmCancelFlag cancelled) {
  if (bytes >= kDirectBytes && pinned_.contains(from, bytes)) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copying to the device");
    return true;
  }
  for (size_t done = 0; done < bytes;) {
    if (raised(cancelled)) return false;
    Piece& piece = with_room();
    const size_t count = std::min(bytes - done, kPieceBytes - piece.used);
    std::byte* const staged = piece.memory.get() + piece.used;
    std::memcpy(staged, static_cast<const std::byte*>(from) + done, count);
    check(cudaMemcpyAsync(to + done, staged, count, cudaMemcpyHostToDevice, stream_),
          "copying to the device");
    piece.used += count;
    done += count;
  }
  return true;
}

Staging::Piece& Staging::with_room() {
  if (!pieces_[turn_]) pieces_[turn_] = std::make_unique<Piece>();
  if (pieces_[turn_]->used < kPieceBytes) return *pieces_[turn_];
  check(cudaEventRecord(pieces_[turn_]->copied, stream_), "recording an event");
  turn_ = (turn_ + 1) % pieces_.size();
  if (!pieces_[turn_]) {
    pieces_[turn_] = std::make_unique<Piece>();
  } else {
    check(cudaEventSynchronize(pieces_[turn_]->copied), "waiting for the device");
    pieces_[turn_]->used = 0;
  }
  return *pieces_[turn_];
}

}  // namespace wisemerge::cuda
