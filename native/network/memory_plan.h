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

  // Where operations run: in the caller's memory, so that its values stay where they are, or in another,
  // where given values have places from the start and wanted ones to the end.
  enum class Memory { kCallers, kOwn };

  // `candidates` candidates share what does not depend on parameters. Values that `kept` says, by number,
  // stay in their places to the end.
  MemoryPlan(const Program& program, uint64_t candidates, Memory memory = Memory::kCallers,
             const std::vector<bool>& kept = {});

  struct Place {
    // In floats; candidates follow each other in whole cache lines. kElsewhere: Value::memory, or nowhere if
    // no operation reads it.
    uint64_t offset = kElsewhere;
    bool shared = false;  // one array for all candidates, instead of one each
  };
  std::vector<Place> places;
  uint64_t floats = 0;  // of all
};

}  // namespace wisemerge::network
