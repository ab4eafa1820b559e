// WM_MERGE_SUM and WM_MERGE_DELTA_SUM in one pass from memory to memory, where every input and the output
// have one dtype, nothing is left out and each model has one weight.

WM_FORCE_INLINE Vf add_delta(Vf sum, Vf w, Vf d) { return d == Vf{} ? sum : fma(w, d, sum); }

// Far, as there is one output: with so much arithmetic between its loads, too few fit the reorder buffer.
inline constexpr size_t kSumPrefetchBytes = 2048;

// Elements [begin, end), whole steps.
template <class Codec, bool Deltas, bool Stream>
uint64_t sum_steps(const WmMergeCombine& call, const float* weights, size_t begin, size_t end) {
  constexpr size_t kSize = item_size(Codec::kDType);
  const WmMergeInputs& in = call.inputs;
  // One step of an input, whose later lines are fetched meanwhile.
  const auto widen = [](const void* data, size_t e) {
    const char* const from = static_cast<const char*>(data) + e * kSize;
    prefetch(reinterpret_cast<uintptr_t>(from) + kSumPrefetchBytes, Codec::kStep * kSize);
    return Codec::widen(Codec::load(from));
  };
  uint64_t non_finite = 0;
  for (size_t e = begin; e < end; e += Codec::kStep) {
    typename Codec::Wide sum, base;
    size_t first = 0;
    if constexpr (Deltas) {
      base = widen(in.base, e);
      sum = base;
    } else {
      const auto x = widen(in.x[0], e);
      const Vf w = spread(weights[0]);
      sum = {w * x.lo, w * x.hi};
      first = 1;
    }
    for (size_t i = first; i < in.models; i++) {
      const auto x = widen(in.x[i], e);
      const Vf w = spread(weights[i]);
      if constexpr (Deltas) {
        sum = {add_delta(sum.lo, w, delta_of(x.lo, base.lo)), add_delta(sum.hi, w, delta_of(x.hi, base.hi))};
      } else {
        sum = {fma(w, x.lo, sum.lo), fma(w, x.hi, sum.hi)};
      }
    }
    const typename Codec::Stored out = Codec::narrow({canonical_nan(sum.lo), canonical_nan(sum.hi)});
    if (WM_UNLIKELY(Codec::any_special(out))) {
      BitsOf<Codec::kDType> bits[Codec::kStep];
      __builtin_memcpy(bits, &out, sizeof(bits));
      non_finite += count_non_finite(Codec::kDType, bits, Codec::kStep);
    }
    put<Stream>(static_cast<char*>(call.out) + e * kSize, out);
  }
  if constexpr (Stream) stream_fence();
  return non_finite;
}

template <class Codec>
uint64_t sum_of(const WmMergeCombine& call, const float* weights, size_t begin, size_t end) {
  constexpr size_t kSize = item_size(Codec::kDType), kStreamBytes = 4u << 20;
  const uintptr_t to = reinterpret_cast<uintptr_t>(call.out) + begin * kSize;
  // Outputs of this size are not found in a cache later; lines are written past it whole.
  const bool stream = to % sizeof(Line) == 0 && call.inputs.count * kSize >= kStreamBytes;
  if (call.operation == WM_MERGE_DELTA_SUM) {
    return stream ? sum_steps<Codec, true, true>(call, weights, begin, end)
                  : sum_steps<Codec, true, false>(call, weights, begin, end);
  }
  return stream ? sum_steps<Codec, false, true>(call, weights, begin, end)
                : sum_steps<Codec, false, false>(call, weights, begin, end);
}

// Computes [begin, returned end) this way: nothing, where it does not apply.
inline size_t merge_fused(const WmMergeCombine& call, size_t begin, size_t end, float* scratch,
                          uint64_t& non_finite) {
  const WmMergeInputs& in = call.inputs;
  if (call.operation > WM_MERGE_DELTA_SUM || call.axis != WM_AXIS_WHOLE) return begin;
  bool same = !in.base || in.base_dtype == call.out_dtype;
  for (uint32_t i = 0; i < in.models; i++) {
    same = same && in.x_dtypes[i] == call.out_dtype && (!call.keeps || call.keeps[i].rule == WM_KEEP_ALL);
    scratch[i] = static_cast<float>(call.weights[i]);
  }
  const size_t last = begin + (end - begin) / (2 * kLanes) * (2 * kLanes);
  if (!same || last == begin) return begin;
  switch (static_cast<DType>(call.out_dtype)) {
    case DType::kBF16:
      non_finite += sum_of<CodecBF16Halves>(call, scratch, begin, last);
      return last;
    case DType::kF16:
      non_finite += sum_of<CodecF16>(call, scratch, begin, last);
      return last;
    case DType::kF32:
      non_finite += sum_of<CodecF32>(call, scratch, begin, last);
      return last;
    default:
      return begin;
  }
}
