// Which elements of a tile take part (WmKeep), as masks of all ones and all zeros; and Philox in vectors.

// Blocks of one step, words of one step. Steps go in pairs: one alone waits for its own products.
inline constexpr size_t kPhiloxBlocks = kLanes / 2, kPhiloxWords = 4 * kPhiloxBlocks, kPhiloxSteps = 2;
inline constexpr size_t kPhiloxRounds = 10;
// Room for words behind those that are asked for.
inline constexpr size_t kPhiloxRoom = kPhiloxSteps * kPhiloxWords + 4;

// The words of blocks in the even halves of 64-bit lanes, after all rounds.
struct PhiloxStep {
  Vu w0, w1, w2, w3;

  WM_FORCE_INLINE void begin(Vq block, uint32_t stream) {
    w0 = reinterpret_cast<Vu>(block);
    w1 = reinterpret_cast<Vu>(block >> 32);
    w2 = reinterpret_cast<Vu>(Vq{} + stream);
    w3 = Vu{};
  }
  WM_FORCE_INLINE void round(uint32_t k0, uint32_t k1) {
    const Vu a = multiply_even(splat(0xd2511f53u), w0), b = multiply_even(splat(0xcd9e8d57u), w2);
    w0 = xor3(reinterpret_cast<Vu>(reinterpret_cast<Vq>(b) >> 32), w1, splat(k0));
    w2 = xor3(reinterpret_cast<Vu>(reinterpret_cast<Vq>(a) >> 32), w3, splat(k1));
    w1 = b;
    w3 = a;
  }
  WM_FORCE_INLINE void store(uint32_t* to) const {
    constexpr uint64_t kLow = 0xffffffffu;
    Vu low = reinterpret_cast<Vu>((reinterpret_cast<Vq>(w0) & kLow) | reinterpret_cast<Vq>(w1) << 32);
    Vu high = reinterpret_cast<Vu>((reinterpret_cast<Vq>(w2) & kLow) | reinterpret_cast<Vq>(w3) << 32);
    interleave64(low, high);
    put_vector(to, low);
    put_vector(to + 2 * kPhiloxBlocks, high);
  }
};

// The bits of elements index, index + 1, .. (philox_bits) begin at the pointer that this returns, in `to`,
// which has room for count + kPhiloxRoom. The lanes' counters are those that interleaving puts in order.
inline const uint32_t* philox_fill(uint32_t* to, uint64_t index, size_t count, uint32_t stream,
                                   uint64_t key) {
  Vq place;
  for (size_t lane = 0; lane < kPhiloxBlocks; lane++) place[lane] = lane / 2 + lane % 2 * (kPhiloxBlocks / 2);
  uint32_t keys[kPhiloxRounds][2];
  for (uint32_t round = 0; round < kPhiloxRounds; round++) {
    keys[round][0] = static_cast<uint32_t>(key) + round * 0x9e3779b9u;
    keys[round][1] = static_cast<uint32_t>(key >> 32) + round * 0xbb67ae85u;
  }
  const uint64_t first = index / 4;
  const size_t words = count + index % 4;
  for (size_t at = 0; at < words; at += kPhiloxSteps * kPhiloxWords) {
    PhiloxStep steps[kPhiloxSteps];
    for (size_t s = 0; s < kPhiloxSteps; s++) {
      steps[s].begin(place + (first + at / 4 + s * kPhiloxBlocks), stream);
    }
    for (const auto& k : keys) {
      for (PhiloxStep& step : steps) step.round(k[0], k[1]);
    }
    for (size_t s = 0; s < kPhiloxSteps; s++) steps[s].store(to + at + s * kPhiloxWords);
  }
  return to + index % 4;
}

