// WmMergeDivergence: softmaxes of whole rows.

// merge_exp, log_positive.
WM_FORCE_INLINE Vd exp_of(Vd x) {
  const Vd magic = Vd{} + 0x1.8p52, floor = Vd{} - 708.0;
  const Vd inside = x > floor ? x : floor;
  const Vd shifted = inside * 0x1.71547652b82fep+0 + magic;
  const Vd n = shifted - magic;
  const Vd r = (inside - n * 0x1.62e42feep-1) - n * 0x1.a39ef35793c76p-33;
  Vd p = Vd{} + 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const Vq exponent = (reinterpret_cast<Vq>(shifted) - reinterpret_cast<Vq>(magic)) << 52;
  return reinterpret_cast<Vd>(reinterpret_cast<Vq>(p) + exponent);
}
WM_FORCE_INLINE Vd log_of(Vd x) {
  const Vq shifted = reinterpret_cast<Vq>(x) + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
  // The exponent of a positive number, below 2^52, as the mantissa of one above.
  const Vd k = reinterpret_cast<Vd>((shifted >> 52) | 0x4330000000000000ull) - (0x1p52 + 1023);
  const Vd f = reinterpret_cast<Vd>((shifted & 0x000fffffffffffffull) + 0x3fe6a09e667f3bcdull) - 1.0;
  const Vd s = f / (2.0 + f), z = s * s;
  Vd r = Vd{} + 2.0 / 21;
  r = r * z + 2.0 / 19;
  r = r * z + 2.0 / 17;
  r = r * z + 2.0 / 15;
  r = r * z + 2.0 / 13;
  r = r * z + 2.0 / 11;
  r = r * z + 2.0 / 9;
  r = r * z + 2.0 / 7;
  r = r * z + 2.0 / 5;
  r = r * z + 2.0 / 3;
  r = r * z;
  return k * 0x1.62e42feep-1 - ((s * (f - r) - k * 0x1.a39ef35793c76p-33) - f);
}

// add(lanes, e) for vectors of elements of one tile of a row and their lanes of kMergeLanes. Those of the
// last vector past n are left alone.
template <class Add>
WM_FORCE_INLINE void add_lanes(double* lanes, size_t n, const Add& add) {
  constexpr size_t kDoubles = kLanes / 2;
  for (size_t e = 0; e < n; e += kDoubles) {
    double* const lane = lanes + e % kMergeLanes;
    Vd sum = fetch<Vd>(lane);
    add(sum, e);
    if (n - e >= kDoubles) {
      put_vector(lane, sum);
    } else {
      for (size_t j = 0; j < n - e; j++) lane[j] = sum[j];
    }
  }
}

// The tile's values of x_0 and of the base as f64, in the call's own memory.
struct RowPair {
  Tile<double> tile;
  double *x, *base;
  RowPair(const WmMergeInputs& in, float* scratch)
      : tile(in, scratch), x(tile.extra(0)), base(tile.extra(1)) {}
  void load(size_t at, size_t end) {
    tile.move(at, end);
    widen(static_cast<DType>(tile.in.x_dtypes[0]), of(tile.in.x[0], tile.in.x_dtypes[0]), x, tile.n);
    widen(static_cast<DType>(tile.in.base_dtype), of(tile.in.base, tile.in.base_dtype), base, tile.n);
  }
  const char* of(const void* data, int32_t dtype) const {
    return static_cast<const char*>(data) + tile.at * item_size(static_cast<DType>(dtype));
  }
};

WM_FORCE_INLINE Vd numerator(const double* from, double max) { return exp_of(fetch<Vd>(from) - max); }

inline void merge_divergence(const WmMergeDivergence& call, size_t row, float* scratch) {
  const WmMergeInputs& in = call.inputs;
  RowPair pair(in, scratch);
  const size_t begin = row * in.row, end = begin + in.row;
  double x_max = -__builtin_inf(), base_max = x_max;
  bool finite = true;
  for (size_t at = begin; at < end; at += pair.tile.n) {
    pair.load(at, end);
    for (size_t e = 0; e < pair.tile.n; e++) {
      const double a = pair.x[e], b = pair.base[e];
      finite = finite & (a - a == 0) & (b - b == 0);
      x_max = a > x_max ? a : x_max;
      base_max = b > base_max ? b : base_max;
    }
  }
  if (!finite) {
    call.divergence[row] = __builtin_nan("");
    return;
  }
  double x_lanes[kMergeLanes] = {}, base_lanes[kMergeLanes] = {}, lanes[kMergeLanes] = {};
  for (size_t at = begin; at < end; at += pair.tile.n) {
    pair.load(at, end);
    add_lanes(x_lanes, pair.tile.n, [&](Vd& sum, size_t e) { sum = sum + numerator(pair.x + e, x_max); });
    add_lanes(base_lanes, pair.tile.n,
              [&](Vd& sum, size_t e) { sum = sum + numerator(pair.base + e, base_max); });
  }
  const double x_sum = fold_lanes(x_lanes), base_sum = fold_lanes(base_lanes);
  for (size_t at = begin; at < end; at += pair.tile.n) {
    pair.load(at, end);
    add_lanes(lanes, pair.tile.n, [&](Vd& sum, size_t e) {
      const Vd p = numerator(pair.x + e, x_max) / x_sum + 1e-8;
      const Vd q = numerator(pair.base + e, base_max) / base_sum + 1e-8;
      sum = fma(p, log_of(p / q), sum);
    });
  }
  call.divergence[row] = fold_lanes(lanes);
}
