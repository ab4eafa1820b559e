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

// Prefetch distance. With arithmetic in between, too few loads fit the reorder buffer to hide the latency of
// memory. One output is bound by that latency, which is longest where the processor mostly waits for a disk;
// several share the L1 cache with what was fetched too early.
template <bool One>
inline constexpr size_t kPrefetchBytes = One ? 2048 : 512;

// The lines of `bytes` bytes from `p`. May name addresses past the end: a prefetch does not fault.
WM_FORCE_INLINE void prefetch(uintptr_t p, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(reinterpret_cast<const void*>(p + line));
}

// Subtracting zero keeps every value; adding it to a zero would lose the sign.
template <class Vector, class Scalar>
WM_FORCE_INLINE Vector broadcast(Scalar value) {
  return value - Vector{};
}

template <class Vector, class Scalar>
WM_FORCE_INLINE Vector lerp_vector(Vector x, Vector y, Scalar alpha) {
  return keep_equal(x, y, fma(broadcast<Vector>(alpha), y - x, x));
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
  using Scalar = std::conditional_t<In::kDType == DType::kF64, double, float>;
  const auto rounded_alpha = static_cast<Scalar>(alpha);
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

// All outputs from one read of x and y. `One`: there is one, and its alpha stays in a register.
template <class In, class Out, bool Stream, bool One>
void lerp_fused(const void* x_bits, const void* y_bits, Outputs& outputs, size_t count) {
  using OutBits = BitsOf<Out::kDType>;
  const auto* x = static_cast<const BitsOf<In::kDType>*>(x_bits);
  const auto* y = static_cast<const BitsOf<In::kDType>*>(y_bits);
  size_t i = 0;
  if constexpr (Stream) {
    i = unaligned_head(outputs.data[0], sizeof(OutBits), count);
    if (i) lerp_part<In, Out>(x, y, outputs, 0, i);
  }
  const uint32_t output_count = One ? 1 : outputs.count;
  char* const first = outputs.data[0];
  const double first_alpha = outputs.alphas[0];
  for (; i + In::kStep <= count; i += In::kStep) {
    prefetch(reinterpret_cast<uintptr_t>(x + i) + kPrefetchBytes<One>, In::kStep * sizeof(*x));
    prefetch(reinterpret_cast<uintptr_t>(y + i) + kPrefetchBytes<One>, In::kStep * sizeof(*y));
    const auto a = In::widen(In::load(x + i)), b = In::widen(In::load(y + i));
    for (uint32_t k = 0; k < output_count; k++) {
      char* out = One ? first : outputs.data[k];
      const double alpha = One ? first_alpha : outputs.alphas[k];
      put<Stream>(out + i * sizeof(OutBits),
                  lerp_step<In, Out>(a, b, x + i, y + i, alpha, outputs.non_finite[k]));
    }
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
