// Where the values of a program lie while it runs.
#pragma once

#include <cstdint>
#include <vector>

#include "network/ops.h"

namespace wisemerge::network {

// A value's memory is free again behind the last operation that reads it, and operations that go element by
// element write over what they read last. So the peak is that of the live values, not the sum of all.
struct MemoryPlan {
  static constexpr uint64_t kElsewhere = UINT64_MAX;

  // `candidates` candidates share what does not depend on parameters.
  MemoryPlan(const Program& program, uint64_t candidates);

  struct Place {
    uint64_t offset = kElsewhere;  // in floats; kElsewhere: Value::memory
    bool shared = false;           // one array for all candidates, instead of one each
  };
  std::vector<Place> places;
  uint64_t floats = 0;  // of all
};

}  // namespace wisemerge::network
