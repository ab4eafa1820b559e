// The exact curve of a head by screening (screen.h): one thread takes a block of samples past all classes,
// and computes in f32 only what the screened logits leave open.
#pragma once

#include "cpu/calls.h"
#include "cpu/screen.h"

namespace wisemerge::cpu {

class Screening {
 public:
  static bool suits(const WmCurve& call);

  // Packs the classes in the context's memory. `call` must outlive this.
  Screening(WmContext& context, const ScreenKernels& screen, const WmCurve& call, WmCancelFlag cancelled);

  size_t block_rows() const { return tiles_ * screen_.rows; }
  // Floats that block() needs.
  size_t scratch() const;
  // Samples [first, last), at most block_rows(). False, with nothing of use written, where so many classes
  // came near their labels that all logits cost less.
  bool block(size_t first, size_t last, float* scratch) const;

 private:
  struct Lines;

  void pack_classes(size_t panel);
  void pack_samples(size_t first, size_t rows, uint32_t* words, ScreenTile& tile) const;
  void label_logits(size_t first, size_t rows, Lines& lines, ScreenTile& tile) const;
  size_t settle(size_t sample, size_t i, Lines& lines, ScreenTile& tile) const;
  const float* line(const WmMatrix& matrix, size_t row, float* buffer) const;
  ScreenPanel panel(size_t index) const;

  const Kernels& kernels_;
  const ScreenKernels& screen_;
  const WmCurve& call_;
  size_t pairs_, panels_, tiles_;
  float allowance_;
  double reach_, chain_;  // largest |1 - alpha| + |alpha|; k of screen.h
  float *start0_, *start1_, *norm_, *norm_error_, *constant_;
  uint32_t *w0_, *w1_;
};

}  // namespace wisemerge::cpu
