// Interpolation in one pass from memory to memory, for the dtypes that matter most: BF16, F16, F32 and F64 to
// themselves, and F32 to and from the 16-bit ones.
//
// A vector whose result holds a NaN or an infinity is rare, and only there do NaN bits and counts matter: it
// is done again by the specification, element by element. The rest needs no NaN handling.

// Subtracting zero keeps every value; adding it to a zero would lose the sign.
template <class Vector, class Scalar>
WM_FORCE_INLINE Vector broadcast(Scalar value) {
  return value - Vector{};
}

// For alphas of one sign, so that equal elements need no care: their difference is +0, its product here -0,
// and adding that changes nothing, not even -0. (Equal infinities give a NaN: they are special.)
template <bool Negative, class Vector, class Scalar>
WM_FORCE_INLINE Vector lerp_vector(Vector x, Vector y, Scalar alpha) {
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

// Whole steps from element `i` on until one is special or none is left; returns where. A function of its own:
// around a call, compilers keep none of its constants in registers. It prefetches nothing: enough of its
// loads are under way at a time.
template <class In, class Out, bool Stream, bool Negative>
WM_NO_INLINE size_t lerp_ordinary(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                                  BitsOf<Out::kDType>* out, double alpha, size_t i, size_t count) {
  const auto a = static_cast<std::conditional_t<In::kDType == DType::kF64, double, float>>(alpha);
  for (; i + In::kStep <= count; i += In::kStep) {
    const auto from = In::widen(In::load(x + i)), to = In::widen(In::load(y + i));
    const auto result =
        Out::narrow({lerp_vector<Negative>(from.lo, to.lo, a), lerp_vector<Negative>(from.hi, to.hi, a)});
    if (WM_UNLIKELY(Out::any_special(result))) break;
    put<Stream>(out + i, result);
  }
  return i;
}

// Whole steps from element `i` on; returns where they end.
template <class In, class Out, bool Stream>
WM_FORCE_INLINE size_t lerp_steps(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                                  BitsOf<Out::kDType>* out, double alpha, size_t i, size_t count,
                                  uint64_t& non_finite) {
  const auto ordinary =
      alpha < 0 ? lerp_ordinary<In, Out, Stream, true> : lerp_ordinary<In, Out, Stream, false>;
  for (;; i += In::kStep) {
    i = ordinary(x, y, out, alpha, i, count);
    if (i + In::kStep > count) return i;
    put<Stream>(out + i, lerp_specials<In, Out>(x + i, y + i, alpha, non_finite));
  }
}

// Fewer than kStep elements, through padded copies: the same arithmetic, and no access outside the ranges.
template <class In, class Out>
WM_NO_INLINE void lerp_part(const BitsOf<In::kDType>* x, const BitsOf<In::kDType>* y,
                            BitsOf<Out::kDType>* out, double alpha, size_t count, uint64_t& non_finite) {
  BitsOf<In::kDType> xs[In::kStep] = {}, ys[In::kStep] = {};
  BitsOf<Out::kDType> outs[In::kStep];
  __builtin_memcpy(xs, x, count * sizeof(*x));
  __builtin_memcpy(ys, y, count * sizeof(*y));
  lerp_steps<In, Out, false>(xs, ys, outs, alpha, 0, In::kStep, non_finite);
  __builtin_memcpy(out, outs, count * sizeof(*out));
}

// Elements before the first address that is a multiple of a line, at most `count`.
WM_FORCE_INLINE size_t unaligned_head(const void* address, size_t item_size, size_t count) {
  const size_t bytes = (0 - reinterpret_cast<uintptr_t>(address)) % sizeof(Line);
  return bytes / item_size < count ? bytes / item_size : count;
}

// Returns the number of non-finite elements of the output. alpha is not zero.
template <class In, class Out, bool Stream>
uint64_t lerp_fused(const void* x_bits, const void* y_bits, void* out_bits, double alpha, size_t count) {
  const auto* x = static_cast<const BitsOf<In::kDType>*>(x_bits);
  const auto* y = static_cast<const BitsOf<In::kDType>*>(y_bits);
  auto* out = static_cast<BitsOf<Out::kDType>*>(out_bits);
  uint64_t non_finite = 0;
  size_t i = 0;
  if constexpr (Stream) {
    i = unaligned_head(out, sizeof(*out), count);
    if (i) lerp_part<In, Out>(x, y, out, alpha, i, non_finite);
  }
  i = lerp_steps<In, Out, Stream>(x, y, out, alpha, i, count, non_finite);
  if (i < count) lerp_part<In, Out>(x + i, y + i, out + i, alpha, count - i, non_finite);
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
