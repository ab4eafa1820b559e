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

// Ranks of single elements of a row of f32 keys: from a histogram how many are below an element's bucket and
// in it, and where that does not decide, by counting in the row.
class RowRanks {
 public:
  RowRanks(const uint32_t* keys, size_t n) : keys_(keys), n_(n) {
    Vi most = {};
    for (size_t e = 0; e + kLanes <= n; e += kLanes) {
      const Vi key = fetch<Vi>(keys + e);
      most = key > most ? key : most;
    }
    int32_t max = 0;
    for (size_t lane = 0; lane < kLanes; lane++) max = most[lane] > max ? most[lane] : max;
    for (size_t e = n / kLanes * kLanes; e < n; e++) {
      max = static_cast<int32_t>(keys[e]) > max ? static_cast<int32_t>(keys[e]) : max;
    }
    constexpr int32_t kReach = (kBuckets - 1) << kShift;
    floor_ = max > kReach ? max - kReach : 0;
    count();
  }

  // Ranks of the first and of the last element in the buckets of elements index, index + 1, ..
  void spans(size_t index, Vf& first, Vf& last) const {
    alignas(64) uint32_t buckets[kLanes];
    alignas(64) int32_t ends[2][kLanes];
    put_vector(buckets, buckets_of(index));
    for (size_t lane = 0; lane < kLanes; lane++) {
      ends[0][lane] = static_cast<int32_t>(below_[buckets[lane]]);
      ends[1][lane] = static_cast<int32_t>(below_[buckets[lane] + 1]) - 1;
    }
    first = __builtin_convertvector(fetch<Vi>(ends[0]), Vf);
    last = __builtin_convertvector(fetch<Vi>(ends[1]), Vf);
  }

  // Of indices that ascend from call to call. False: too many different keys were asked for.
  bool rank(size_t index, uint64_t& rank) {
    const uint32_t key = keys_[index];
    size_t k = 0;
    while (k < known_ && seen_[k].key != key) k++;
    if (k == kKnown) return false;
    if (k == known_) {
      seen_[known_++] = {key, 0, 0};
      seen_[k].rank = matches(
          0, n_, [=](Vi at) { return at < static_cast<int32_t>(key); },
          [=](uint32_t at) { return at < key; });
    }
    Seen& seen = seen_[k];
    // Equal ones before it.
    seen.rank += matches(
        seen.at, index, [=](Vi at) { return at == static_cast<int32_t>(key); },
        [=](uint32_t at) { return at == key; });
    seen.at = index;
    rank = seen.rank;
    return true;
  }

 private:
  // 64 buckets for each of the eight octaves below the largest magnitude; the first has all that is smaller.
  static constexpr uint32_t kBuckets = 512, kShift = 17, kTables = 4;
  static constexpr size_t kKnown = 64;
  struct Seen {
    uint32_t key;
    uint64_t rank;
    size_t at;
  };

  uint32_t bucket_of(uint32_t key) const {
    const int32_t above = static_cast<int32_t>(key) - floor_;
    return above > 0 ? static_cast<uint32_t>(above) >> kShift : 0;
  }
  // What is behind the row has some bucket too.
  Vu buckets_of(size_t index) const {
    const Vi above = reinterpret_cast<Vi>(fetch<Vu>(keys_ + index) - static_cast<uint32_t>(floor_));
    const Vu bucket = reinterpret_cast<Vu>(above > 0 ? above : Vi{}) >> kShift;
    return bucket < kBuckets ? bucket : Vu{};
  }
  void count() {
    // Neighbours in tables of their own (merge_count.inl), whose stride is no power of two.
    constexpr size_t kStride = kBuckets + 16;
    uint32_t tables[kTables * kStride] = {};
    alignas(64) uint32_t buckets[kLanes];
    size_t e = 0;
    for (; e + kLanes <= n_; e += kLanes) {
      put_vector(buckets, buckets_of(e));
      for (size_t lane = 0; lane < kLanes; lane++) tables[lane % kTables * kStride + buckets[lane]]++;
    }
    for (; e < n_; e++) tables[bucket_of(keys_[e])]++;
    for (size_t b = 0; b < kBuckets; b += kLanes) {
      Vu all = {};
      for (size_t t = 0; t < kTables; t++) all = all + fetch<Vu>(tables + t * kStride + b);
      put_vector(tables + b, all);
    }
    uint32_t sum = 0;
    for (size_t b = 0; b < kBuckets; b++) {
      below_[b] = sum;
      sum += tables[b];
    }
    below_[kBuckets] = sum;
  }
  // Elements [from, to) of which a condition holds, given for vectors and for one.
  template <class Vectors, class One>
  size_t matches(size_t from, size_t to, const Vectors& vectors, const One& one) const {
    size_t sum = 0;
    for (; from + kLanes <= to; from += kLanes) {
      sum += static_cast<size_t>(__builtin_popcount(lane_mask(vectors(fetch<Vi>(keys_ + from)))));
    }
    for (; from < to; from++) sum += one(keys_[from]);
    return sum;
  }

  const uint32_t* const keys_;
  const size_t n_;
  int32_t floor_;
  uint32_t below_[kBuckets + 1];
  Seen seen_[kKnown];
  size_t known_ = 0;
};

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
};

inline void rank_row(const WmMergeRankMask& call, size_t row, float* scratch) {
  const size_t length = call.inputs.row, begin = row * length;
  NarrowRank* const ranks = reinterpret_cast<NarrowRank*>(scratch + merge_scratch(call.inputs.models));
  uint32_t* const keys = reinterpret_cast<uint32_t*>(ranks + length);
  row_keys<float>(call, begin, scratch, keys);
  const uint32_t* const bits = philox_fill(reinterpret_cast<uint32_t*>(ranks + 2 * length),
                                           call.inputs.first + begin, length, call.stream, call.key);
  const RowMask mask = {call.mask, begin};
  const auto sorted = [&] {
    for (size_t k = 0; k < length; k++) ranks[k] = NarrowRank::make(keys[k], static_cast<uint32_t>(k));
    mask_sorted(call, ranks, bits, mask);
  };
  // Few, or all alike: nothing to gain. Ranks beyond 2^24 are no whole numbers in f32.
  if (length < 64 || length > 1u << 24 || call.epsilon == 0) return sorted();
  RowRanks row_ranks(keys, length);
  const NeededRank needed(call);
  for (size_t e = 0; e < length; e += kLanes) {
    uint32_t kept, dropped;
    Vf first, last;
    row_ranks.spans(e, first, last);
    needed.decide(fetch<Vu>(bits + e), first, last, kept, dropped);
    const uint32_t lanes =
        length - e < kLanes ? (1u << (length - e)) - 1 : static_cast<uint32_t>((uint64_t{1} << kLanes) - 1);
    kept &= lanes;
    for (uint32_t open = lanes & ~(kept | dropped); open; open &= open - 1) {
      const size_t lane = static_cast<size_t>(__builtin_ctz(open));
      uint64_t rank;
      // What is set already is set again.
      if (!row_ranks.rank(e + lane, rank)) return sorted();
      const double probability = merge_rank_probability(call.density, call.epsilon, rank, length);
      kept |= static_cast<uint32_t>(bits[e + lane] < philox_threshold(probability)) << lane;
    }
    mask.set(e, kept);
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
