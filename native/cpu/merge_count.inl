// WmMergeCount: histograms of keys. Most elements share few buckets: increments of one counter follow each
// other at the latency of a store and a load, so that neighbours go to tables of their own, whose strides are
// no powers of two.

template <size_t Tables, size_t Buckets>
struct Counters {
  static constexpr size_t kStride = Buckets + 16 * 17;
  static_assert(Tables * kStride <= kMergeCounters);

  // Buckets from 64-bit words: reading what vectors wrote two bytes at a time would be slow.
  static void add(uint32_t* tables, const uint16_t* buckets, size_t n) {
    size_t e = 0;
    for (; e + 8 <= n; e += 8) {
      uint64_t words[2];
      __builtin_memcpy(words, buckets + e, sizeof(words));
      for (size_t j = 0; j < 4; j++) {
        tables[j % Tables * kStride + (words[0] >> (16 * j) & 0xffff)]++;
        tables[(4 + j) % Tables * kStride + (words[1] >> (16 * j) & 0xffff)]++;
      }
    }
    for (; e < n; e++) tables[buckets[e]]++;
  }
  // Most buckets are empty. A range has fewer than 2^32 elements.
  static void flush(const uint32_t* tables, uint64_t* to) {
    for (size_t bucket = 0; bucket < Buckets; bucket += kLanes) {
      Vu sum = {};
      for (size_t t = 0; t < Tables; t++) sum = sum + fetch<Vu>(tables + t * kStride + bucket);
      uint32_t some = lane_mask(reinterpret_cast<Vi>(sum != 0));
      if (!some) continue;
      alignas(64) uint32_t sums[kLanes];
      put_vector(sums, sum);
      for (; some; some &= some - 1) {
        const size_t lane = static_cast<size_t>(__builtin_ctz(some));
        __atomic_fetch_add(to + bucket + lane, uint64_t{sums[lane]}, __ATOMIC_RELAXED);
      }
    }
  }
};
using TopCounters = Counters<8, 1u << 15>;  // a key's upper 16 bits, of which the first is the sign's
using LowCounters = Counters<4, 1u << 16>;

// Buckets of the deltas of a BF16 model from a BF16 base, the first level of f32 keys, in one pass. Even and
// odd elements stay where CodecBF16Halves has them.
inline void bf16_buckets(const void* x, const void* base, size_t n, uint16_t* to) {
  const uint16_t *const a = static_cast<const uint16_t*>(x), *const b = static_cast<const uint16_t*>(base);
  for (size_t e = 0; e < n; e += 2 * kLanes) {
    const auto v = CodecBF16Halves::widen(load_line(a + e)), w = CodecBF16Halves::widen(load_line(b + e));
    const Vu even = reinterpret_cast<Vu>(key_of<float>(delta_of(v.lo, w.lo)));
    const Vu odd = reinterpret_cast<Vu>(key_of<float>(delta_of(v.hi, w.hi)));
    store_line(to + e, reinterpret_cast<Line>((even >> 16) | (odd & 0xffff0000u)));
  }
}
// The same, counted. Buckets of a line are made some lines before they are counted: the one is work for other
// units of a core than the other, and neither waits for the other's end. n: whole lines.
inline void count_bf16_tops(const char* x, const char* base, size_t n, uint32_t* tables) {
  constexpr size_t kLine = 2 * kLanes, kBytes = kLine * sizeof(uint16_t), kAhead = 3;
  alignas(64) uint16_t ring[kAhead + 1][kLine];
  const size_t lines = n / kLine;
  const auto make = [&](size_t line) {
    bf16_buckets(x + line * kBytes, base + line * kBytes, kLine, ring[line % (kAhead + 1)]);
  };
  for (size_t line = 0; line < kAhead && line < lines; line++) make(line);
  for (size_t line = 0; line < lines; line++) {
    if (line + kAhead < lines) make(line + kAhead);
    TopCounters::add(tables, ring[line % (kAhead + 1)], kLine);
  }
}
// Buckets of magnitudes in one pass.
inline void top_buckets(const float* deltas, uint32_t shift, size_t n, uint16_t* to) {
  for (size_t e = 0; e < n; e += 2 * kLanes) {
    const Vu lo = reinterpret_cast<Vu>(key_of<float>(fetch<Vf>(deltas + e))) >> shift;
    const Vu hi = reinterpret_cast<Vu>(key_of<float>(fetch<Vf>(deltas + e + kLanes))) >> shift;
    store_line(to + e, pack16(lo, hi));
  }
}
// The buckets of whole keys' upper bits.
inline void top_buckets(const uint32_t* keys, uint32_t shift, size_t n, uint16_t* to) {
  for (size_t e = 0; e < n; e += 2 * kLanes) {
    const Vu lo = fetch<Vu>(keys + e) >> shift, hi = fetch<Vu>(keys + e + kLanes) >> shift;
    store_line(to + e, pack16(lo, hi));
  }
}
inline void top_buckets(const uint64_t* keys, uint32_t shift, size_t n, uint16_t* to) {
  for (size_t e = 0; e < n; e++) to[e] = static_cast<uint16_t>(keys[e] >> shift);
}

