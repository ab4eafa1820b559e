// What the kernels of merging share: tiles of every model in Scalar, in temporary memory that stays in the
// caches, and vectors of either Scalar. A tile's last vector may reach past its elements: what is there is
// computed with and never stored.

typedef uint64_t Vq __attribute__((vector_size(4 * kLanes)));
typedef int64_t VqSigned __attribute__((vector_size(4 * kLanes)));

// As many ones as there are elements, up to those of a vector.
inline uint32_t first_lanes(size_t count) {
  return count < kLanes ? (1u << count) - 1 : static_cast<uint32_t>((uint64_t{1} << kLanes) - 1);
}

template <class Scalar>
struct Arith;
template <>
struct Arith<float> {
  using V = Vf;
  using Bits = uint32_t;
  using Int = int32_t;
  using U = Vu;
  using Signed = Vi;
  static constexpr DType kDType = DType::kF32;
  static constexpr Bits kMagnitude = 0x7fffffffu, kInfinity = 0x7f800000u, kNaN = 0x7fc00000u;
};
template <>
struct Arith<double> {
  using V = Vd;
  using Bits = uint64_t;
  using Int = int64_t;
  using U = Vq;
  using Signed = VqSigned;
  static constexpr DType kDType = DType::kF64;
  static constexpr Bits kMagnitude = 0x7fffffffffffffffull, kInfinity = 0x7ff0000000000000ull,
                        kNaN = 0x7ff8000000000000ull;
};
template <class Scalar>
using VectorOf = typename Arith<Scalar>::V;
template <class Scalar>
inline constexpr size_t kWidth = sizeof(Vf) / sizeof(Scalar);

template <class V>
WM_FORCE_INLINE V fetch(const void* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}
template <class V>
WM_FORCE_INLINE void put_vector(void* to, V v) {
  __builtin_memcpy(to, &v, sizeof(v));
}
// Subtracting zero keeps every value; adding it to a zero would lose the sign.
template <class Scalar>
WM_FORCE_INLINE VectorOf<Scalar> spread(Scalar value) {
  return value - VectorOf<Scalar>{};
}

// merge_delta.
template <class V>
WM_FORCE_INLINE V delta_of(V x, V base) {
  return x == base ? V{} : x - base;
}
// merge_key, in lanes as wide as Scalar; no key has the sign bit, so that they compare as signed.
template <class Scalar>
WM_FORCE_INLINE typename Arith<Scalar>::Signed key_of(VectorOf<Scalar> score) {
  using A = Arith<Scalar>;
  const auto key =
      reinterpret_cast<typename A::Signed>(reinterpret_cast<typename A::U>(score) & A::kMagnitude);
  return score == score ? key : typename A::Signed{} + static_cast<typename A::Int>(A::kNaN);
}
template <class Scalar>
WM_FORCE_INLINE VectorOf<Scalar> magnitude_of(VectorOf<Scalar> v) {
  return reinterpret_cast<VectorOf<Scalar>>(reinterpret_cast<typename Arith<Scalar>::U>(v) &
                                            Arith<Scalar>::kMagnitude);
}

inline bool wide_inputs(const WmMergeInputs& in) {
  bool wide = in.base && static_cast<DType>(in.base_dtype) == DType::kF64;
  for (uint32_t i = 0; i < in.models; i++) wide = wide || static_cast<DType>(in.x_dtypes[i]) == DType::kF64;
  return wide;
}

// Elements [at, at + n) of the range. Each model has kMergeStride values of temporary memory, and the call's
// own are behind them.
template <class Scalar>
struct Tile {
  const WmMergeInputs& in;
  Scalar* memory;
  size_t at = 0, n = 0;

  Tile(const WmMergeInputs& inputs, float* scratch)
      : in(inputs), memory(reinterpret_cast<Scalar*>(scratch)) {}

  // Temporary memory for n values; 0 holds the base, 1 + i model i. `extra(j)` is the call's.
  Scalar* row(size_t i) const { return memory + i * kMergeStride; }
  Scalar* extra(size_t j) const { return row(1 + in.models + j); }

  void move(size_t begin, size_t end) {
    at = begin;
    n = end - begin < kMergeTile ? end - begin : kMergeTile;
  }
  uint64_t index() const { return in.first + at; }

