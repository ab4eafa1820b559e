// Stopping on request.
#pragma once

#include "core/status.h"
#include "wisemerge/backend.h"

namespace wisemerge {

inline bool is_cancelled(WmCancelFlag cancelled) {
  return cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0;
}

inline void throw_if_cancelled(WmCancelFlag cancelled) {
  if (is_cancelled(cancelled)) throw Error("ERR_ABORTED", "the decomposition was aborted");
}

}  // namespace wisemerge
