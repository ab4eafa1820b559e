// Interpolation in one pass from memory to memory, for the dtypes that matter most: BF16, F16, F32 and F64 to
// themselves, and F32 to and from the 16-bit ones.
//
// A vector whose result holds a NaN or an infinity is rare, and only there do NaN bits and counts matter: it
// is done again by the specification, element by element. The rest needs no NaN handling.

template <DType D>
using BitsOf = typename Element<D>::Bits;

struct PairF32 {
  Vf lo, hi;
};
struct PairF64 {
  Vd lo, hi;
};

WM_FORCE_INLINE const void* after_line(const void* p) { return static_cast<const char*>(p) + sizeof(Line); }
WM_FORCE_INLINE void* after_line(void* p) { return static_cast<char*>(p) + sizeof(Line); }

template <bool Stream>
WM_FORCE_INLINE void put(void* to, Line line) {
  if constexpr (Stream) {
    stream_line(to, line);
  } else {
    store_line(to, line);
  }
}
template <bool Stream, class Pair>
WM_FORCE_INLINE void put(void* to, Pair v) {
  put<Stream>(to, reinterpret_cast<Line>(v.lo));
  put<Stream>(after_line(to), reinterpret_cast<Line>(v.hi));
}

// Codecs: kStep elements between memory (Stored) and arithmetic (Wide).
struct CodecF32 {
  static constexpr DType kDType = DType::kF32;
  static constexpr size_t kStep = 2 * kLanes;
  using Stored = PairF32;
  using Wide = PairF32;
  WM_FORCE_INLINE static Stored load(const void* from) {
    return {reinterpret_cast<Vf>(load_line(from)), reinterpret_cast<Vf>(load_line(after_line(from)))};
  }
  WM_FORCE_INLINE static Wide widen(Stored v) { return v; }
  WM_FORCE_INLINE static Stored narrow(Wide v) { return v; }
  WM_FORCE_INLINE static bool any_special(Stored v) { return any_non_finite(v.lo, v.hi); }
};

struct CodecF64 {
  static constexpr DType kDType = DType::kF64;
  static constexpr size_t kStep = kLanes;
  using Stored = PairF64;
  using Wide = PairF64;
  WM_FORCE_INLINE static Stored load(const void* from) {
    return {reinterpret_cast<Vd>(load_line(from)), reinterpret_cast<Vd>(load_line(after_line(from)))};
  }
  WM_FORCE_INLINE static Wide widen(Stored v) { return v; }
  WM_FORCE_INLINE static Stored narrow(Wide v) { return v; }
  WM_FORCE_INLINE static bool any_special(Stored v) { return any_non_finite(v.lo, v.hi); }
};

struct Codec16 {
  static constexpr size_t kStep = 2 * kLanes;
  using Stored = Line;
  using Wide = PairF32;
  WM_FORCE_INLINE static Stored load(const void* from) { return load_line(from); }
};

struct CodecF16 : Codec16 {
  static constexpr DType kDType = DType::kF16;
  WM_FORCE_INLINE static Wide widen(Line v) {
    Wide w;
    widen_f16(v, w.lo, w.hi);
    return w;
  }
  WM_FORCE_INLINE static Line narrow(Wide v) { return narrow_f16(v.lo, v.hi); }
  WM_FORCE_INLINE static bool any_special(Line v) { return any_non_finite16(v, 0x7c00); }
};

struct CodecBF16 : Codec16 {
  static constexpr DType kDType = DType::kBF16;
  WM_FORCE_INLINE static Wide widen(Line v) {
    Vu lo, hi;
    unpack16(v, lo, hi);
    return {widen_bf16(lo), widen_bf16(hi)};
  }
  WM_FORCE_INLINE static Line narrow(Wide v) { return pack16(narrow_bf16(v.lo), narrow_bf16(v.hi)); }
  WM_FORCE_INLINE static bool any_special(Line v) { return any_non_finite16(v, 0x7f80); }
};

// BF16 to itself: the even elements are the low halves of 32-bit lanes and the odd ones the upper halves, so
// widening and narrowing need no shuffle. A NaN here has no payload below bit 16: round_bf16 keeps it one.
struct CodecBF16Halves : CodecBF16 {
  WM_FORCE_INLINE static Wide widen(Line v) {
    const Vu codes = reinterpret_cast<Vu>(v);
    return {reinterpret_cast<Vf>(codes << 16), reinterpret_cast<Vf>(codes & 0xffff0000u)};
  }
  WM_FORCE_INLINE static Line narrow(Wide v) {
    const Vu even = round_bf16(reinterpret_cast<Vu>(v.lo)) >> 16;
    const Vu odd = round_bf16(reinterpret_cast<Vu>(v.hi)) & 0xffff0000u;
    return reinterpret_cast<Line>(even | odd);
  }
};

template <class Vector, class Scalar>
WM_FORCE_INLINE Vector lerp_vector(Vector x, Vector y, Scalar alpha) {
  return keep_equal(x, y, fma(Vector{} + alpha, y - x, x));
}