  // The values of one input: in its own memory where it is whole vectors of Scalar, else in `to`.
  const Scalar* view(int32_t dtype_value, const void* data, Scalar* to) const {
    const auto dtype = static_cast<DType>(dtype_value);
    const char* from = static_cast<const char*>(data) + at * item_size(dtype);
    if (dtype == Arith<Scalar>::kDType && n % kLanes == 0) return reinterpret_cast<const Scalar*>(from);
    widen(dtype, from, to, n);
    return to;
  }
  const Scalar* base() const { return in.base ? view(in.base_dtype, in.base, row(0)) : nullptr; }
  const Scalar* x(size_t i, Scalar* to) const { return view(in.x_dtypes[i], in.x[i], to); }

  // d_i in one pass for the dtypes that most models have, of tiles that are whole steps.
  template <class Codec>
  void delta_steps(size_t i, const float* base, float* to) const {
    const char* const from = static_cast<const char*>(in.x[i]) + at * item_size(Codec::kDType);
    for (size_t e = 0; e < n; e += Codec::kStep) {
      const auto x = Codec::widen(Codec::load(from + e * item_size(Codec::kDType)));
      put_vector(to + e, delta_of(x.lo, fetch<Vf>(base + e)));
      put_vector(to + e + kLanes, delta_of(x.hi, fetch<Vf>(base + e + kLanes)));
    }
  }

  // d_i in `to`.
  void delta(size_t i, const Scalar* base, Scalar* to) const {
    using V = VectorOf<Scalar>;
    if constexpr (sizeof(Scalar) == sizeof(float)) {
      const auto dtype = static_cast<DType>(in.x_dtypes[i]);
      if (base && n % (2 * kLanes) == 0 && dtype == DType::kBF16) return delta_steps<CodecBF16>(i, base, to);
      if (base && n % (2 * kLanes) == 0 && dtype == DType::kF16) return delta_steps<CodecF16>(i, base, to);
    }
    const Scalar* from = x(i, to);
    if (!base) {
      if (from != to) __builtin_memcpy(to, from, n * sizeof(Scalar));
      return;
    }
    for (size_t e = 0; e < n; e += kWidth<Scalar>) {
      put_vector(to + e, delta_of(fetch<V>(from + e), fetch<V>(base + e)));
    }
  }
  // Every model's d_i in row(1 + i).
  void deltas() const {
    const Scalar* b = base();
    for (size_t i = 0; i < in.models; i++) delta(i, b, row(1 + i));
  }
  Scalar* d(size_t i) const { return row(1 + i); }
};

// merge_variance of the deltas in the tile's rows, in `to`.
template <class Scalar>
void variances(const Tile<Scalar>& tile, Scalar* to) {
  using V = VectorOf<Scalar>;
  const size_t models = tile.in.models;
  const V count = spread(static_cast<Scalar>(models));
  for (size_t e = 0; e < tile.n; e += kWidth<Scalar>) {
    V sum = {};
    for (size_t i = 0; i < models; i++) sum = sum + fetch<V>(tile.d(i) + e);
    const V mean = sum / count;
    V squares = {};
    for (size_t i = 0; i < models; i++) {
      const V away = fetch<V>(tile.d(i) + e) - mean;
      squares = fma(away, away, squares);
    }
    put_vector(to + e, squares / count);
  }
}

// Keys of the values of a tile; `to` may be where they are.
template <class Scalar>
void keys_of(const Scalar* values, size_t n, typename Arith<Scalar>::Bits* to) {
  for (size_t e = 0; e < n; e += kWidth<Scalar>) {
    put_vector(to + e, key_of<Scalar>(fetch<VectorOf<Scalar>>(values + e)));
  }
}

// WM_SCORE_VARIANCE, of the deltas in the tile's rows.
template <class Scalar>
void variance_keys(const Tile<Scalar>& tile, typename Arith<Scalar>::Bits* to) {
  Scalar* const scores = reinterpret_cast<Scalar*>(to);
  variances(tile, scores);
  keys_of(scores, tile.n, to);
}

// The other scores, of one model's deltas.
template <class Scalar>
void delta_keys(const Tile<Scalar>& tile, int32_t score, const double* row_scores, const Scalar* d,
                typename Arith<Scalar>::Bits* to) {
  if (score != WM_SCORE_ROW_SCALED) return keys_of(d, tile.n, to);
  Scalar* const scores = reinterpret_cast<Scalar*>(to);
  for (size_t e = 0; e < tile.n;) {
    const uint64_t row = (tile.index() + e) / tile.in.row, left = (row + 1) * tile.in.row - tile.index() - e;
    const size_t stop = left < tile.n - e ? e + left : tile.n;
    const Scalar factor = static_cast<Scalar>(row_scores[row]);
    for (; e < stop; e++) scores[e] = (d[e] < 0 ? -d[e] : d[e]) * factor;
  }
  keys_of(scores, tile.n, to);
}
