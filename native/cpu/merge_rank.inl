// WmMergeRankMask: masks by the ranks of a row's elements.

// An element of a row and its key, in the order of which a radix sort puts them: least significant digit
// first, each pass stable, so that equal keys stay in ascending order of the index.
inline constexpr uint32_t kDigitBits = 11;
struct NarrowRank {
  uint64_t key_index;
  static NarrowRank make(uint32_t key, uint32_t index) { return {static_cast<uint64_t>(key) << 32 | index}; }
  static constexpr uint32_t kDigits = 3;
  uint32_t digit(uint32_t d) const { return key_index >> (32 + d * kDigitBits) & ((1u << kDigitBits) - 1); }
  uint32_t index() const { return static_cast<uint32_t>(key_index); }
};
struct WideRank {
  uint64_t key, place;
  static WideRank make(uint64_t key, uint32_t index) { return {key, index}; }
  static constexpr uint32_t kDigits = 6;
  uint32_t digit(uint32_t d) const { return key >> (d * kDigitBits) & ((1u << kDigitBits) - 1); }
  uint32_t index() const { return static_cast<uint32_t>(place); }
};

// Sorts `from`, with room for as many in `to`; returns which of the two has the result.
template <class Rank>
Rank* sort_ranks(Rank* from, Rank* to, size_t n) {
  uint32_t counts[Rank::kDigits][1u << kDigitBits] = {};
  for (size_t e = 0; e < n; e++) {
    for (uint32_t d = 0; d < Rank::kDigits; d++) counts[d][from[e].digit(d)]++;
  }
  for (uint32_t d = 0; d < Rank::kDigits; d++) {
    if (counts[d][from[0].digit(d)] == n) continue;
    uint32_t next = 0;
    for (uint32_t& count : counts[d]) {
      const uint32_t here = count;
      count = next;
      next += here;
    }
    for (size_t e = 0; e < n; e++) to[counts[d][from[e].digit(d)]++] = from[e];
    Rank* const swapped = from;
    from = to;
    to = swapped;
  }
  return from;
}

// Sets bits of the row's elements, which begin at bit `begin` of the mask.
struct RowMask {
  uint8_t* mask;
  size_t begin;

  // Those of up to 16 elements from e on.
  void set(size_t e, uint32_t bits) const {
    const size_t bit = begin + e;
    uint8_t* byte = mask + bit / 8;
    for (uint32_t shifted = bits << (bit % 8); shifted; shifted >>= 8, byte++) {
      *byte = static_cast<uint8_t>(*byte | shifted);
    }
  }
  // Those of a whole vector of elements from e on.
  void set_vector(size_t e, uint32_t bits) const {
    if (kLanes % 8 != 0 || begin % 8 != 0) return set(e, bits);
    uint8_t* const bytes = mask + (begin + e) / 8;
    for (size_t b = 0; b < kLanes / 8; b++) bytes[b] = static_cast<uint8_t>(bytes[b] | bits >> (8 * b));
  }
  // Those of a vector of elements, without a branch on what is random.
  void add(const uint32_t* elements, uint32_t bits) const {
    for (size_t lane = 0; lane < kLanes; lane++) {
      const size_t bit = begin + elements[lane];
      mask[bit / 8] = static_cast<uint8_t>(mask[bit / 8] | (bits >> lane & 1) << (bit % 8));
    }
  }
};

template <class Scalar>
void row_keys(const WmMergeRankMask& call, size_t begin, float* scratch, typename Arith<Scalar>::Bits* keys) {
  const size_t end = begin + call.inputs.row;
  Tile<Scalar> tile(call.inputs, scratch);
  for (size_t at = begin; at < end; at += tile.n) {
    tile.move(at, end);
    Scalar* const d = tile.d(0);
    tile.delta(call.model, tile.base(), d);
    auto* const own = reinterpret_cast<typename Arith<Scalar>::Bits*>(tile.extra(0));
    keys_of(d, tile.n, own);
    __builtin_memcpy(keys + (at - begin), own, tile.n * sizeof(*own));
  }
}

// The ranks of all elements by sorting, and what follows from them.
template <class Rank>
void mask_sorted(const WmMergeRankMask& call, Rank* ranks, const uint32_t* bits, const RowMask& mask) {
  const size_t length = call.inputs.row;
  const Rank* const sorted = sort_ranks(ranks, ranks + length, length);
  for (size_t rank = 0; rank < length; rank++) {
    const uint32_t index = sorted[rank].index();
    const double probability = merge_rank_probability(call.density, call.epsilon, rank, length);
    mask.set(index, bits[index] < philox_threshold(probability));
  }
}

