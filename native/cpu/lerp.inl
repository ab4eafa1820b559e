// Entry point of interpolation: chooses the fused or the general code for each output.

constexpr uint32_t conversion(DType from, DType to) {
  return static_cast<uint32_t>(from) << 8 | static_cast<uint32_t>(to);
}

template <bool Stream>
uint64_t copy_same(DType dtype, const char* from, char* out, size_t count) {
  switch (dtype) {
    case DType::kBF16:
      return copy_fused<CodecBF16, Stream>(from, out, count);
    case DType::kF16:
      return copy_fused<CodecF16, Stream>(from, out, count);
    case DType::kF32:
      return copy_fused<CodecF32, Stream>(from, out, count);
    case DType::kF64:
      return copy_fused<CodecF64, Stream>(from, out, count);
    default:
      return cast_general<float>(dtype, from, dtype, out, count);  // F8 codes survive the round trip
  }
}

template <bool Stream>
uint64_t copy_or_cast(DType from_dtype, const char* from, DType out_dtype, char* out, size_t count) {
  if (from_dtype == out_dtype) return copy_same<Stream>(out_dtype, from, out, count);
  if (from_dtype == DType::kF64) return cast_general<double>(from_dtype, from, out_dtype, out, count);
  return cast_general<float>(from_dtype, from, out_dtype, out, count);
}

template <bool Stream>
uint64_t lerp_one(const WmLerp& item, const char* x, const char* y, char* out, size_t count, double alpha,
                  size_t ahead) {
  const auto x_dtype = static_cast<DType>(item.x_dtype), y_dtype = static_cast<DType>(item.y_dtype),
             out_dtype = static_cast<DType>(item.out_dtype);
  if (alpha == 0.0) return copy_or_cast<Stream>(x_dtype, x, out_dtype, out, count);
  if (alpha == 1.0) return copy_or_cast<Stream>(y_dtype, y, out_dtype, out, count);
  if (x_dtype == y_dtype) {
    switch (conversion(x_dtype, out_dtype)) {
#define FUSED(in, to, In, Out)           \
  case conversion(DType::in, DType::to): \
    return lerp_fused<In, Out, Stream>(x, y, out, count, alpha, ahead);
      FUSED(kBF16, kBF16, CodecBF16Halves, CodecBF16Halves)
      FUSED(kF16, kF16, CodecF16, CodecF16)
      FUSED(kF32, kF32, CodecF32, CodecF32)
      FUSED(kF64, kF64, CodecF64, CodecF64)
      FUSED(kBF16, kF32, CodecBF16, CodecF32)
      FUSED(kF16, kF32, CodecF16, CodecF32)
      FUSED(kF32, kBF16, CodecF32, CodecBF16)
      FUSED(kF32, kF16, CodecF32, CodecF16)
#undef FUSED
      default:
        break;
    }
  }
  if (x_dtype == DType::kF64 || y_dtype == DType::kF64) {
    return lerp_general<Vd>(item, x, y, out, count, alpha);
  }
  return lerp_general<Vf>(item, x, y, out, count, static_cast<float>(alpha));
}

// With several outputs, x and y are read from memory once: a piece of both stays in the L1 cache while every
// output takes its turn. 12 KiB, so that the next piece, which the last turn prefetches, finds room too.
inline constexpr size_t kPieceBytes = 12u << 10;
// Prefetch distance of a single pass; half and twice as far measured slower.
inline constexpr size_t kPrefetchBytes = 512;

template <bool Stream>
void lerp_range(const WmLerp& item, size_t begin, size_t end, uint64_t* non_finite) {
  const uint32_t x_size = item_size(static_cast<DType>(item.x_dtype)),
                 y_size = item_size(static_cast<DType>(item.y_dtype)),
                 out_size = item_size(static_cast<DType>(item.out_dtype));
  const size_t piece = item.alpha_count == 1 ? end - begin : kPieceBytes / (x_size + y_size) / 64 * 64;
  for (size_t at = begin; at < end; at += piece) {
    const size_t n = end - at < piece ? end - at : piece;
    const char* x = static_cast<const char*>(item.x) + at * x_size;
    const char* y = item.y ? static_cast<const char*>(item.y) + at * y_size : nullptr;
    for (uint32_t k = 0; k < item.alpha_count; k++) {
      char* out = static_cast<char*>(item.outs[k]) + at * out_size;
      const bool next_piece = item.alpha_count > 1 && k == item.alpha_count - 1;
      const size_t ahead = next_piece ? piece * x_size : kPrefetchBytes;
      non_finite[k] += lerp_one<Stream>(item, x, y, out, n, item.alphas[k], ahead);
    }
  }
  if constexpr (Stream) stream_fence();
}

inline void lerp(const WmLerp& item, size_t begin, size_t end, bool stream, uint64_t* non_finite) {
  if (stream) {
    lerp_range<true>(item, begin, end, non_finite);
  } else {
    lerp_range<false>(item, begin, end, non_finite);
  }
}
