// The two parts of a matrix product: packing, which puts the rows that a tile multiplies side by side and
// interpolates on the way, and the tile itself. matmul.cc cuts matrices into tiles; the layout is that of
// Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).

inline constexpr size_t kTileColumns = kTileVectors * kLanes;

// Elements widened at a time; whole vectors.
inline constexpr size_t kPackDepth = 64;

WM_FORCE_INLINE const char* element_at(const WmMatrix& matrix, size_t row, size_t column) {
  const size_t at = row * matrix.row_stride + column * matrix.column_stride;
  return static_cast<const char*>(matrix.data) + at * item_size(static_cast<DType>(matrix.dtype));
}

// `count` consecutive elements of x, or of lerp(x, y, alpha), as f32. `to` has room for whole vectors.
inline void widen_lerp(const WmMatrix& x, const WmMatrix* y, float alpha, size_t row, size_t column,
                       size_t count, float* to) {
  if (alpha == 1.0f) {
    widen(static_cast<DType>(y->dtype), element_at(*y, row, column), to, count);
    return;
  }
  widen(static_cast<DType>(x.dtype), element_at(x, row, column), to, count);
  if (alpha == 0.0f) return;
  alignas(sizeof(Vf)) float other[kPackDepth];
  for (size_t i = count; i < kPackDepth; i++) other[i] = to[i] = 0;
  widen(static_cast<DType>(y->dtype), element_at(*y, row, column), other, count);
  lerp_block<Vf>(to, other, to, count, alpha);
}

// The same without a copy where the elements lie there already.
inline const float* line_at(const WmMatrix& x, const WmMatrix* y, float alpha, size_t row, size_t column,
                            size_t count, float* line) {
  if (alpha == 0.0f && static_cast<DType>(x.dtype) == DType::kF32) {
    return reinterpret_cast<const float*>(element_at(x, row, column));
  }
  widen_lerp(x, y, alpha, row, column, count, line);
  return line;
}

typedef float Quad __attribute__((vector_size(16)));

WM_FORCE_INLINE Quad load_quad(const float* from) {
  Quad q;
  __builtin_memcpy(&q, from, sizeof(q));
  return q;
}

// Element by element of two quads, numbered 0 to 7.
#if defined(__clang__)
#define WM_PICK(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
typedef int32_t QuadPick __attribute__((vector_size(16)));
#define WM_PICK(a, b, i, j, k, l) __builtin_shuffle(a, b, QuadPick{i, j, k, l})
#endif

// out[l * width + i] = lines[i][l] for i < `columns` (4, or what is left of the width) and l < depth.
WM_FORCE_INLINE void transpose_lines(const float* const* lines, size_t depth, float* out, size_t width,
                                     size_t columns) {
  size_t l = 0;
  for (; columns == 4 && l + 4 <= depth; l += 4, out += 4 * width) {
    const Quad a = load_quad(lines[0] + l), b = load_quad(lines[1] + l), c = load_quad(lines[2] + l),
               d = load_quad(lines[3] + l);
    const Quad ab_low = WM_PICK(a, b, 0, 4, 1, 5), ab_high = WM_PICK(a, b, 2, 6, 3, 7);
    const Quad cd_low = WM_PICK(c, d, 0, 4, 1, 5), cd_high = WM_PICK(c, d, 2, 6, 3, 7);
    const Quad rows[4] = {WM_PICK(ab_low, cd_low, 0, 1, 4, 5), WM_PICK(ab_low, cd_low, 2, 3, 6, 7),
                          WM_PICK(ab_high, cd_high, 0, 1, 4, 5), WM_PICK(ab_high, cd_high, 2, 3, 6, 7)};
    for (size_t r = 0; r < 4; r++) __builtin_memcpy(out + r * width, &rows[r], sizeof(Quad));
  }
  for (; l < depth; l++, out += width) {
    for (size_t i = 0; i < columns; i++) out[i] = lines[i][l];
  }
}
#undef WM_PICK

// out[l * width + i] = element (row + i, column + l) of lerp(x, y, alpha) for i < rows, 0 for the other i up
// to the width or a whole number of vectors: a tile reads no more.
void matmul_pack(const WmMatrix& x, const WmMatrix* y, float alpha, size_t row, size_t rows, size_t column,
                 size_t depth, size_t width, float* out) {
  alignas(sizeof(Vf)) float line[4][kPackDepth];
  const size_t vectors = (rows + kLanes - 1) / kLanes * kLanes, used = vectors < width ? vectors : width;
  if (x.column_stride == 1) {
    alignas(sizeof(Vf)) static constexpr float kNothing[kPackDepth] = {};
    for (size_t begin = 0; begin < depth; begin += kPackDepth) {
      const size_t n = depth - begin < kPackDepth ? depth - begin : kPackDepth;
      for (size_t i = 0; i < used; i += 4) {
        const float* lines[4];
        for (size_t r = 0; r < 4; r++) {
          lines[r] = i + r < rows ? line_at(x, y, alpha, row + i + r, column + begin, n, line[r]) : kNothing;
        }
        transpose_lines(lines, n, out + begin * width + i, width, used - i < 4 ? used - i : 4);
      }
    }
    return;
  }
  for (size_t l = 0; l < depth; l++, out += width) {
    for (size_t i = rows; i < used; i++) out[i] = 0;
    for (size_t begin = 0; begin < rows; begin += kPackDepth) {
      const size_t n = rows - begin < kPackDepth ? rows - begin : kPackDepth;
      const float* const from = line_at(x, y, alpha, row + begin, column + l, n, line[0]);
      size_t i = 0;
      for (; i + kLanes <= n; i += kLanes) __builtin_memcpy(out + begin + i, from + i, sizeof(Vf));
      for (; i + 4 <= n; i += 4) __builtin_memcpy(out + begin + i, from + i, sizeof(Quad));
      for (; i < n; i++) out[begin + i] = from[i];
    }
  }
}

