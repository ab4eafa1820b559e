// Ranks of the elements of one row of f32 keys, without sorting it.

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

  // Ranks of the first and of the last element in the buckets of a vector of elements.
  void spans(Vu elements, Vf& first, Vf& last) const {
    const Vu bucket = bucket_of(gather(keys_, elements));
    first = __builtin_convertvector(reinterpret_cast<Vi>(gather(below_, bucket)), Vf);
    last = __builtin_convertvector(reinterpret_cast<Vi>(gather(below_ + 1, bucket) - 1), Vf);
  }

  // Of indices that ascend from call to call. False: too many different keys were asked for.
  bool rank(size_t index, uint64_t& rank) {
    const Vu key = splat(keys_[index]);
    const size_t k = place_of(key);
    if (k == kKnown) return false;
    if (k == known_) {
      put_vector(seen_ + k, key);  // what is behind it is not looked at
      known_++;
      ranks_[k] =
          matches(0, n_, [key](Vu at) { return reinterpret_cast<Vi>(at) < reinterpret_cast<Vi>(key); });
      ends_[k] = 0;
    }
    // Equal ones before it.
    ranks_[k] += matches(ends_[k], index, [key](Vu at) { return at == key; });
    ends_[k] = index;
    rank = ranks_[k];
    return true;
  }

 private:
  // 64 buckets for each of the eight octaves below the largest magnitude; the first has all that is smaller.
  static constexpr uint32_t kBuckets = 512, kShift = 17, kTables = 4;
  static constexpr size_t kKnown = 64;

  uint32_t bucket_of(uint32_t key) const {
    const int32_t above = static_cast<int32_t>(key) - floor_;
    return above > 0 ? static_cast<uint32_t>(above) >> kShift : 0;
  }
  Vu bucket_of(Vu keys) const {
    const Vi above = reinterpret_cast<Vi>(keys - static_cast<uint32_t>(floor_));
    return reinterpret_cast<Vu>(above > 0 ? above : Vi{}) >> kShift;
  }
  void count() {
    // Neighbours in tables of their own (merge_count.inl), whose stride is no power of two.
    constexpr size_t kStride = kBuckets + 16, kPart = 512;
    uint32_t tables[kTables * kStride] = {};
    alignas(64) uint16_t buckets[kPart];
    size_t e = 0;
    while (n_ - e >= 2 * kLanes) {
      const size_t n = n_ - e < kPart ? (n_ - e) / (2 * kLanes) * (2 * kLanes) : kPart;
      for (size_t k = 0; k < n; k += 2 * kLanes) {
        const Vu lo = fetch<Vu>(keys_ + e + k), hi = fetch<Vu>(keys_ + e + k + kLanes);
        store_line(buckets + k, pack16(bucket_of(lo), bucket_of(hi)));
      }
      for (size_t k = 0; k < n; k += kTables) {
        // One load of four buckets: reading what vectors wrote two bytes at a time would be slow.
        uint64_t word;
        __builtin_memcpy(&word, buckets + k, sizeof(word));
        for (size_t t = 0; t < kTables; t++) tables[t * kStride + (word >> (16 * t) & 0xffff)]++;
      }
      e += n;
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
  // Where the key is among those asked for, or their number.
  size_t place_of(Vu key) const {
    for (size_t k = 0; k < known_; k += kLanes) {
      const uint32_t found = equal_lanes(fetch<Vu>(seen_ + k), key) & first_lanes(known_ - k);
      if (found) return k + static_cast<size_t>(__builtin_ctz(found));
    }
    return known_;
  }
  // Of elements [from, to), those of which a condition holds. What is behind the row is memory too.
  template <class Condition>
  size_t matches(size_t from, size_t to, const Condition& holds) const {
    Vi counts = {};
    for (; from + kLanes <= to; from += kLanes) {
      counts = counts - reinterpret_cast<Vi>(holds(fetch<Vu>(keys_ + from)));
    }
    alignas(64) int32_t lanes[kLanes];
    put_vector(lanes, counts);
    int32_t sum = 0;
    for (const int32_t lane : lanes) sum += lane;
    const uint32_t last =
        lane_mask(reinterpret_cast<Vi>(holds(fetch<Vu>(keys_ + from)))) & first_lanes(to - from);
    return static_cast<size_t>(sum + __builtin_popcount(last));
  }

  const uint32_t* const keys_;
  const size_t n_;
  int32_t floor_;
  uint32_t below_[kBuckets + 1];
  // Keys that were asked for, and of each the rank of an element at `ends_` if it had the key.
  uint32_t seen_[kKnown + kLanes];
  uint64_t ranks_[kKnown];
  size_t ends_[kKnown];
  size_t known_ = 0;
};
