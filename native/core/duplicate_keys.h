// Hashes keys from an untrusted file, and finds one that appears twice in a list of them.
//
// The hash is SipHash-1-3 under a random key of this process: nobody can prepare a file whose names collide
// and make the search quadratic, as is easy with an unkeyed hash.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace wisemerge {

struct SipKey {
  uint64_t k0, k1;
};

// SipHash (Aumasson and Bernstein, 2012) with `BlockRounds` rounds per 8 bytes and `FinalRounds` at the end.
template <int BlockRounds, int FinalRounds>
uint64_t siphash(std::string_view text, SipKey key) {
  uint64_t v0 = key.k0 ^ 0x736f6d6570736575u, v1 = key.k1 ^ 0x646f72616e646f6du;
  uint64_t v2 = key.k0 ^ 0x6c7967656e657261u, v3 = key.k1 ^ 0x7465646279746573u;
  const auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
  };
  const auto block = [&](uint64_t word) {
    v3 ^= word;
    for (int i = 0; i < BlockRounds; i++) round();
    v0 ^= word;
  };
  const size_t whole = text.size() / 8 * 8;
  for (size_t i = 0; i < whole; i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    block(word);
  }
  uint64_t last = static_cast<uint64_t>(text.size()) << 56;
  for (size_t i = whole; i < text.size(); i++) {
    last |= static_cast<uint64_t>(static_cast<uint8_t>(text[i])) << (8 * (i - whole));
  }
  block(last);
  v2 ^= 0xff;
  for (int i = 0; i < FinalRounds; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

// Keys in one string: key i ends at ends[i] and begins where key i - 1 ends.
struct KeyList {
  std::string bytes;
  std::vector<uint32_t> ends;

  void push(std::string_view key) {
    bytes += key;
    ends.push_back(static_cast<uint32_t>(bytes.size()));
  }
};

inline std::string_view key_at(std::string_view bytes, const std::vector<uint32_t>& ends, size_t i) {
  const uint32_t begin = i ? ends[i - 1] : 0;
  return bytes.substr(begin, ends[i] - begin);
}

// The hash, also for the standard containers.
struct KeyHash {
  size_t operator()(std::string_view text) const {
    static const SipKey key = [] {
      std::random_device random;
      const auto word = [&random] { return static_cast<uint64_t>(random()) << 32 | random(); };
      const uint64_t k0 = word();
      return SipKey{k0, word()};
    }();
    return siphash<1, 3>(text, key);
  }
};

// Index of the first key that equals an earlier one. Fewer than 2^32 - 1 keys.
inline std::optional<size_t> find_duplicate(std::string_view bytes, const std::vector<uint32_t>& ends) {
  const size_t count = ends.size();
  if (count < 2) return std::nullopt;

  struct Slot {
    uint32_t tag = 0;  // upper half of the hash: spares most visits to the key itself
    uint32_t index = std::numeric_limits<uint32_t>::max();
  };
  const size_t capacity = std::bit_ceil(count * 2);
  std::vector<Slot> slots(capacity);

  // The table is larger than a cache, so hashes are computed a few keys ahead and their slots prefetched.
  constexpr size_t kAhead = 16;
  uint64_t hashes[kAhead];
  for (size_t i = 0; i < count + kAhead; i++) {
    if (i >= kAhead) {
      const size_t current = i - kAhead;
      const uint64_t hash = hashes[current % kAhead];
      const uint32_t tag = static_cast<uint32_t>(hash >> 32);
      size_t at = hash & (capacity - 1);
      for (; slots[at].index != Slot().index; at = (at + 1) & (capacity - 1)) {
        if (slots[at].tag != tag) continue;
        if (key_at(bytes, ends, slots[at].index) == key_at(bytes, ends, current)) return current;
      }
      slots[at] = {tag, static_cast<uint32_t>(current)};
    }
    if (i < count) {
      hashes[i % kAhead] = KeyHash()(key_at(bytes, ends, i));
      __builtin_prefetch(&slots[hashes[i % kAhead] & (capacity - 1)]);
    }
  }
  return std::nullopt;
}

}  // namespace wisemerge
