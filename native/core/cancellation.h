// For work that looks at its job's flag itself, as backends do at theirs.
#pragma once

#include "core/status.h"
#include "wisemerge/backend.h"

namespace wisemerge {

// Throws ERR_ABORTED if the flag, which may be null, is raised.
inline void throw_if_raised(WmCancelFlag cancelled, const char* what) {
  if (cancelled && __atomic_load_n(cancelled, __ATOMIC_RELAXED) != 0) {
    throw Error("ERR_ABORTED", std::string(what) + " was aborted");
  }
}

}  // namespace wisemerge
