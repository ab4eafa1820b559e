// WmMergeGram: inner products of all pairs of deltas, in f64.

// Deltas of a tile as f64: d(i) is row i of `memory`.
template <class Scalar>
void load_wide_deltas(const Tile<Scalar>& tile, double* memory) {
  const Scalar* const base = tile.base();
  for (size_t i = 0; i < tile.in.models; i++) {
    double* const to = memory + i * kMergeStride;
    if constexpr (sizeof(Scalar) == sizeof(double)) {
      tile.delta(i, base, to);
    } else {
      Scalar* const narrow = tile.d(0);
      tile.delta(i, base, narrow);
      for (size_t e = 0; e < tile.n; e += kLanes) {
        Vd lo, hi;
        load_doubles(narrow + e, lo, hi);
        put_vector(to + e, lo);
        put_vector(to + e + kLanes / 2, hi);
      }
    }
  }
}

// Adds <a, b_j> to the lanes of `Pairs` pairs, b_j in rows one after another. n is a multiple of kMergeLanes.
template <class Scalar, size_t Pairs>
void add_products(const double* a, const double* b, size_t n, double (*lanes)[kMergeLanes]) {
  for (size_t lane = 0; lane < kMergeLanes; lane += kLanes) {
    Vd lo[Pairs], hi[Pairs];
    for (size_t j = 0; j < Pairs; j++) load_doubles(lanes[j] + lane, lo[j], hi[j]);
    for (size_t e = lane; e < n; e += kMergeLanes) {
      Vd a_lo, a_hi;
      load_doubles(a + e, a_lo, a_hi);
      for (size_t j = 0; j < Pairs; j++) {
        Vd b_lo, b_hi;
        load_doubles(b + j * kMergeStride + e, b_lo, b_hi);
        lo[j] = fma_of<Scalar>(a_lo, b_lo, lo[j]);
        hi[j] = fma_of<Scalar>(a_hi, b_hi, hi[j]);
      }
    }
    for (size_t j = 0; j < Pairs; j++) {
      put_vector(lanes[j] + lane, lo[j]);
      put_vector(lanes[j] + lane + kLanes / 2, hi[j]);
    }
  }
}

// One span or row.
template <class Scalar>
void gram_lanes(const WmMergeGram& call, size_t begin, size_t end, double* to, float* scratch) {
  Tile<Scalar> tile(call.inputs, scratch);
  const size_t models = call.inputs.models, pairs = models * (models + 1) / 2;
  double* const d = reinterpret_cast<double*>(scratch + 4 * kMergeStride);  // behind the base and one delta
  double(*const lanes)[kMergeLanes] = reinterpret_cast<double(*)[kMergeLanes]>(d + models * kMergeStride);
  __builtin_memset(lanes, 0, pairs * sizeof(*lanes));
  for (size_t at = begin; at < end; at += tile.n) {
    tile.move(at, end);
    load_wide_deltas(tile, d);
    const size_t whole = tile.n / kMergeLanes * kMergeLanes;
    auto* pair = lanes;
    for (size_t i = 0; i < models; i++) {
      const double* const a = d + i * kMergeStride;
      for (size_t j = i; j < models;) {
        const double* const b = d + j * kMergeStride;
        const size_t together = models - j >= 4 ? 4 : 1;
        if (together == 4) {
          add_products<Scalar, 4>(a, b, whole, pair);
        } else {
          add_products<Scalar, 1>(a, b, whole, pair);
        }
        for (size_t p = 0; p < together; p++, j++, pair++) {
          for (size_t e = whole; e < tile.n; e++) {
            double& lane = (*pair)[e - whole];
            lane = __builtin_fma(a[e], d[j * kMergeStride + e], lane);
          }
        }
      }
    }
  }
  for (size_t p = 0; p < pairs; p++) to[p] = fold_lanes(lanes[p]);
}

inline void merge_gram(const WmMergeGram& call, size_t begin, size_t end, double* to, float* scratch) {
  if (wide_inputs(call.inputs)) {
    gram_lanes<double>(call, begin, end, to, scratch);
  } else {
    gram_lanes<float>(call, begin, end, to, scratch);
  }
}

// Columns [begin, end) of every row, at most kMergeTile: one chain per column and pair, from what `sums` has.
template <class Scalar>
void gram_columns(const WmMergeGram& call, size_t begin, size_t end, float* scratch) {
  const WmMergeInputs& in = call.inputs;
  Tile<Scalar> tile(in, scratch);
  const size_t models = in.models, pairs = models * (models + 1) / 2, columns = end - begin;
  const size_t stride = (columns + kLanes - 1) / kLanes * kLanes;
  double* const d = reinterpret_cast<double*>(scratch + 4 * kMergeStride);
  double* const chains = d + models * kMergeStride;
  double* const sums = call.sums + begin * pairs;
  __builtin_memset(chains, 0, pairs * stride * sizeof(double));
  for (size_t c = 0; c < columns; c++) {
    for (size_t p = 0; p < pairs; p++) chains[p * stride + c] = sums[c * pairs + p];
  }
  for (size_t row = 0; row < in.count; row += in.row) {
    tile.move(row + begin, row + end);
    load_wide_deltas(tile, d);
    double* chain = chains;
    for (size_t i = 0; i < models; i++) {
      for (size_t j = i; j < models; j++, chain += stride) {
        const double *const a = d + i * kMergeStride, *const b = d + j * kMergeStride;
        for (size_t c = 0; c < columns; c += kLanes / 2) {
          put_vector(chain + c, fma_of<Scalar>(fetch<Vd>(a + c), fetch<Vd>(b + c), fetch<Vd>(chain + c)));
        }
      }
    }
  }
  for (size_t c = 0; c < columns; c++) {
    for (size_t p = 0; p < pairs; p++) sums[c * pairs + p] = chains[p * stride + c];
  }
}

inline void merge_gram_columns(const WmMergeGram& call, size_t begin, size_t end, float* scratch) {
  if (wide_inputs(call.inputs)) {
    gram_columns<double>(call, begin, end, scratch);
  } else {
    gram_columns<float>(call, begin, end, scratch);
  }
}
