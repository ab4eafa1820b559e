// WmMergeCombine: one output from all inputs. The operations are those of merge.h, with a vector for a
// number.

template <class Scalar>
WM_FORCE_INLINE VectorOf<Scalar> where(typename Arith<Scalar>::Signed mask, VectorOf<Scalar> v) {
  return reinterpret_cast<VectorOf<Scalar>>(mask & reinterpret_cast<typename Arith<Scalar>::Signed>(v));
}

template <class Scalar>
class Combine {
  using V = VectorOf<Scalar>;
  using U = typename Arith<Scalar>::U;
  using Bits = typename Arith<Scalar>::Bits;
  static constexpr size_t kStep = kWidth<Scalar>;

 public:
  Combine(const WmMergeCombine& combine, float* scratch)
      : call(combine),
        tile(combine.inputs, scratch),
        result(tile.extra(0)),
        mask(reinterpret_cast<Bits*>(tile.extra(1))),
        spare(tile.extra(2)),
        weights(tile.extra(3)),
        variance(reinterpret_cast<Bits*>(tile.extra(4))) {
    for (uint32_t i = 0; call.keeps && i < tile.in.models; i++) {
      masked = masked || call.keeps[i].rule != WM_KEEP_ALL;
      every = every || by_variance(call.keeps[i]);
    }
  }

  uint64_t run(size_t begin, size_t end) {
    const auto out_dtype = static_cast<DType>(call.out_dtype);
    uint64_t non_finite = 0;
    for (size_t at = begin; at < end; at += tile.n) {
      tile.move(at, end);
      compute();
      for (size_t e = 0; e < tile.n; e += kStep) put_vector(result + e, canonical_nan(fetch<V>(result + e)));
      char* const to = static_cast<char*>(call.out) + at * item_size(out_dtype);
      narrow(out_dtype, result, to, tile.n);
      non_finite += count_non_finite(out_dtype, to, tile.n);
    }
    return non_finite;
  }

 private:
  void compute() {
    switch (call.operation) {
      case WM_MERGE_SUM:
        return sum();
      case WM_MERGE_DELTA_SUM:
        return delta_sum();
      case WM_MERGE_CONSENSUS:
        return consensus();
      case WM_MERGE_ELECTED:
        return elected();
      case WM_MERGE_OVERLAP:
        return overlap();
      case WM_MERGE_NEARSWAP:
        return nearswap();
      case WM_MERGE_FISHER:
        return fisher();
      default:
        return call.operation == WM_MERGE_TAKE ? take() : rounded();
    }
  }

  WM_FORCE_INLINE V weight(size_t i) const { return spread(static_cast<Scalar>(call.weights[i])); }
  // Model i's weight at each element, for the axes of rows and columns.
  void fill_weights(size_t i) const {
    const size_t models = tile.in.models;
    if (call.axis == WM_AXIS_ROW) {
      for (size_t e = 0; e < tile.n;) {
        const size_t row = (tile.at + e) / tile.in.row, left = (row + 1) * tile.in.row - tile.at - e;
        const size_t stop = left < tile.n - e ? e + left : tile.n;
        const Scalar value = static_cast<Scalar>(call.weights[row * models + i]);
        for (; e < stop; e++) weights[e] = value;
      }
      return;
    }
    size_t column = tile.index() % tile.in.row;
    for (size_t e = 0; e < tile.n; e++) {
      weights[e] = static_cast<Scalar>(call.weights[column * models + i]);
      column = column + 1 == tile.in.row ? 0 : column + 1;
    }
  }

  // step(result[e], i's weight, x_i), for vectors of elements e.
  template <class Step>
  WM_FORCE_INLINE void accumulate(size_t i, const Scalar* x, const Step& step) {
    const bool whole = call.axis == WM_AXIS_WHOLE;
    if (!whole) fill_weights(i);
    const V same = whole ? weight(i) : V{};
    for (size_t e = 0; e < tile.n; e += kStep) {
      V to = fetch<V>(result + e);
      step(to, whole ? same : fetch<V>(weights + e), e, fetch<V>(x + e));
      put_vector(result + e, to);
    }
  }

  void sum() {
    accumulate(0, tile.x(0, spare), [](V& to, const V& w, size_t, const V& x) { to = w * x; });
    for (size_t i = 1; i < tile.in.models; i++) {
      accumulate(i, tile.x(i, spare), [](V& to, const V& w, size_t, const V& x) { to = fma(w, x, to); });
    }
  }

  WM_FORCE_INLINE static V add_delta(V sum, V w, V d) { return d == V{} ? sum : fma(w, d, sum); }

