// Philox4x32-10, a counter-based generator (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011): the numbers of an element follow from a key and the element's place alone, so that a
// mask is the same on every device, for every number of threads and every cut of a tensor.
#pragma once

#include <cstdint>

#include "wisemerge/macros.h"

namespace wisemerge {

struct PhiloxBlock {
  uint32_t word[4];
};

WM_HD PhiloxBlock philox(PhiloxBlock counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t a = 0xd2511f53ull * counter.word[0], b = 0xcd9e8d57ull * counter.word[2];
    counter = {{static_cast<uint32_t>(b >> 32) ^ counter.word[1] ^ k0, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ counter.word[3] ^ k1, static_cast<uint32_t>(a)}};
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return counter;
}

// The 32 bits of element `index` in stream `stream`: word index % 4 of the block of index / 4.
WM_HD uint32_t philox_bits(uint64_t index, uint32_t stream, uint64_t key) {
  const uint64_t block = index / 4;
  const PhiloxBlock counter = {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream, 0}};
  return philox(counter, key).word[index % 4];
}

// An event of probability p happens where bits < threshold: exact to 2^-32, always at p >= 1, never at p <=
// 0.
WM_HD uint64_t philox_threshold(double p) {
  if (!(p > 0)) return 0;
  return p >= 1 ? 1ull << 32 : static_cast<uint64_t>(p * 4294967296.0);
}

}  // namespace wisemerge
