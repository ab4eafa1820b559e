// Interpolation and casts of any dtypes: blocks of elements go through f32 (or, where F64 is an input, f64)
// temporaries that stay in the L1 cache.

inline constexpr size_t kBlock = 1024;

#define WM_FLOAT_DTYPES(X) X(kF64) X(kF32) X(kF16) X(kBF16) X(kF8E5M2) X(kF8E4M3)

// To f32, as Element::load32. F64 is never asked for (it computes in f64), but the switch below names it.
template <DType D>
void widen_block(const BitsOf<D>* from, float* to, size_t count) {
  size_t i = 0;
  if constexpr (D == DType::kBF16 || D == DType::kF16) {
    using Codec = std::conditional_t<D == DType::kBF16, CodecBF16, CodecF16>;
    for (; i + Codec::kStep <= count; i += Codec::kStep)
      put<false>(to + i, Codec::widen(Codec::load(from + i)));
  } else if constexpr (D == DType::kF8E5M2 || D == DType::kF8E4M3) {
    for (; i + kLanes <= count; i += kLanes) {
      const Vu codes = load_u8(from + i);
      const Vf wide = D == DType::kF8E5M2 ? widen_f8e5m2(codes) : widen_f8e4m3(codes);
      __builtin_memcpy(to + i, &wide, sizeof(wide));
    }
  } else if constexpr (D == DType::kF32) {
    __builtin_memcpy(to, from, count * sizeof(float));
    return;
  }
  for (; i < count; i++) to[i] = Element<D>::load32(from[i]);
}

// From f32, as Element::store32.
template <DType D>
void narrow_block(const float* from, BitsOf<D>* to, size_t count) {
  size_t i = 0;
  if constexpr (D == DType::kBF16 || D == DType::kF16) {
    using Codec = std::conditional_t<D == DType::kBF16, CodecBF16, CodecF16>;
    for (; i + Codec::kStep <= count; i += Codec::kStep) {
      put<false>(to + i, Codec::narrow(CodecF32::load(from + i)));
    }
  } else if constexpr (D == DType::kF8E5M2 || D == DType::kF8E4M3) {
    for (; i + kLanes <= count; i += kLanes) {
      Vf wide;
      __builtin_memcpy(&wide, from + i, sizeof(wide));
      store_u8(to + i, D == DType::kF8E5M2 ? narrow_f8e5m2(wide) : narrow_f8e4m3(wide));
    }
  }
  for (; i < count; i++) to[i] = Element<D>::store32(from[i]);
}

template <DType D>
void widen_block(const BitsOf<D>* from, double* to, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = Element<D>::load64(from[i]);
}
template <DType D>
void narrow_block(const double* from, BitsOf<D>* to, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = Element<D>::store64(from[i]);
}

// The same by dtype value. The temporary's type decides between f32 and f64.
template <class Temporary>
void widen(DType dtype, const void* from, Temporary* to, size_t count) {
  switch (dtype) {
#define X(d)     \
  case DType::d: \
    return widen_block<DType::d>(static_cast<const BitsOf<DType::d>*>(from), to, count);
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      __builtin_unreachable();
  }
}
template <class Temporary>
void narrow(DType dtype, const Temporary* from, void* to, size_t count) {
  switch (dtype) {
#define X(d)     \
  case DType::d: \
    return narrow_block<DType::d>(from, static_cast<BitsOf<DType::d>*>(to), count);
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      __builtin_unreachable();
  }
}

template <DType D>
uint64_t count_non_finite_block(const BitsOf<D>* bits, size_t count) {
  uint32_t n = 0;
  for (size_t i = 0; i < count; i++) n += Element<D>::non_finite(bits[i]);
  return n;
}
// At most 2^32 - 1 elements.
inline uint64_t count_non_finite(DType dtype, const void* bits, size_t count) {
  switch (dtype) {
#define X(d)     \
  case DType::d: \
    return count_non_finite_block<DType::d>(static_cast<const BitsOf<DType::d>*>(bits), count);
    WM_FLOAT_DTYPES(X)
#undef X
    default:
      __builtin_unreachable();
  }
}

// to[i] = lerp(x[i], y[i]) over `count` values rounded up to whole vectors; `to` may be x.
template <class Vector, class Scalar>
void lerp_block(const Scalar* x, const Scalar* y, Scalar* to, size_t count, Scalar alpha) {
  for (size_t i = 0; i < count; i += sizeof(Vector) / sizeof(Scalar)) {
    Vector a, b;
    __builtin_memcpy(&a, x + i, sizeof(a));
    __builtin_memcpy(&b, y + i, sizeof(b));
    const Vector v = keep_equal(a, b, canonical_nan(fma(broadcast<Vector>(alpha), b - a, a)));
    __builtin_memcpy(to + i, &v, sizeof(v));
  }
}

template <class Vector, class Scalar>
uint64_t lerp_general(const WmLerp& item, const char* x, const char* y, char* out, size_t count,
                      Scalar alpha) {
  const auto x_dtype = static_cast<DType>(item.x_dtype), y_dtype = static_cast<DType>(item.y_dtype),
             out_dtype = static_cast<DType>(item.out_dtype);
  // Zeroed once: the last vector of a block may reach past `n`.
  alignas(sizeof(Vector)) Scalar a[kBlock] = {}, b[kBlock] = {};
  uint64_t non_finite = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t n = count - begin < kBlock ? count - begin : kBlock;
    char* to = out + begin * item_size(out_dtype);
    widen(x_dtype, x + begin * item_size(x_dtype), a, n);
    widen(y_dtype, y + begin * item_size(y_dtype), b, n);
    lerp_block<Vector>(a, b, a, n, alpha);
    narrow(out_dtype, a, to, n);
    non_finite += count_non_finite(out_dtype, to, n);
  }
  return non_finite;
}

// alpha == 0 or 1 with a change of dtype.
template <class Scalar>
uint64_t cast_general(DType from_dtype, const char* from, DType out_dtype, char* out, size_t count) {
  Scalar wide[kBlock];
  uint64_t non_finite = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t n = count - begin < kBlock ? count - begin : kBlock;
    char* to = out + begin * item_size(out_dtype);
    widen(from_dtype, from + begin * item_size(from_dtype), wide, n);
    narrow(out_dtype, wide, to, n);
    non_finite += count_non_finite(out_dtype, to, n);
  }
  return non_finite;
}