// kStep elements by lerp_element; counts the non-finite ones.
template <class In, class Out>
WM_NO_INLINE typename Out::Stored lerp_specials(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                                                double alpha, uint64_t& non_finite) {
  using To = Element<Out::kDType>;
  typename To::Bits out[In::kStep];
  for (size_t i = 0; i < In::kStep; i++) {
    out[i] = lerp_element<In::kDType, In::kDType, Out::kDType>(x[i], y[i], alpha);
    non_finite += To::non_finite(out[i]);
  }
  return Out::load(out);
}

template <class In, class Out>
WM_FORCE_INLINE typename Out::Stored lerp_step(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                                               double alpha, uint64_t& non_finite) {
  const auto a = In::widen(In::load(x)), b = In::widen(In::load(y));
  typename In::Wide wide;
  if constexpr (In::kDType == DType::kF64) {
    wide = {lerp_vector(a.lo, b.lo, alpha), lerp_vector(a.hi, b.hi, alpha)};
  } else {
    const float alpha32 = static_cast<float>(alpha);
    wide = {lerp_vector(a.lo, b.lo, alpha32), lerp_vector(a.hi, b.hi, alpha32)};
  }
  const auto result = Out::narrow(wide);
  if (WM_UNLIKELY(Out::any_special(result))) return lerp_specials<In, Out>(x, y, alpha, non_finite);
  return result;
}

// Fewer than kStep elements, through padded copies: the same arithmetic, and no access outside the ranges.
template <class In, class Out>
WM_NO_INLINE uint64_t lerp_part(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                                BitsOf<Out::kDType>* out, size_t count, double alpha) {
  BitsOf<In::kDType> xs[In::kStep] = {}, ys[In::kStep] = {};
  BitsOf<Out::kDType> outs[In::kStep];
  __builtin_memcpy(xs, x, count * sizeof(*x));
  __builtin_memcpy(ys, y, count * sizeof(*y));
  uint64_t non_finite = 0;
  put<false>(outs, lerp_step<In, Out>(xs, ys, alpha, non_finite));
  __builtin_memcpy(out, outs, count * sizeof(*out));
  return non_finite;
}

// Elements before the first address that is a multiple of a line, at most `count`.
WM_FORCE_INLINE size_t unaligned_head(const void* address, size_t item_size, size_t count) {
  const size_t bytes = (0 - reinterpret_cast<uintptr_t>(address)) % sizeof(Line);
  return bytes / item_size < count ? bytes / item_size : count;
}

// The lines of `bytes` bytes from `p`. May name addresses past the end: a prefetch does not fault.
WM_FORCE_INLINE void prefetch(uintptr_t p, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(reinterpret_cast<const void*>(p + line));
}

// `ahead`: distance in bytes at which x and y are prefetched. With arithmetic in between, too few loads fit
// the reorder buffer to hide the latency of memory.
template <class In, class Out, bool Stream>
uint64_t lerp_fused(const void* x_bits, const void* y_bits, void* out_bits, size_t count, double alpha,
                    size_t ahead) {
  const auto* x = static_cast<const BitsOf<In::kDType>*>(x_bits);
  const auto* y = static_cast<const BitsOf<In::kDType>*>(y_bits);
  auto* out = static_cast<BitsOf<Out::kDType>*>(out_bits);
  uint64_t non_finite = 0;
  size_t i = 0;
  if constexpr (Stream) {
    i = unaligned_head(out, sizeof(*out), count);
    if (i) non_finite += lerp_part<In, Out>(x, y, out, i, alpha);
  }
  for (; i + In::kStep <= count; i += In::kStep) {
    prefetch(reinterpret_cast<uintptr_t>(x + i) + ahead, In::kStep * sizeof(*x));
    prefetch(reinterpret_cast<uintptr_t>(y + i) + ahead, In::kStep * sizeof(*y));
    put<Stream>(out + i, lerp_step<In, Out>(x + i, y + i, alpha, non_finite));
  }
  if (i < count) non_finite += lerp_part<In, Out>(x + i, y + i, out + i, count - i, alpha);
  return non_finite;
}

// alpha == 0 or 1 without a change of dtype: the same bytes.
template <class Codec, bool Stream>
uint64_t copy_fused(const void* from_bits, void* out_bits, size_t count) {
  using E = Element<Codec::kDType>;
  const auto* from = static_cast<const typename E::Bits*>(from_bits);
  auto* out = static_cast<typename E::Bits*>(out_bits);
  uint64_t non_finite = 0;
  size_t i = 0;
  if constexpr (Stream) {
    for (const size_t head = unaligned_head(out, sizeof(*out), count); i < head; i++) {
      out[i] = from[i];
      non_finite += E::non_finite(from[i]);
    }
  }
  for (; i + Codec::kStep <= count; i += Codec::kStep) {
    const auto stored = Codec::load(from + i);
    if (WM_UNLIKELY(Codec::any_special(stored))) {
      for (size_t j = 0; j < Codec::kStep; j++) non_finite += E::non_finite(from[i + j]);
    }
    put<Stream>(out + i, stored);
  }
  for (; i < count; i++) {
    out[i] = from[i];
    non_finite += E::non_finite(from[i]);
  }
  return non_finite;
}
