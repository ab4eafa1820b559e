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

// out[l * width + i] = element (row + i, column + l) of lerp(x, y, alpha) for i < rows, 0 for the other i <
// width.
void matmul_pack(const WmMatrix& x, const WmMatrix* y, float alpha, size_t row, size_t rows, size_t column,
                 size_t depth, size_t width, float* out) {
  alignas(sizeof(Vf)) float line[kPackDepth];
  if (x.column_stride == 1) {
    for (size_t i = 0; i < width; i++) {
      for (size_t begin = 0; begin < depth; begin += kPackDepth) {
        const size_t n = depth - begin < kPackDepth ? depth - begin : kPackDepth;
        float* to = out + begin * width + i;
        if (i < rows) {
          const float* const from = line_at(x, y, alpha, row + i, column + begin, n, line);
          for (size_t l = 0; l < n; l++) to[l * width] = from[l];
        } else {
          for (size_t l = 0; l < n; l++) to[l * width] = 0;
        }
      }
    }
    return;
  }
  for (size_t l = 0; l < depth; l++) {
    for (size_t begin = 0; begin < width; begin += kPackDepth) {
      const size_t room = width - begin < kPackDepth ? width - begin : kPackDepth;
      const size_t n = begin >= rows ? 0 : rows - begin < room ? rows - begin : room;
      const float* const from = n > 0 ? line_at(x, y, alpha, row + begin, column + l, n, line) : line;
      for (size_t i = 0; i < room; i++) out[l * width + begin + i] = i < n ? from[i] : 0;
    }
  }
}

WM_FORCE_INLINE Vf load_floats(const float* from) {
  Vf v;
  __builtin_memcpy(&v, from, sizeof(v));
  return v;
}
WM_FORCE_INLINE void store_floats(float* to, Vf v) { __builtin_memcpy(to, &v, sizeof(v)); }

// c[i][j] = start[i][j] + sum of a[l][i] * w[l][j]; `start` has rows start_stride apart (0: one for all).
WM_FORCE_INLINE void multiply_tile(const float* a, const float* w, size_t depth, const float* start,
                                   size_t start_stride, float* c, size_t stride) {
  Vf sums[kTileRows][kTileVectors];
#pragma GCC unroll 16
  for (size_t i = 0; i < kTileRows; i++) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileVectors; j++) {
      sums[i][j] = load_floats(start + i * start_stride + j * kLanes);
    }
  }
  for (size_t l = 0; l < depth; l++, a += kTileRows, w += kTileColumns) {
    Vf row[kTileVectors];
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileVectors; j++) row[j] = load_floats(w + j * kLanes);
#pragma GCC unroll 16
    for (size_t i = 0; i < kTileRows; i++) {
      const Vf element = broadcast<Vf>(a[i]);
#pragma GCC unroll 4
      for (size_t j = 0; j < kTileVectors; j++) sums[i][j] = fma(element, row[j], sums[i][j]);
    }
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kTileRows; i++) {
#pragma GCC unroll 4
    for (size_t j = 0; j < kTileVectors; j++) store_floats(c + i * stride + j * kLanes, sums[i][j]);
  }
}

// The same for the first `rows` x `columns` of a tile. Starts from `start` (one row of kTileColumns), or
// where that is null from c.
void matmul_tile(const float* a, const float* w, size_t depth, const float* start, float* c, size_t stride,
                 size_t rows, size_t columns) {
  if (rows == kTileRows && columns == kTileColumns) {
    multiply_tile(a, w, depth, start ? start : c, start ? 0 : stride, c, stride);
    return;
  }
  alignas(sizeof(Vf)) float whole[kTileRows * kTileColumns] = {};
  if (!start) {
    for (size_t i = 0; i < rows; i++) {
      __builtin_memcpy(whole + i * kTileColumns, c + i * stride, columns * sizeof(float));
    }
  }
  multiply_tile(a, w, depth, start ? start : whole, start ? 0 : kTileColumns, whole, kTileColumns);
  for (size_t i = 0; i < rows; i++) {
    __builtin_memcpy(c + i * stride, whole + i * kTileColumns, columns * sizeof(float));
  }
}