// Which rank an element of a row needs to be kept: its probability grows in proportion to the rank. In f32,
// with a margin for all roundings; who is within it is decided by the exact rank.
struct NeededRank {
  float scale, offset, margin;
  bool rising;

  // epsilon is not 0.
  explicit NeededRank(const WmMergeRankMask& call) : rising(call.epsilon > 0) {
    const double ranks = static_cast<double>(call.inputs.row - 1) / (2 * call.epsilon);
    scale = static_cast<float>(ranks * 0x1p-24);
    offset = static_cast<float>(ranks * (call.epsilon - call.density));
    margin = static_cast<float>(2 + 0x1p-20 * (ranks < 0 ? -ranks : ranks));
  }
  // Bit i is set where lane i is kept, or not kept, by the ends of its span.
  WM_FORCE_INLINE void decide(Vu bits, Vf first, Vf last, uint32_t& kept, uint32_t& dropped) const {
    const Vf needed = __builtin_convertvector(reinterpret_cast<Vi>(bits >> 8), Vf) * scale + offset;
    const uint32_t above = lane_mask(reinterpret_cast<Vi>(first > needed + margin));
    const uint32_t below = lane_mask(reinterpret_cast<Vi>(last < needed - margin));
    kept = rising ? above : below;
    dropped = rising ? below : above;
  }
  // The same by the exact rank.
  bool keeps(const WmMergeRankMask& call, uint32_t bits, uint64_t rank) const {
    const float needed = static_cast<float>(bits >> 8) * scale + offset, own = static_cast<float>(rank);
    if (own > needed + margin) return rising;
    if (own < needed - margin) return !rising;
    return bits < philox_threshold(merge_rank_probability(call.density, call.epsilon, rank, call.inputs.row));
  }
};

// Most elements are kept, or not, whatever their rank, since probabilities lie between those of the first and
// the last. The others are listed in `open`, in ascending order, and behind them whole vectors of the first
// element; their number is returned.
inline size_t keep_certain(const WmMergeRankMask& call, const uint32_t* bits, const RowMask& mask,
                           uint32_t* open) {
  const size_t length = call.inputs.row;
  const auto threshold = [&](size_t rank) {
    return philox_threshold(merge_rank_probability(call.density, call.epsilon, rank, length));
  };
  const uint64_t ends[2] = {threshold(0), threshold(length - 1)};
  const uint64_t low = ends[call.epsilon < 0], high = ends[call.epsilon > 0];
  const auto below = [](Vu drawn, uint64_t limit) {
    if (limit >> 32) return first_lanes(kLanes);
    return lane_mask(reinterpret_cast<Vi>(drawn < splat(static_cast<uint32_t>(limit))));
  };
  Vu at;
  for (size_t lane = 0; lane < kLanes; lane++) at[lane] = static_cast<uint32_t>(lane);
  size_t count = 0, e = 0;
  for (; e + kLanes <= length; e += kLanes) {
    const Vu drawn = fetch<Vu>(bits + e);
    const uint32_t kept = below(drawn, low);
    mask.set_vector(e, kept);
    count += store_lanes(open + count, at, below(drawn, high) & ~kept);
    at = at + static_cast<uint32_t>(kLanes);
  }
  const Vu drawn = fetch<Vu>(bits + e);
  const uint32_t lanes = first_lanes(length - e), kept = lanes & below(drawn, low);
  mask.set(e, kept);
  count += store_lanes(open + count, at, lanes & below(drawn, high) & ~kept);
  put_vector(open + count, Vu{});
  return count;
}

// Elements of a row that need their exact rank, with their keys, in ascending order; room for whole vectors
// behind them.
struct Undecided {
  uint32_t* elements;
  uint32_t* keys;
  size_t count = 0;

  // The lanes whose bits are set. May overwrite what was read before.
  WM_FORCE_INLINE void add(Vu more, Vu their_keys, uint32_t lanes) {
    store_lanes(keys + count, their_keys, lanes);
    count += store_lanes(elements + count, more, lanes);
  }
};

