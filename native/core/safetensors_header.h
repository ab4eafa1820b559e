// The safetensors header, parsed and checked more strictly than the format's reference reader.
//
// Input is the JSON text (the N bytes after the 8-byte length) and the size of the byte buffer that follows.
// Every rule of the format is enforced: see parse_safetensors_header. Nothing is allocated per tensor beyond
// flat arrays, so that a header of 500 000 tensors stays small and fast.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wisemerge/dtype.h"

namespace wisemerge {

// Tensors in ascending order of their data offset (ties, i.e. empty tensors, in order of appearance).
struct SafetensorsHeader {
  std::string names;                // all names, concatenated UTF-8
  std::vector<uint32_t> name_ends;  // end of name i in `names`
  std::vector<DType> dtypes;        //
  std::vector<uint64_t> dims;       // all shapes, concatenated
  std::vector<uint32_t> dim_ends;   // end of shape i in `dims`
  std::vector<uint64_t> begins;     // byte offsets relative to the byte buffer
  std::vector<uint64_t> ends;
  std::vector<std::pair<std::string, std::string>> metadata;  // in order of appearance

  size_t size() const { return begins.size(); }
  std::string_view name(size_t i) const {
    const uint32_t begin = i ? name_ends[i - 1] : 0;
    return std::string_view(names).substr(begin, name_ends[i] - begin);
  }
};

// `data_bytes` is file size - 8 - N. Throws Error: ERR_SAFETENSORS_JSON (not the JSON the format allows;
// gives the byte position), ERR_SAFETENSORS_DUPLICATE, ERR_SAFETENSORS_DTYPE, ERR_SAFETENSORS_SHAPE,
// ERR_SAFETENSORS_OFFSETS (hole, overlap, size against shape, end of file), ERR_SAFETENSORS_METADATA,
// ERR_SAFETENSORS_HEADER_SIZE (4 GiB or more). The message names the tensor and the numbers.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes);

}  // namespace wisemerge
