// WmMergeSums and WmMergeOverlap: reductions along a tensor. The lanes of merge.h are lanes of vectors,
// kLanes of them at a time.

// Two vectors of f64 from kLanes values, and the product that they may be multiplied with.
WM_FORCE_INLINE void load_doubles(const float* from, Vd& lo, Vd& hi) { to_doubles(fetch<Vf>(from), lo, hi); }
WM_FORCE_INLINE void load_doubles(const double* from, Vd& lo, Vd& hi) {
  lo = fetch<Vd>(from);
  hi = fetch<Vd>(from + kLanes / 2);
}
template <class Scalar>
WM_FORCE_INLINE Vd fma_of(Vd a, Vd b, Vd c) {
  if constexpr (sizeof(Scalar) == 4) {
    return fma_exact_product(a, b, c);
  } else {
    return fma(a, b, c);
  }
}

inline double fold_lanes(double* lanes) {
  for (size_t s = kMergeLanes / 2; s > 0; s /= 2) {
    for (size_t i = 0; i < s; i++) lanes[i] += lanes[i + s];
  }
  return lanes[0];
}

struct ModelSums {
  double magnitude[kMergeLanes], kept_magnitude[kMergeLanes], kept_square[kMergeLanes];
  uint64_t kept;
};

// |d| of all and of those kept, and d^2 of those kept; `kept` has zeros for the others. The tile begins at a
// multiple of kMergeLanes.
template <class Scalar>
void add_sums(const Scalar* d, const Scalar* kept, size_t n, ModelSums& sums) {
  using V = VectorOf<Scalar>;
  const size_t whole = n / kMergeLanes * kMergeLanes;
  for (size_t lane = 0; lane < kMergeLanes; lane += kLanes) {
    Vd all[2], mine[2], square[2];
    for (size_t h = 0; h < 2; h++) {
      all[h] = fetch<Vd>(sums.magnitude + lane + h * kLanes / 2);
      mine[h] = fetch<Vd>(sums.kept_magnitude + lane + h * kLanes / 2);
      square[h] = fetch<Vd>(sums.kept_square + lane + h * kLanes / 2);
    }
    for (size_t e = lane; e < whole; e += kMergeLanes) {
      Scalar magnitudes[2][kLanes];
      for (size_t j = 0; j < kLanes; j += kWidth<Scalar>) {
        put_vector(magnitudes[0] + j, magnitude_of<Scalar>(fetch<V>(d + e + j)));
        put_vector(magnitudes[1] + j, magnitude_of<Scalar>(fetch<V>(kept + e + j)));
      }
      Vd a[2], k[2];
      load_doubles(magnitudes[0], a[0], a[1]);
      load_doubles(magnitudes[1], k[0], k[1]);
      for (size_t h = 0; h < 2; h++) {
        all[h] = all[h] + a[h];
        mine[h] = mine[h] + k[h];
        square[h] = fma_of<Scalar>(k[h], k[h], square[h]);
      }
    }
    for (size_t h = 0; h < 2; h++) {
      put_vector(sums.magnitude + lane + h * kLanes / 2, all[h]);
      put_vector(sums.kept_magnitude + lane + h * kLanes / 2, mine[h]);
      put_vector(sums.kept_square + lane + h * kLanes / 2, square[h]);
    }
  }
  for (size_t e = whole; e < n; e++) {
    const double a = __builtin_fabs(static_cast<double>(d[e])), k = static_cast<double>(kept[e]);
    sums.magnitude[e - whole] += a;
    sums.kept_magnitude[e - whole] += __builtin_fabs(k);
    sums.kept_square[e - whole] = __builtin_fma(k, k, sums.kept_square[e - whole]);
  }
}

