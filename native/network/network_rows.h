// The numbers by which JavaScript describes networks and programs. -1 stands for what is not there; offsets
// are bytes.
//
//   parameters  threads way  then for each parameter  count  dtype0 offset0  dtype1 offset1
//   program     values ops  then for each value  count source offset  and for each operation  kind out
//               value[4] parameter[2] size[13] real
//
// The offsets of parameters point into the buffer of weights, those of values into the buffer of inputs and
// outputs; a value of another source than `computed` must have one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "network/network.h"
#include "network/ops.h"

namespace wisemerge::network {

struct NetworkRow {
  int threads;
  ProductWay way;
  std::vector<Parameter> parameters;
};

// Both throw Error: ERR_INTERNAL_ARGUMENT, ERR_INTERNAL_RANGE.
NetworkRow parse_network(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes);
// `candidates`: how many arrays lie behind the offset of a value that has one per candidate.
Program parse_program(const double* numbers, size_t length, uint64_t candidates, uint8_t* arena,
                      uint64_t bytes);

}  // namespace wisemerge::network
