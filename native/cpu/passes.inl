// The element-wise functions of networks and the passes over their rows. Plain loops over the scalar
// functions of wisemerge/network_functions.h, which the compiler turns into SIMD code of the level; `flatten`
// puts all that they call inside, since a function of its own would be compiled without the level's
// instructions.
#define WM_FLAT __attribute__((flatten))

// Before a loop whose result may lie over what it is made of, element over element, which it would otherwise
// be compiled to look for and then do one by one.
#if defined(__clang__)
#define WM_ELEMENTWISE _Pragma("clang loop vectorize(assume_safety)")
#else
#define WM_ELEMENTWISE _Pragma("GCC ivdep")
#endif

template <network::Activation K>
struct KnownActivation {
  static constexpr network::Activation kKind = K;
};

// Calls body(known) with the kind as a constant of known's type, so that loops over it are compiled for it.
template <class Body>
WM_FORCE_INLINE void with_activation(network::Activation kind, Body body) {
  using network::Activation;
  switch (kind) {
    case Activation::kGelu:
      return body(KnownActivation<Activation::kGelu>());
    case Activation::kRelu:
      return body(KnownActivation<Activation::kRelu>());
    case Activation::kQuickGelu:
      return body(KnownActivation<Activation::kQuickGelu>());
    case Activation::kGeluTanh:
      return body(KnownActivation<Activation::kGeluTanh>());
    case Activation::kSilu:
      return body(KnownActivation<Activation::kSilu>());
    case Activation::kTanh:
      return body(KnownActivation<Activation::kTanh>());
  }
}

WM_FLAT void activate(network::Activation kind, const float* x, const float* gate, size_t count, float* out) {
  with_activation(kind, [&](auto known) {
    if (gate) {
      WM_ELEMENTWISE for (size_t i = 0; i < count; i++) {
        out[i] = network::activation(known.kKind, x[i]) * gate[i];
      }
    } else {
      WM_ELEMENTWISE for (size_t i = 0; i < count; i++) out[i] = network::activation(known.kKind, x[i]);
    }
  });
}

WM_FLAT void activate_backward(network::Activation kind, const float* x, const float* dy, size_t count,
                               float* dx) {
  with_activation(kind, [&](auto known) {
    WM_ELEMENTWISE for (size_t i = 0; i < count; i++) {
      dx[i] = network::activation_gradient(known.kKind, x[i], dy[i]);
    }
  });
}

WM_FLAT void add_floats(const float* x, const float* y, size_t count, float* out) {
  WM_ELEMENTWISE for (size_t i = 0; i < count; i++) out[i] = x[i] + y[i];
}

WM_FLAT RowMoments row_moments(const float* x, size_t width, float epsilon) {
  const double count = static_cast<double>(width);
  const float mean =
      static_cast<float>(network::lane_sum<float>(width, [&](size_t j) { return x[j]; }) / count);
  const double variance =
      network::lane_sum<float>(width, [&](size_t j) { return (x[j] - mean) * (x[j] - mean); }) / count;
  return {mean, static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(epsilon)))};
}

WM_FLAT void layer_norm_row(const float* x, size_t width, const float* weight, const float* bias,
                            float epsilon, float* out) {
  const auto [mean, scale] = row_moments(x, width, epsilon);
  WM_ELEMENTWISE for (size_t j = 0; j < width; j++) out[j] = (x[j] - mean) * scale;
  if (weight) {
    for (size_t j = 0; j < width; j++) out[j] *= weight[j];
  }
  if (bias) {
    for (size_t j = 0; j < width; j++) out[j] += bias[j];
  }
}

WM_FLAT void layer_norm_row_backward(const float* x, const float* dy, size_t width, const float* weight,
                                     const RowMoments& moments, float* dx) {
  const float mean = moments.mean, scale = moments.scale;
  WM_ELEMENTWISE for (size_t j = 0; j < width; j++) dx[j] = weight ? dy[j] * weight[j] : dy[j];
  const double count = static_cast<double>(width);
  const float average =
      static_cast<float>(network::lane_sum<float>(width, [&](size_t j) { return dx[j]; }) / count);
  const float along = static_cast<float>(
      network::lane_sum<float>(width, [&](size_t j) { return dx[j] * ((x[j] - mean) * scale); }) / count);
  WM_ELEMENTWISE for (size_t j = 0; j < width; j++) dx[j] =
      scale * (dx[j] - average - (x[j] - mean) * scale * along);
}

WM_FLAT void layer_norm_weight_gradient(const float* x, const float* dy, const RowMoments* moments,
                                        size_t rows, size_t width, size_t begin, size_t end, float* out) {
  for (size_t j = begin; j < end; j++) out[j] = 0;
  for (size_t i = 0; i < rows; i++) {
    const auto [mean, scale] = moments[i];
    for (size_t j = begin; j < end; j++) out[j] += dy[i * width + j] * ((x[i * width + j] - mean) * scale);
  }
}

WM_FLAT void column_sums(const float* x, size_t rows, size_t width, size_t begin, size_t end, float* out) {
  for (size_t j = begin; j < end; j++) out[j] = 0;
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = begin; j < end; j++) out[j] += x[i * width + j];
  }
}
#undef WM_ELEMENTWISE
#undef WM_FLAT
