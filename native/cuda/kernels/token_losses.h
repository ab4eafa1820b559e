// Losses of rows of logits, as network/token_loss.h has them: half a warp per row.
#pragma once

#include "cuda/kernels/row_norms.h"
#include "wisemerge/loss_row.h"
#include "wisemerge/network_functions.h"

namespace wisemerge::cuda {

// Logits [rows, classes] of the classes from `first` on, out of all that come in slices of a multiple of
// kLossBlock. The first slice begins the rows, the last one (`out` not null) gives their losses.
struct TokenLosses {
  uint64_t rows, first, classes;
  const float* logits;
  const int32_t* labels;
  network::LossRow* state;  // [rows]
  float* out;               // [rows]
};

// All threads of a group have the same row, and all groups of a warp as many classes.
WM_HD void token_losses_row(const TokenLosses& call, uint64_t i, const RowLanes& lanes, bool write) {
  const float* const z = call.logits + i * call.classes;
  network::LossRow row = call.first == 0 ? network::LossRow::empty() : call.state[i];
  for (uint64_t at = 0; at < call.classes; at += network::kLossBlock) {
    const uint64_t left = call.classes - at, count = left < network::kLossBlock ? left : network::kLossBlock;
    const float* const block = z + at;
    const float top = lanes.reduce(
        [&](uint32_t lane) {
          float most = row.top;
          for (uint64_t c = lane; c < count; c += kRowLanes) most = block[c] > most ? block[c] : most;
          return most;
        },
        [](float a, float b) { return b > a ? b : a; });
    row.add(top, row_sum(lanes, count, [&](uint64_t c) { return network::exp_nonpositive(block[c] - top); }));
  }
  const int32_t label = call.labels[i];
  const uint64_t place = static_cast<uint64_t>(label) - call.first;
  if (label >= 0 && place < call.classes) row.label = z[place];
  if (!write || lanes.own != 0) return;
  call.state[i] = row;
  if (call.out) call.out[i] = label < 0 ? 0 : row.loss();
}

WM_HD void token_losses_body(const GridPosition& at, const TokenLosses& call) {
  each_row(at, call.rows, [&](uint64_t row, const RowLanes& lanes, bool write) {
    token_losses_row(call, row, lanes, write);
  });
}

}  // namespace wisemerge::cuda