WM_FORCE_INLINE Vf load_floats(const float* from) {
  Vf v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}
WM_FORCE_INLINE void store_floats(float* to, Vf v) { __builtin_memcpy(to, &v, sizeof(v)); }

// Rows of a tile's left operand: element l of row i. Side by side as they are packed, or one after another.
struct RowsAcross {
  const float* at;
  size_t stride;
  WM_FORCE_INLINE float operator()(size_t i, size_t l) const { return at[l * stride + i]; }
};
struct RowsAlong {
  const float* at;
  size_t stride;
  WM_FORCE_INLINE float operator()(size_t i, size_t l) const { return at[i * stride + l]; }
};

// c[i][j] = start[i][j] + sum of a(i, l) * w[l][j] for the first kVectors vectors of columns; `start` has
// rows start_stride apart (0: one for all).
template <size_t kVectors, class Rows>
WM_FORCE_INLINE void multiply_tile(Rows a, const float* w, size_t depth, const float* start,
                                   size_t start_stride, float* c, size_t stride) {
  Vf sums[kTileRows][kVectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < kTileRows; i++) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; j++) {
      sums[i][j] = load_floats(start + i * start_stride + j * kLanes);
    }
  }
  // Fewer instructions beside the multiplications leave room for those of the core's other thread.
#pragma GCC unroll 4
  for (size_t l = 0; l < depth; l++) {
    Vf row[kVectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; j++) row[j] = load_floats(w + l * kTileColumns + j * kLanes);
#pragma GCC unroll 16
    for (size_t i = 0; i < kTileRows; i++) {
      const Vf element = broadcast<Vf>(a(i, l));
#pragma GCC unroll 4
      for (size_t j = 0; j < kVectors; j++) sums[i][j] = fma(element, row[j], sums[i][j]);
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kTileRows; i++) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kVectors; j++) store_floats(c + i * stride + j * kLanes, sums[i][j]);
  }
}

template <size_t kVectors, class Rows>
WM_FORCE_INLINE void multiply_part(Rows a, const float* w, size_t depth, const float* start, float* c,
                                   size_t stride, size_t rows, size_t columns) {
  if (rows == kTileRows && columns == kVectors * kLanes) {
    multiply_tile<kVectors>(a, w, depth, start ? start : c, start ? 0 : stride, c, stride);
    return;
  }
  alignas(sizeof(Vf)) float whole[kTileRows * kTileColumns] = {};
  if (!start) {
    for (size_t i = 0; i < rows; i++) {
      __builtin_memcpy(whole + i * kTileColumns, c + i * stride, columns * sizeof(float));
    }
  }
  multiply_tile<kVectors>(a, w, depth, start ? start : whole, start ? 0 : kTileColumns, whole, kTileColumns);
  for (size_t i = 0; i < rows; i++) {
    __builtin_memcpy(c + i * stride, whole + i * kTileColumns, columns * sizeof(float));
  }
}

template <class Rows>
WM_FORCE_INLINE void multiply_columns(Rows a, const float* w, size_t depth, const float* start, float* c,
                                      size_t stride, size_t rows, size_t columns) {
  static_assert(kTileVectors == 2 || kTileVectors == 3);
  if (columns <= kLanes) {
    multiply_part<1>(a, w, depth, start, c, stride, rows, columns);
  } else if (columns <= 2 * kLanes) {
    multiply_part<2>(a, w, depth, start, c, stride, rows, columns);
  } else {
    multiply_part<kTileVectors>(a, w, depth, start, c, stride, rows, columns);
  }
}

// The same for the first `rows` x `columns` of a tile, all of whose rows of a can be read: element l of row i
// is a[i * a_row + l * a_column], one of the strides 1. Starts from `start` (one row of kTileColumns), or
// where that is null from c.
void matmul_tile(const float* a, size_t a_row, size_t a_column, const float* w, size_t depth,
                 const float* start, float* c, size_t stride, size_t rows, size_t columns) {
  if (a_row == 1) {
    multiply_columns(RowsAcross{a, a_column}, w, depth, start, c, stride, rows, columns);
  } else {
    multiply_columns(RowsAlong{a, a_row}, w, depth, start, c, stride, rows, columns);
  }
}