// Decides about the elements that have the first one's key and takes them off the list. `equal`: room for a
// bit per element of the row.
inline void keep_by_rank(const WmMergeRankMask& call, const NeededRank& needed, const RowRanks& ranks,
                         const uint32_t* bits, const RowMask& mask, uint64_t* equal, Undecided& list) {
  const uint32_t key = list.keys[0];
  const size_t below = ranks.split(key, equal);
  Undecided others{list.elements, list.keys};
  size_t before = 0, word = 0;
  for (size_t k = 0; k < list.count; k += kLanes) {
    alignas(64) uint32_t elements[kLanes];
    const Vu at = fetch<Vu>(list.elements + k), keys = fetch<Vu>(list.keys + k);
    put_vector(elements, at);
    const uint32_t lanes = first_lanes(list.count - k), same = lanes & equal_lanes(keys, splat(key));
    others.add(at, keys, lanes & ~same);
    for (uint32_t left = same; left; left &= left - 1) {
      const uint32_t element = elements[__builtin_ctz(left)];
      for (; word < element / 64; word++) before += static_cast<size_t>(__builtin_popcountll(equal[word]));
      const uint64_t earlier = equal[word] & ((uint64_t{1} << element % 64) - 1);
      const size_t rank = below + before + static_cast<size_t>(__builtin_popcountll(earlier));
      mask.set(element, needed.keeps(call, bits[element], rank));
    }
  }
  list.count = others.count;
}

inline void rank_row(const WmMergeRankMask& call, size_t row, float* scratch) {
  const size_t length = call.inputs.row, begin = row * length;
  NarrowRank* const ranks = reinterpret_cast<NarrowRank*>(scratch + merge_scratch(call.inputs.models));
  uint32_t* const keys = reinterpret_cast<uint32_t*>(ranks + length);
  row_keys<float>(call, begin, scratch, keys);
  // Behind what sorting needs, and whole vectors behind the list of what is open.
  const uint32_t* const bits = philox_fill(reinterpret_cast<uint32_t*>(ranks + 2 * length) + 2 * kLanes,
                                           call.inputs.first + begin, length, call.stream, call.key);
  const RowMask mask = {call.mask, begin};
  const auto sorted = [&] {
    for (size_t k = 0; k < length; k++) ranks[k] = NarrowRank::make(keys[k], static_cast<uint32_t>(k));
    mask_sorted(call, ranks, bits, mask);
  };
  // Few, or all alike: nothing to gain. Ranks beyond 2^24 are no whole numbers in f32.
  if (length < 64 || length > 1u << 24 || call.epsilon == 0) return sorted();
  uint32_t* const open = keys + length;
  const size_t count = keep_certain(call, bits, mask, open);
  const RowRanks row_ranks(keys, length);
  const NeededRank needed(call);
  // Where sorting would begin: as many words of 64 bits as the row has, and twice as many of 32.
  uint64_t* const equal = reinterpret_cast<uint64_t*>(ranks);
  Undecided undecided{open, reinterpret_cast<uint32_t*>(equal + (length + 63) / 64)};
  for (size_t k = 0; k < count; k += kLanes) {
    alignas(64) uint32_t elements[kLanes];
    const Vu at = fetch<Vu>(open + k);
    put_vector(elements, at);
    uint32_t kept, dropped;
    Vf first, last;
    const Vu own = row_ranks.spans(at, first, last);
    needed.decide(gather(bits, at), first, last, kept, dropped);
    const uint32_t lanes = first_lanes(count - k);
    mask.add(elements, kept & lanes);
    undecided.add(at, own, lanes & ~(kept | dropped));
  }
  // A pass over the row for each key: with more than that, sorting is faster. What is set already is set
  // again.
  constexpr size_t kMostKeys = 64;
  for (size_t k = 0; undecided.count > 0; k++) {
    if (k == kMostKeys) return sorted();
    keep_by_rank(call, needed, row_ranks, bits, mask, equal, undecided);
  }
}

inline void rank_wide_row(const WmMergeRankMask& call, size_t row, float* scratch) {
  const size_t length = call.inputs.row, begin = row * length;
  WideRank* const ranks = reinterpret_cast<WideRank*>(scratch + merge_scratch(call.inputs.models));
  uint64_t* const keys = reinterpret_cast<uint64_t*>(ranks + length);
  row_keys<double>(call, begin, scratch, keys);
  for (size_t k = 0; k < length; k++) ranks[k] = WideRank::make(keys[k], static_cast<uint32_t>(k));
  const uint32_t* const bits = philox_fill(reinterpret_cast<uint32_t*>(ranks + 2 * length),
                                           call.inputs.first + begin, length, call.stream, call.key);
  mask_sorted(call, ranks, bits, RowMask{call.mask, begin});
}

// Sets bits of a mask of zeros.
inline void merge_rank_mask(const WmMergeRankMask& call, size_t row, float* scratch) {
  if (wide_inputs(call.inputs)) {
    rank_wide_row(call, row, scratch);
  } else {
    rank_row(call, row, scratch);
  }
}
