// WM_MERGE_DELTA_SUM in one pass from memory to memory, where every input and the output have one dtype, each
// model has one weight, and of some models random elements are kept: drawn bits of one tile at a time, in
// temporary memory, are compared where they decide.

// What is drawn for one model's elements of a tile; null: all are kept.
struct Draw {
  const uint32_t* bits;
  uint32_t limit;
};

// Elements [begin, end), at most a tile of whole steps.
template <class Codec>
uint64_t random_steps(const WmMergeCombine& call, const Draw* draws, size_t begin, size_t end) {
  constexpr size_t kSize = item_size(Codec::kDType);
  const WmMergeInputs& in = call.inputs;
  const auto at = [](const void* data, size_t e) { return static_cast<const char*>(data) + e * kSize; };
  uint64_t non_finite = 0;
  for (size_t e = begin; e < end; e += Codec::kStep) {
    const auto base = Codec::widen(Codec::load(at(in.base, e)));
    auto sum = base;
    for (size_t i = 0; i < in.models; i++) {
      const auto x = Codec::widen(Codec::load(at(in.x[i], e)));
      const Vf w = spread(static_cast<float>(call.weights[i]));
      Vf lo = delta_of(x.lo, base.lo), hi = delta_of(x.hi, base.hi);
      if (draws[i].bits) {
        const uint32_t* const bits = draws[i].bits + (e - begin);
        const Vu limit = splat(draws[i].limit);
        lo = fetch<Vu>(bits) < limit ? lo : Vf{};
        hi = fetch<Vu>(bits + kLanes) < limit ? hi : Vf{};
      }
      sum = {add_delta(sum.lo, w, lo), add_delta(sum.hi, w, hi)};
    }
    const typename Codec::Stored out = Codec::narrow({canonical_nan(sum.lo), canonical_nan(sum.hi)});
    if (WM_UNLIKELY(Codec::any_special(out))) {
      BitsOf<Codec::kDType> bits[Codec::kStep];
      __builtin_memcpy(bits, &out, sizeof(bits));
      non_finite += count_non_finite(Codec::kDType, bits, Codec::kStep);
    }
    put<false>(static_cast<char*>(call.out) + e * kSize, out);
  }
  return non_finite;
}

// Models beyond this take the way of the others: their bits would not stay in the L1 cache.
inline constexpr uint32_t kDrawnModels = 16;

template <class Codec>
uint64_t random_of(const WmMergeCombine& call, size_t begin, size_t end, float* scratch) {
  Draw draws[kDrawnModels];
  uint64_t non_finite = 0;
  for (size_t at = begin; at < end; at += kMergeTile) {
    const size_t n = end - at < kMergeTile ? end - at : kMergeTile;
    for (uint32_t i = 0; i < call.inputs.models; i++) {
      const WmKeep& keep = call.keeps[i];
      const uint64_t limit = keep.rule == WM_KEEP_ALL ? 1ull << 32 : philox_threshold(keep.probability);
      draws[i] = {nullptr, static_cast<uint32_t>(limit)};
      if (limit >> 32) continue;
      uint32_t* const to = reinterpret_cast<uint32_t*>(scratch + i * kMergeStride);
      draws[i].bits = philox_fill(to, call.inputs.first + at, n, keep.stream, keep.key);
    }
    non_finite += random_steps<Codec>(call, draws, at, at + n);
  }
  return non_finite;
}

// Computes [begin, returned end) this way: nothing, where it does not apply.
inline size_t merge_random(const WmMergeCombine& call, size_t begin, size_t end, float* scratch,
                           uint64_t& non_finite) {
  const WmMergeInputs& in = call.inputs;
  if (call.operation != WM_MERGE_DELTA_SUM || call.axis != WM_AXIS_WHOLE || !call.keeps) return begin;
  if (in.models > kDrawnModels || in.base_dtype != call.out_dtype) return begin;
  for (uint32_t i = 0; i < in.models; i++) {
    const int32_t rule = call.keeps[i].rule;
    if (in.x_dtypes[i] != call.out_dtype || (rule != WM_KEEP_ALL && rule != WM_KEEP_RANDOM)) return begin;
  }
  const size_t last = begin + (end - begin) / (2 * kLanes) * (2 * kLanes);
  if (last == begin) return begin;
  switch (static_cast<DType>(call.out_dtype)) {
    case DType::kBF16:
      non_finite += random_of<CodecBF16>(call, begin, last, scratch);
      return last;
    case DType::kF16:
      non_finite += random_of<CodecF16>(call, begin, last, scratch);
      return last;
    case DType::kF32:
      non_finite += random_of<CodecF32>(call, begin, last, scratch);
      return last;
    default:
      return begin;
  }
}