  void delta_sum() {
    const Scalar* const base = tile.base();
    for (size_t e = 0; e < tile.n; e += kStep) put_vector(result + e, fetch<V>(base + e));
    if (every) {
      tile.deltas();
      variance_keys(tile, variance);
    }
    for (size_t i = 0; i < tile.in.models; i++) {
      if (!masked) {
        accumulate(i, tile.x(i, spare), [base](V& to, const V& w, size_t e, const V& x) {
          to = add_delta(to, w, delta_of(x, fetch<V>(base + e)));
        });
        continue;
      }
      const Scalar* d = tile.d(i);
      if (!every) tile.delta(i, base, tile.d(i));
      if (keep_mask(tile, call.keeps[i], d, variance, mask)) {
        for (size_t e = 0; e < tile.n; e += kStep) {
          put_vector(spare + e, fetch<U>(mask + e) & fetch<U>(d + e));
        }
        d = spare;
      }
      accumulate(i, d, [](V& to, const V& w, size_t, const V& delta) { to = add_delta(to, w, delta); });
    }
  }

  // Every model's delta in its row, times its factor where there are factors, 0 where it is not kept.
  void kept_deltas(const double* factors) {
    tile.deltas();
    if (every) variance_keys(tile, variance);
    for (size_t i = 0; i < tile.in.models; i++) {
      Scalar* const d = tile.d(i);
      const bool cut = masked && keep_mask(tile, call.keeps[i], d, variance, mask);
      if (!cut && !factors) continue;
      const V factor = spread(factors ? static_cast<Scalar>(factors[i]) : Scalar(1));
      for (size_t e = 0; e < tile.n; e += kStep) {
        V v = fetch<V>(d + e);
        if (factors) v = factor * v;
        if (cut) v = reinterpret_cast<V>(fetch<U>(mask + e) & reinterpret_cast<U>(v));
        put_vector(d + e, v);
      }
    }
  }

  // result[e] = merge_add_to(base[e], mixed), from mix(mixed, e).
  template <class Mix>
  WM_FORCE_INLINE void add_to_base(const Mix& mix) {
    const Scalar* const base = tile.base();
    for (size_t e = 0; e < tile.n; e += kStep) {
      const V b = fetch<V>(base + e);
      V mixed = {};
      mix(mixed, e);
      put_vector(result + e, mixed == V{} ? b : b + mixed);
    }
  }

  WM_FORCE_INLINE static V choose(U mask, V yes, V no) {
    return reinterpret_cast<V>((mask & reinterpret_cast<U>(yes)) | (~mask & reinterpret_cast<U>(no)));
  }
  WM_FORCE_INLINE V delta_at(size_t i, size_t e) const { return fetch<V>(tile.d(i) + e); }
  WM_FORCE_INLINE V signs_sum(size_t e) const {
    V sum = {};
    for (size_t i = 0; i < tile.in.models; i++) sum = sum + delta_at(i, e);
    return sum;
  }
  // The values whose sign is elected, which are compared as magnitudes: a vector of 1 or -1 turns them.
  WM_FORCE_INLINE static V elect(V sum) { return sum < V{} ? V{} - Scalar(1) : V{} + Scalar(1); }

  void consensus() {
    kept_deltas(call.factors);
    const bool normalize = call.parameters[0] != 0;
    const V lambda = spread(static_cast<Scalar>(call.parameters[1])), one = spread(Scalar(1));
    add_to_base([&](V& mixed, size_t e) {
      const V sum = signs_sum(e), sign = elect(sum);
      V divisor = {};
      for (size_t i = 0; i < tile.in.models; i++) {
        const V value = delta_at(i, e);
        mixed = mixed + (value * sign > V{} ? value : V{});
        if (normalize) divisor = divisor + (value * sign > V{} ? weight(i) : V{});
      }
      if (normalize) mixed = mixed / (divisor != V{} ? divisor : one);
      mixed = sum != sum ? sum : mixed * lambda;
    });
  }

  void elected() {
    kept_deltas(nullptr);
    const V floor = spread(static_cast<Scalar>(call.parameters[0]));
    add_to_base([&](V& mixed, size_t e) {
      const V sum = signs_sum(e), sign = elect(sum);
      V divisor = {};
      for (size_t i = 0; i < tile.in.models; i++) {
        const V value = delta_at(i, e), w = weight(i);
        mixed = value * sign > V{} ? fma(w, value, mixed) : mixed;
        divisor = divisor + (value * sign > V{} ? w : V{});
      }
      mixed = sum != sum ? sum : mixed / (divisor > floor ? divisor : floor);
    });
  }

  void overlap() {
    tile.deltas();
    const V epsilon = spread(static_cast<Scalar>(call.parameters[0])), one = spread(Scalar(1));
    add_to_base([&](V& mixed, size_t e) {
      V sum = {}, alone = {}, invalid = {}, count = {};
      for (size_t i = 0; i < tile.in.models; i++) {
        const V value = delta_at(i, e), factor = spread(static_cast<Scalar>(call.factors[i]));
        invalid = value != value ? value : invalid;
        const V size = magnitude_of<Scalar>(value);
        count = count + (size > epsilon ? one : V{});
        sum = sum + (size > epsilon ? value : V{});
        alone = size > epsilon ? factor * value : alone;
      }
      const V all = count == one ? alone : sum / (count > one ? count : one);
      mixed = invalid != invalid ? invalid : all;
    });
  }

