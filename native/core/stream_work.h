// What a stream (core/block_stream.h) is asked to do at once, and the numbers by which JavaScript asks it: a
// range of an output's files, or tensors to compare. Ranges are as long as the caller likes:
// core/block_cutter.h cuts them to the slots.
//
//   files:   cached direct             descriptors of one file, file after file; direct is -1 if none
//
//   range:   output position length    0 0 0 when comparing
//     then, segment after segment, where tensors are interpolated:
//            xDtype yDtype outDtype count xFile xPosition yFile yPosition outAt alphas
//     or, where they are compared:
//            xDtype yDtype count xFile xPosition yFile yPosition
//
// A segment whose yFile is -1 is copied: `count` bytes of x, whatever the dtypes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "wisemerge/dtype.h"

namespace wisemerge {

// Descriptors of the caller; the stream shares them while it works.
struct StreamFile {
  int cached;
  int direct;  // past the page cache; -1 where that cannot be
};

struct FilePlace {
  uint32_t file;
  uint64_t position;  // bytes
};

struct StreamSegment {
  DType x_dtype, y_dtype, out_dtype;
  uint64_t count;
  FilePlace x, y;
  uint64_t out_at = 0;     // bytes from the start of the range
  uint32_t alpha_set = 0;  // which alphas of the stream
  bool copied = false;
};

struct StreamWork {
  std::vector<StreamFile> files;
  // A contiguous range of every file of an output, and of a compare stream nothing.
  uint32_t output = 0;
  uint64_t position = 0, length = 0;
  std::vector<StreamSegment> segments;  // of an output: in its order; what none covers is header
};

// Throws Error ERR_INTERNAL_ARGUMENT (numbers, dtypes, files there are none of) or ERR_INTERNAL_RANGE (a
// segment that does not lie behind the one before it, or leaves its range).
StreamWork parse_work(const double* files, size_t files_length, const double* range, size_t range_length,
                      bool compared);

}  // namespace wisemerge