// merge_keep_ranked; the mask may be where the keys are.
template <class Scalar>
void keep_ranked(const WmKeep& keep, uint64_t index, const typename Arith<Scalar>::Bits* keys,
                 typename Arith<Scalar>::Bits* mask, size_t n) {
  using A = Arith<Scalar>;
  using Signed = typename A::Signed;
  using Int = typename A::Int;
  // A limit above every key, or past the tile, is one that none reaches.
  const auto key_limit = [](uint64_t key) {
    return static_cast<Int>(key < A::kMagnitude - 1 ? key : A::kMagnitude - 1);
  };
  const auto place = [&](uint64_t limit) {
    const uint64_t relative = limit < index ? 0 : limit - index;
    return static_cast<Int>(relative < n ? relative : kMergeTile);
  };
  const Int low = key_limit(keep.low_key), high = key_limit(keep.high_key);
  const Int low_from = place(keep.low_from), low_to = place(keep.low_to), high_to = place(keep.high_to);
  const Int whole = static_cast<Int>(kMergeTile);
  const bool all_low = low_from == 0 && low_to == whole, no_low = low_from >= low_to;
  if ((all_low || no_low) && (high_to == 0 || high_to == whole)) {
    // Ties at either end are on one side: as in nearly every tile.
    const Signed from = Signed{} + (low + no_low), to = Signed{} + (high + (high_to == whole));
    for (size_t e = 0; e < n; e += kWidth<Scalar>) {
      const Signed key = fetch<Signed>(keys + e);
      put_vector(mask + e, (key >= from) & (key < to));
    }
    return;
  }
  Signed at;
  for (size_t lane = 0; lane < kWidth<Scalar>; lane++) at[lane] = static_cast<int>(lane);
  for (size_t e = 0; e < n; e += kWidth<Scalar>) {
    const Signed key = fetch<Signed>(keys + e);
    const Signed over = (key > low) | ((key == low) & (at >= low_from) & (at < low_to));
    const Signed under = (key < high) | ((key == high) & (at < high_to));
    put_vector(mask + e, over & under);
    at = at + static_cast<int>(kWidth<Scalar>);
  }
}

template <class Bits>
void keep_random(const WmKeep& keep, uint64_t index, Bits* mask, size_t n) {
  alignas(64) uint32_t words[kMergeTile + kPhiloxRoom];
  const uint64_t threshold = philox_threshold(keep.probability);
  if (threshold == 0 || threshold >> 32) {
    for (size_t e = 0; e < n; e++) mask[e] = threshold ? ~Bits(0) : Bits(0);
    return;
  }
  const uint32_t limit = static_cast<uint32_t>(threshold);
  const uint32_t* bits = philox_fill(words, index, n, keep.stream, keep.key);
  for (size_t e = 0; e < n; e++) mask[e] = bits[e] < limit ? ~Bits(0) : Bits(0);
}

template <class Bits>
void keep_masked(const uint8_t* bytes, size_t at, Bits* mask, size_t n) {
  size_t e = 0;
  if constexpr (sizeof(Bits) == sizeof(uint32_t)) {
    Vu places;
    for (size_t lane = 0; lane < kLanes; lane++) places[lane] = 1u << lane;
    for (; e + kLanes <= n; e += kLanes) {
      const uint8_t* const from = bytes + (at + e) / 8;
      const size_t begin = (at + e) % 8;
      uint32_t bits = from[0];
      // No byte is read that has none of the bits: the mask may end here.
      for (size_t b = 1; b < kLanes / 8 + 2; b++) {
        if (8 * b < begin + kLanes) bits |= static_cast<uint32_t>(from[b]) << (8 * b);
      }
      put_vector(mask + e, (splat(bits >> begin) & places) != 0);
    }
  }
  for (; e < n; e++) {
    const size_t bit = at + e;
    mask[e] = Bits(0) - static_cast<Bits>(bytes[bit / 8] >> (bit % 8) & 1);
  }
}

inline bool by_variance(const WmKeep& keep) {
  return keep.rule == WM_KEEP_RANKED && keep.score == WM_SCORE_VARIANCE;
}

// The mask of one model's delta `d`, in `mask`; false where all are kept and there is none. `variance` has
// the keys of a keep by variance.
template <class Scalar>
bool keep_mask(const Tile<Scalar>& tile, const WmKeep& keep, const Scalar* d,
               const typename Arith<Scalar>::Bits* variance, typename Arith<Scalar>::Bits* mask) {
  switch (keep.rule) {
    case WM_KEEP_RANKED:
      if (!by_variance(keep)) {
        delta_keys(tile, keep.score, keep.row_scores, d, mask);
        variance = mask;
      }
      keep_ranked<Scalar>(keep, tile.index(), variance, mask, tile.n);
      return true;
    case WM_KEEP_RANDOM:
      keep_random(keep, tile.index(), mask, tile.n);
      return true;
    case WM_KEEP_MASKED:
      keep_masked(keep.mask, tile.at, mask, tile.n);
      return true;
    default:
      return false;
  }
}