  void nearswap() {
    const Scalar *const base = tile.base(), *const x = tile.x(0, spare);
    const V t = spread(static_cast<Scalar>(call.parameters[0])), one = spread(Scalar(1));
    const V least = spread(Scalar(1e-6));
    for (size_t e = 0; e < tile.n; e += kStep) {
      const V b = fetch<V>(base + e), other = fetch<V>(x + e);
      const V away = b < other ? other - b : b - other;
      const V share = t / (away > least ? away : least);
      const V below = share > one ? one : share;
      const V weight = share < V{} ? V{} : below;
      const V moved = fma(weight, other, (one - weight) * b);
      put_vector(result + e, b == other ? b : moved);
    }
  }

  void fisher() {
    const size_t models = tile.in.models / 2;
    const V floor = spread(static_cast<Scalar>(call.parameters[0]));
    for (size_t i = 0; i < 2 * models; i++) {
      const Scalar* const from = tile.x(i, tile.d(i));
      if (from != tile.d(i)) __builtin_memcpy(tile.d(i), from, tile.n * sizeof(Scalar));
    }
    for (size_t e = 0; e < tile.n; e += kStep) {
      const V first = delta_at(0, e);
      V mixed = {}, total = {};
      for (size_t i = 0; i < models; i++) {
        const V given = delta_at(models + i, e), f = weight(i) * (given < floor ? floor : given);
        mixed = fma(f, delta_of(delta_at(i, e), first), mixed);
        total = total + f;
      }
      mixed = mixed / total;
      put_vector(result + e, mixed == V{} ? first : first + mixed);
    }
  }

  void take() {
    tile.deltas();
    if (every) variance_keys(tile, variance);
    const Scalar *const base = tile.base(), *const x = tile.x(0, spare);
    const bool cut = masked && keep_mask(tile, call.keeps[0], tile.d(0), variance, mask);
    for (size_t e = 0; e < tile.n; e += kStep) {
      const V other = fetch<V>(x + e);
      put_vector(result + e, cut ? choose(fetch<U>(mask + e), other, fetch<V>(base + e)) : other);
    }
  }

  // merge_round of a tile, by way of the memory of masks.
  void round_to(DType dtype, Scalar* values) const {
    if (dtype == Arith<Scalar>::kDType || dtype == DType::kF64) return;
    narrow(dtype, values, mask, tile.n);
    widen(dtype, mask, values, tile.n);
  }
  // step(values[e], e) for vectors of elements e, rounded.
  template <class Step>
  WM_FORCE_INLINE void rounded_step(DType dtype, Scalar* values, const Step& step) const {
    for (size_t e = 0; e < tile.n; e += kStep) put_vector(values + e, step(fetch<V>(values + e), e));
    round_to(dtype, values);
  }

  void rounded() {
    const auto dtype = static_cast<DType>(call.work_dtype);
    const DType sums = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
    const V divisor = spread(static_cast<Scalar>(call.parameters[0]));
    const V lambda = spread(static_cast<Scalar>(call.parameters[1]));
    const auto rounded_copy = [&](const Scalar* from, Scalar* to) {
      if (from != to) __builtin_memcpy(to, from, tile.n * sizeof(Scalar));
      round_to(dtype, to);
    };
    Scalar* const base = tile.in.base ? tile.row(0) : nullptr;
    if (base) rounded_copy(tile.base(), base);
    for (size_t i = 0; i < tile.in.models; i++) {
      Scalar* const part = i == 0 ? result : spare;
      rounded_copy(tile.x(i, part), part);
      if (base) rounded_step(dtype, part, [&](V x, size_t e) { return x - fetch<V>(base + e); });
      const V w = weight(i);
      rounded_step(dtype, part, [&](V d, size_t) { return w * d; });
      if (i > 0) rounded_step(sums, result, [&](V sum, size_t e) { return sum + fetch<V>(spare + e); });
    }
    round_to(dtype, result);
    rounded_step(dtype, result, [&](V sum, size_t) { return sum / divisor; });
    rounded_step(dtype, result, [&](V sum, size_t) { return sum * lambda; });
    if (base) rounded_step(dtype, result, [&](V sum, size_t e) { return fetch<V>(base + e) + sum; });
  }

  const WmMergeCombine& call;
  Tile<Scalar> tile;
  Scalar* result;
  Bits* mask;
  Scalar *spare, *weights;
  Bits* variance;
  bool masked = false, every = false;  // whether there are masks; whether one is by a score of all deltas
};

inline uint64_t merge_combine(const WmMergeCombine& call, size_t begin, size_t end, float* scratch) {
  uint64_t non_finite = 0;
  begin = merge_fused(call, begin, end, scratch, non_finite);
  if (begin < end) begin = merge_random(call, begin, end, scratch, non_finite);
  if (begin == end) return non_finite;
  if (wide_inputs(call.inputs)) return non_finite + Combine<double>(call, scratch).run(begin, end);
  return non_finite + Combine<float>(call, scratch).run(begin, end);
}
