// A checkpoint of torch.save (.bin, .pt, .pth), described as a safetensors header is.
//
// Since PyTorch 1.6 such a file is a ZIP archive of stored entries: NAME/data.pkl, NAME/version,
// NAME/byteorder and one NAME/data/KEY per storage. Tensors are read where they lie in it; nothing is
// unpacked, and nothing of the pickle is run (core/torch_unpickler.h).
#pragma once

#include <string>
#include <vector>

#include "core/byte_source.h"
#include "core/safetensors_header.h"
#include "wisemerge/backend.h"

namespace wisemerge {

struct TorchFile {
  // As of a safetensors file, but begins and ends are from the start of the file, and tensors may share
  // bytes.
  SafetensorsHeader header;
  std::vector<std::string> notes;
  std::string identity;  // bytes that change with names, shapes, layout and (by CRC-32) data
};

// Throws Error: ERR_TORCH_FILE (not such a file, of the format before 1.6, TorchScript, big-endian, or a
// damaged archive), ERR_PICKLE, ERR_PICKLE_GLOBAL, ERR_TORCH_STATE, ERR_TORCH_TENSOR (not contiguous, or
// beyond its storage; names the tensor), ERR_IO, ERR_INPUT_CHANGED, ERR_ABORTED.
TorchFile read_torch_file(ByteSource& file, WmCancelFlag cancelled = nullptr);

}  // namespace wisemerge