// Those of keys with the prefix; their number is returned. Most vectors have none.
inline size_t low_buckets(const uint32_t* keys, uint32_t shift, uint64_t prefix, size_t n, uint16_t* to) {
  if (prefix >> 16) return 0;
  size_t count = 0;
  const Vu wanted = splat(static_cast<uint32_t>(prefix));
  for (size_t e = 0; e < n; e += kLanes) {
    const Vu key = fetch<Vu>(keys + e) >> shift;
    const uint32_t lanes = equal_lanes(key >> 16, wanted) & first_lanes(n - e);
    if (lanes) count += store_lanes(to + count, key, lanes);
  }
  return count;
}
inline size_t low_buckets(const uint64_t* keys, uint32_t shift, uint64_t prefix, size_t n, uint16_t* to) {
  size_t count = 0;
  for (size_t e = 0; e < n; e++) {
    const uint64_t key = keys[e] >> shift;
    to[count] = static_cast<uint16_t>(key);
    count += key >> 16 == prefix;
  }
  return count;
}
// Of the deltas of a BF16 model from a BF16 base, the second level of f32 keys, in one pass.
inline size_t bf16_low_buckets(const void* x, const void* base, uint32_t prefix, size_t n, uint16_t* to) {
  const uint16_t *const a = static_cast<const uint16_t*>(x), *const b = static_cast<const uint16_t*>(base);
  size_t count = 0;
  const Vu wanted = splat(prefix);
  for (size_t e = 0; e < n; e += 2 * kLanes) {
    const auto v = CodecBF16Halves::widen(load_line(a + e)), w = CodecBF16Halves::widen(load_line(b + e));
    const Vu keys[2] = {reinterpret_cast<Vu>(key_of<float>(delta_of(v.lo, w.lo))),
                        reinterpret_cast<Vu>(key_of<float>(delta_of(v.hi, w.hi)))};
    const uint32_t even = equal_lanes(keys[0] >> 16, wanted);
    const uint32_t odd = equal_lanes(keys[1] >> 16, wanted);
    if (!(even | odd)) continue;
    count += store_lanes(to + count, keys[0], even);
    count += store_lanes(to + count, keys[1], odd);
  }
  return count;
}

template <class Scalar>
void count_range(const WmMergeCount& call, size_t begin, size_t end, bool alone, float* scratch) {
  using Bits = typename Arith<Scalar>::Bits;
  const bool top = call.prefix == 0 && call.shift + 16 >= 8 * sizeof(Scalar) - 1;
  const WmMergeInputs& in = call.inputs;
  const auto bf16 = static_cast<int32_t>(DType::kBF16);
  const bool pairs = call.shift == (top ? 16 : 0) && call.score == WM_SCORE_MAGNITUDE && in.base &&
                     in.base_dtype == bf16 && in.x_dtypes[call.model] == bf16 && sizeof(Scalar) == 4 &&
                     call.prefix >> 16 == 0;
  const bool few = alone && end - begin <= kMergeSpan;
  uint32_t* const tables = reinterpret_cast<uint32_t*>(scratch);
  if (!few) __builtin_memset(tables, 0, kMergeCounters * sizeof(uint32_t));
  Tile<Scalar> tile(call.inputs, scratch + kMergeCounters);
  Bits* const keys = reinterpret_cast<Bits*>(tile.extra(0));
  uint16_t* const buckets = reinterpret_cast<uint16_t*>(tile.extra(1));
  if (pairs && top && !few) {
    const size_t offset = begin * sizeof(uint16_t), whole = (end - begin) / (2 * kLanes) * (2 * kLanes);
    count_bf16_tops(static_cast<const char*>(in.x[call.model]) + offset,
                    static_cast<const char*>(in.base) + offset, whole, tables);
    begin += whole;
  }
  for (size_t at = begin; at < end; at += tile.n) {
    tile.move(at, end);
    Scalar* const d = tile.d(call.model);
    bool packed = false;
    size_t n = tile.n;
    if (call.score == WM_SCORE_VARIANCE) {
      tile.deltas();
      variance_keys(tile, keys);
    } else if (pairs && tile.n % (2 * kLanes) == 0) {
      const size_t offset = tile.at * sizeof(uint16_t);
      const char* const x = static_cast<const char*>(in.x[call.model]) + offset;
      const char* const base = static_cast<const char*>(in.base) + offset;
      if (top) {
        bf16_buckets(x, base, n, buckets);
      } else {
        n = bf16_low_buckets(x, base, static_cast<uint32_t>(call.prefix), n, buckets);
      }
      packed = true;
    } else {
      tile.delta(call.model, tile.base(), d);
      if constexpr (sizeof(Scalar) == sizeof(float)) {
        packed = top && call.score == WM_SCORE_MAGNITUDE;
        if (packed) top_buckets(d, call.shift, tile.n, buckets);
      }
      if (!packed) delta_keys(tile, call.score, call.row_scores, d, keys);
    }
    if (!packed && !top) {
      n = low_buckets(keys, call.shift, call.prefix, n, buckets);
    } else if (!packed) {
      top_buckets(keys, call.shift, n, buckets);
    }
    if (few) {
      for (size_t e = 0; e < n; e++) call.table[buckets[e]]++;
    } else if (top) {
      TopCounters::add(tables, buckets, n);
    } else {
      LowCounters::add(tables, buckets, n);
    }
  }
  if (few) return;
  if (top) {
    TopCounters::flush(tables, call.table);
  } else {
    LowCounters::flush(tables, call.table);
  }
}

inline void merge_count(const WmMergeCount& call, size_t begin, size_t end, bool alone, float* scratch) {
  if (wide_inputs(call.inputs)) {
    count_range<double>(call, begin, end, alone, scratch);
  } else {
    count_range<float>(call, begin, end, alone, scratch);
  }
}
