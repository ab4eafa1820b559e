// Ranks of the elements of one row of f32 keys, without sorting it.

// From a histogram how many elements are below an element's bucket and in it; where that does not decide, all
// elements of one key by counting in the row.
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

  // The keys of a vector of elements, and the ranks of the first and of the last element in their buckets.
  Vu spans(Vu elements, Vf& first, Vf& last) const {
    const Vu keys = gather(keys_, elements), bucket = bucket_of(keys);
    first = __builtin_convertvector(reinterpret_cast<Vi>(gather(below_, bucket)), Vf);
    last = __builtin_convertvector(reinterpret_cast<Vi>(gather(below_ + 1, bucket) - 1), Vf);
    return keys;
  }

  // How many keys are below this one. Of each element whether it has the key, in words of 64 bits.
  size_t split(uint32_t key, uint64_t* equal) const {
    const Vu wanted = splat(key);
    Vi counts = {};
    size_t e = 0;
    for (; e + 64 <= n_; e += 64) {
      uint64_t word = 0;
      for (size_t part = 0; part < 64; part += kLanes) {
        const Vu at = fetch<Vu>(keys_ + e + part);
        counts = counts - reinterpret_cast<Vi>(reinterpret_cast<Vi>(at) < reinterpret_cast<Vi>(wanted));
        word |= static_cast<uint64_t>(equal_lanes(at, wanted)) << part;
      }
      equal[e / 64] = word;
    }
    alignas(64) int32_t lanes[kLanes];
    put_vector(lanes, counts);
    size_t below = 0;
    for (const int32_t lane : lanes) below += static_cast<size_t>(lane);
    uint64_t word = 0;
    for (size_t k = e; k < n_; k++) {
      below += keys_[k] < key;
      word |= static_cast<uint64_t>(keys_[k] == key) << (k - e);
    }
    if (e < n_) equal[e / 64] = word;
    return below;
  }

 private:
  // 64 buckets for each of the eight octaves below the largest magnitude; the first has all that is smaller.
  static constexpr uint32_t kBuckets = 512, kShift = 17, kTables = 4;

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

  const uint32_t* const keys_;
  const size_t n_;
  int32_t floor_;
  uint32_t below_[kBuckets + 1];
};
