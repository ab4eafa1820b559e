// Interpolation in one pass from memory to memory, for the dtypes that matter most: BF16, F16, F32 and F64 to
// themselves, and F32 to and from the 16-bit ones.
//
// A vector whose result holds a NaN or an infinity is rare, and only there do NaN bits and counts matter: it
// is done again by the specification, element by element. The rest needs no NaN handling.

// Outputs of one pass. All begin at the same distance from a line, so that one head aligns them all.
struct Outputs {
  uint32_t count;
  char* data[kMaxAlphas];
  double alphas[kMaxAlphas];
  uint64_t non_finite[kMaxAlphas];
};

// Prefetch distance of several outputs. With so much arithmetic in between, too few loads fit the reorder
// buffer to hide the latency of memory; they share the L1 cache with what was fetched too early. One output
// leaves room for enough loads, and prefetches only delay it.
inline constexpr size_t kPrefetchBytes = 512;

// The lines of `bytes` bytes from `p`. May name addresses past the end: a prefetch does not fault.
WM_FORCE_INLINE void prefetch(uintptr_t p, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(reinterpret_cast<const void*>(p + line));
}

// What an alpha is rounded to.
template <class In>
using ScalarOf = std::conditional_t<In::kDType == DType::kF64, double, float>;

// Subtracting zero keeps every value; adding it to a zero would lose the sign.
template <class Vector, class Scalar>
WM_FORCE_INLINE Vector broadcast(Scalar value) {
  return value - Vector{};
}

template <class Vector, class Scalar>
WM_FORCE_INLINE Vector lerp_vector(Vector x, Vector y, Scalar alpha) {
  return keep_equal(x, y, fma(broadcast<Vector>(alpha), y - x, x));
}

