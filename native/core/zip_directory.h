// The table of contents of a ZIP archive whose entries are stored, not compressed: where each entry's bytes
// lie in the file. PKWARE APPNOTE 6.3.9, with zip64.
//
// Readers of ZIP files disagree about archives that contradict themselves. Here such an archive is refused:
// two entries of one name, entries that overlap, local headers that differ from the directory, bytes between
// the directory and the end record, several disks, encryption.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/byte_source.h"
#include "wisemerge/backend.h"

namespace wisemerge {

struct ZipEntry {
  std::string name;
  uint64_t data_at;  // offset in the file
  uint64_t bytes;
};

struct ZipDirectory {
  std::vector<ZipEntry> entries;  // in the directory's order
  std::string directory;          // its bytes, which hold a CRC-32 of every entry: they identify the archive
};

// Whether the file ends as a ZIP archive does, or begins as one.
bool looks_like_zip(ByteSource& file);

// Throws Error: ERR_TORCH_FILE (names the entry and the rule that is broken), ERR_IO, ERR_INPUT_CHANGED,
// ERR_ABORTED.
ZipDirectory read_zip_directory(ByteSource& file, WmCancelFlag cancelled = nullptr);

}  // namespace wisemerge
