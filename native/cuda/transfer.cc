#include "cuda/transfer.h"

#include <algorithm>
#include <vector>

#include "cuda/calls.h"
#include "cuda/failure.h"
#include "cuda/slot.h"

namespace wisemerge::cuda {

WmCode transfer(WmContext& context, const WmTransfer* transfers, uint32_t count, std::byte* memory, bool up,
                WmCancelFlag cancelled) {
  struct Piece {
    void* to;
    const void* from;
    uint64_t bytes;
  };
  std::vector<Piece> pieces;  // between the slot and the memory
  Slot* slot = nullptr;
  const auto submit = [&] {
    slot->submit([&](cudaStream_t stream) {
      for (const auto& [to, from, bytes] : pieces) {
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copying on the device");
      }
    });
    pieces.clear();
    slot = nullptr;
  };
  for (uint32_t i = 0; i < count; i++) {
    for (uint64_t done = 0; done < transfers[i].bytes;) {
      if (raised(cancelled)) return WM_CANCELLED;
      if (!slot) slot = &context.next_slot();
      const uint64_t room = up ? slot->input_room() : slot->output_room();
      const uint64_t bytes = std::min(transfers[i].bytes - done, room);
      if (bytes == 0) {
        submit();
        continue;
      }
      std::byte* const host = static_cast<std::byte*>(transfers[i].host) + done;
      std::byte* const here = memory + transfers[i].offset + done;
      if (up) {
        pieces.push_back({here, slot->input(host, bytes), bytes});
      } else {
        pieces.push_back({slot->output(host, bytes), here, bytes});
      }
      done += bytes;
    }
  }
  if (slot) submit();
  return WM_OK;
}

}  // namespace wisemerge::cuda