template <class Scalar>
void sum_span(const WmMergeSums& call, size_t begin, size_t end, double* to, float* scratch) {
  using Bits = typename Arith<Scalar>::Bits;
  using U = typename Arith<Scalar>::U;
  Tile<Scalar> tile(call.inputs, scratch);
  Bits* const mask = reinterpret_cast<Bits*>(tile.extra(0));
  Bits* const variance = reinterpret_cast<Bits*>(tile.extra(1));
  Scalar* const kept = tile.extra(2);
  const size_t models = call.inputs.models;
  bool every = false;
  for (size_t i = 0; i < models; i++) every = every || by_variance(call.keeps[i]);
  ModelSums* const sums = reinterpret_cast<ModelSums*>(scratch + merge_scratch(models));
  __builtin_memset(sums, 0, models * sizeof(ModelSums));
  for (size_t at = begin; at < end; at += tile.n) {
    tile.move(at, end);
    tile.deltas();
    if (every) variance_keys(tile, variance);
    for (size_t i = 0; i < models; i++) {
      const Scalar* const d = tile.d(i);
      if (!keep_mask(tile, call.keeps[i], d, variance, mask)) {
        add_sums(d, d, tile.n, sums[i]);
        sums[i].kept += tile.n;
        continue;
      }
      uint64_t count = 0;
      for (size_t e = 0; e < tile.n; e++) count += mask[e] & 1;
      sums[i].kept += count;
      for (size_t e = 0; e < tile.n; e += kWidth<Scalar>) {
        put_vector(kept + e, fetch<U>(mask + e) & fetch<U>(d + e));
      }
      add_sums<Scalar>(d, kept, tile.n, sums[i]);
    }
  }
  for (size_t i = 0; i < models; i++, to += kMergeSumColumns) {
    to[kMergeSumKept] = static_cast<double>(sums[i].kept);
    to[kMergeSumMagnitude] = fold_lanes(sums[i].magnitude);
    to[kMergeSumKeptMagnitude] = fold_lanes(sums[i].kept_magnitude);
    to[kMergeSumKeptSquare] = fold_lanes(sums[i].kept_square);
  }
}

inline void merge_sums(const WmMergeSums& call, size_t begin, size_t end, double* to, float* scratch) {
  if (wide_inputs(call.inputs)) {
    sum_span<double>(call, begin, end, to, scratch);
  } else {
    sum_span<float>(call, begin, end, to, scratch);
  }
}

template <class Scalar>
void overlap_range(const WmMergeOverlap& call, size_t begin, size_t end, uint64_t* counts, float* scratch) {
  using V = VectorOf<Scalar>;
  using Signed = typename Arith<Scalar>::Signed;
  Tile<Scalar> tile(call.inputs, scratch);
  Signed* const others = reinterpret_cast<Signed*>(tile.extra(0));  // models beyond epsilon
  const size_t models = call.inputs.models;
  const V epsilon = spread(static_cast<Scalar>(call.epsilon));
  for (size_t at = begin; at < end; at += tile.n) {
    tile.move(at, end);
    tile.deltas();
    // Past the end nothing is beyond epsilon.
    const size_t vectors = (tile.n + kWidth<Scalar> - 1) / kWidth<Scalar>;
    for (size_t i = 0; i < models; i++) {
      for (size_t e = tile.n; e < vectors * kWidth<Scalar>; e++) tile.d(i)[e] = __builtin_nan("");
    }
    for (size_t v = 0; v < vectors; v++) {
      Signed sum = {};
      for (size_t i = 0; i < models; i++) {
        sum = sum - (magnitude_of<Scalar>(fetch<V>(tile.d(i) + v * kWidth<Scalar>)) > epsilon);
      }
      put_vector(others + v, sum);
    }
    for (size_t i = 0; i < models; i++) {
      Signed shared = {}, alone = {};
      for (size_t v = 0; v < vectors; v++) {
        const Signed sum = fetch<Signed>(others + v);
        const Signed counts_here = magnitude_of<Scalar>(fetch<V>(tile.d(i) + v * kWidth<Scalar>)) > epsilon;
        shared = shared - (counts_here & (sum > 1));
        alone = alone - (counts_here & (sum == 1));
      }
      for (size_t lane = 0; lane < kWidth<Scalar>; lane++) {
        counts[2 * i] += static_cast<uint64_t>(shared[lane]);
        counts[2 * i + 1] += static_cast<uint64_t>(alone[lane]);
      }
    }
  }
}

inline void merge_overlap(const WmMergeOverlap& call, size_t begin, size_t end, uint64_t* counts,
                          float* scratch) {
  if (wide_inputs(call.inputs)) {
    overlap_range<double>(call, begin, end, counts, scratch);
  } else {
    overlap_range<float>(call, begin, end, counts, scratch);
  }
}