// The same for alphas of one sign, where equal elements need no care: their difference is +0, its product
// here -0, and adding that changes nothing, not even -0. (Equal infinities give a NaN, as they do above.)
template <bool Negative, class Vector, class Scalar>
WM_FORCE_INLINE Vector lerp_vector_signed(Vector x, Vector y, Scalar alpha) {
  if constexpr (Negative) {
    return fma(broadcast<Vector>(alpha), y - x, x);
  } else {
    return fma(broadcast<Vector>(-alpha), x - y, x);
  }
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

// kStep elements of which `a` and `b` are x and y.
template <class In, class Out>
WM_FORCE_INLINE typename Out::Stored lerp_step(typename In::Wide a, typename In::Wide b,
                                               const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                                               double alpha, uint64_t& non_finite) {
  const auto rounded_alpha = static_cast<ScalarOf<In>>(alpha);
  const auto result =
      Out::narrow({lerp_vector(a.lo, b.lo, rounded_alpha), lerp_vector(a.hi, b.hi, rounded_alpha)});
  if (WM_UNLIKELY(Out::any_special(result))) return lerp_specials<In, Out>(x, y, alpha, non_finite);
  return result;
}

// Fewer than kStep elements, through padded copies: the same arithmetic, and no access outside the ranges.
template <class In, class Out>
WM_NO_INLINE void lerp_part(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y, Outputs& outputs,
                            size_t at, size_t count) {
  using OutBits = BitsOf<Out::kDType>;
  BitsOf<In::kDType> xs[In::kStep] = {}, ys[In::kStep] = {};
  OutBits outs[In::kStep];
  __builtin_memcpy(xs, x + at, count * sizeof(*x));
  __builtin_memcpy(ys, y + at, count * sizeof(*y));
  const auto a = In::widen(In::load(xs)), b = In::widen(In::load(ys));
  for (uint32_t k = 0; k < outputs.count; k++) {
    put<false>(outs, lerp_step<In, Out>(a, b, xs, ys, outputs.alphas[k], outputs.non_finite[k]));
    __builtin_memcpy(outputs.data[k] + at * sizeof(OutBits), outs, count * sizeof(OutBits));
  }
}

// Elements before the first address that is a multiple of a line, at most `count`.
WM_FORCE_INLINE size_t unaligned_head(const void* address, size_t item_size, size_t count) {
  const size_t bytes = (0 - reinterpret_cast<uintptr_t>(address)) % sizeof(Line);
  return bytes / item_size < count ? bytes / item_size : count;
}

// Whole steps of one output, from element `i` on until one is special or none is left; returns where. A
// function of its own: around a call, compilers keep none of its constants in registers.
template <class In, class Out, bool Stream, bool Negative>
WM_NO_INLINE size_t lerp_ordinary(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y, char* out,
                                  ScalarOf<In> alpha, size_t i, size_t count) {
  for (; i + In::kStep <= count; i += In::kStep) {
    const auto a = In::widen(In::load(x + i)), b = In::widen(In::load(y + i));
    const auto result = Out::narrow(
        {lerp_vector_signed<Negative>(a.lo, b.lo, alpha), lerp_vector_signed<Negative>(a.hi, b.hi, alpha)});
    if (WM_UNLIKELY(Out::any_special(result))) break;
    put<Stream>(out + i * sizeof(BitsOf<Out::kDType>), result);
  }
  return i;
}

// One output, whose alpha is not zero, from element `i` on in whole steps; returns where they end.
template <class In, class Out, bool Stream>
WM_FORCE_INLINE size_t lerp_one(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y, Outputs& outputs,
                                size_t i, size_t count) {
  char* const out = outputs.data[0];
  const double alpha = outputs.alphas[0];
  const auto ordinary =
      alpha < 0 ? lerp_ordinary<In, Out, Stream, true> : lerp_ordinary<In, Out, Stream, false>;
  for (;; i += In::kStep) {
    i = ordinary(x, y, out, static_cast<ScalarOf<In>>(alpha), i, count);
    if (i + In::kStep > count) return i;
    put<Stream>(out + i * sizeof(BitsOf<Out::kDType>),
                lerp_specials<In, Out>(x + i, y + i, alpha, outputs.non_finite[0]));
  }
}

// Several outputs, likewise.
template <class In, class Out, bool Stream>
WM_FORCE_INLINE size_t lerp_several(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                                    Outputs& outputs, size_t i, size_t count) {
  for (; i + In::kStep <= count; i += In::kStep) {
    prefetch(reinterpret_cast<uintptr_t>(x + i) + kPrefetchBytes, In::kStep * sizeof(*x));
    prefetch(reinterpret_cast<uintptr_t>(y + i) + kPrefetchBytes, In::kStep * sizeof(*y));
    const auto a = In::widen(In::load(x + i)), b = In::widen(In::load(y + i));
    for (uint32_t k = 0; k < outputs.count; k++) {
      put<Stream>(outputs.data[k] + i * sizeof(BitsOf<Out::kDType>),
                  lerp_step<In, Out>(a, b, x + i, y + i, outputs.alphas[k], outputs.non_finite[k]));
    }
  }
  return i;
}

// All outputs from one read of x and y. `One`: there is one, whose alpha is not zero.
template <class In, class Out, bool Stream, bool One>
void lerp_fused(const void* x_bits, const void* y_bits, Outputs& outputs, size_t count) {
  const auto* x = static_cast<const BitsOf<In::kDType>*>(x_bits);
  const auto* y = static_cast<const BitsOf<In::kDType>*>(y_bits);
  size_t i = 0;
  if constexpr (Stream) {
    i = unaligned_head(outputs.data[0], sizeof(BitsOf<Out::kDType>), count);
    if (i) lerp_part<In, Out>(x, y, outputs, 0, i);
  }
  if constexpr (One) {
    i = lerp_one<In, Out, Stream>(x, y, outputs, i, count);
  } else {
    i = lerp_several<In, Out, Stream>(x, y, outputs, i, count);
  }
  if (i < count) lerp_part<In, Out>(x, y, outputs, i, count - i);
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
