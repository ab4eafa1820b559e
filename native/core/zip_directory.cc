#include "core/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "core/cancellation.h"
#include "core/duplicate_keys.h"
#include "core/json_scanner.h"
#include "core/status.h"

namespace wisemerge {
namespace {

// Multi-byte fields are little-endian, as every platform we build for.
constexpr uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50, kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50, kLocator64Magic = 0x07064b50;
constexpr size_t kLocalBytes = 30, kCentralBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20;
constexpr uint16_t kExtra64 = 1;
constexpr uint16_t kEncryptedFlags = 1u << 0 | 1u << 6 | 1u << 13;

// Half a million storages take 40 MB of directory.
constexpr uint64_t kMaxDirectory = uint64_t{256} << 20;
constexpr uint64_t kMaxEntries = uint64_t{1} << 22;

[[noreturn]] void refuse(const std::string& what, const char* fix = "download or save it again") {
  throw Error("ERR_TORCH_FILE", what + "; " + fix);
}

template <class T>
T field(const char* bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes + at, sizeof value);
  return value;
}

std::string read_string(ByteSource& file, uint64_t at, size_t bytes) {
  std::string text(bytes, '\0');
  file.read(at, text.data(), bytes);
  return text;
}

struct End {
  uint64_t at;  // where what follows the directory begins
  uint64_t entries, directory_bytes, directory_at;
};

// The end record is the last one whose comment reaches exactly to the end of the file.
std::optional<uint64_t> find_end(ByteSource& file, std::string& record) {
  if (file.size() < kEndBytes) return std::nullopt;
  const size_t tail_bytes = static_cast<size_t>(std::min<uint64_t>(file.size(), kEndBytes + 65535));
  const uint64_t tail_at = file.size() - tail_bytes;
  const std::string tail = read_string(file, tail_at, tail_bytes);
  for (size_t at = tail_bytes - kEndBytes + 1; at-- > 0;) {
    if (field<uint32_t>(tail.data(), at) != kEndMagic) continue;
    if (at + kEndBytes + field<uint16_t>(tail.data(), at + 20) != tail_bytes) continue;
    record = tail.substr(at, kEndBytes);
    return tail_at + at;
  }
  return std::nullopt;
}

// A 16- or 32-bit field of the short record says the same as zip64's, or is all ones.
template <class T>
void check_same(T narrow, uint64_t wide) {
  if (narrow != static_cast<T>(-1) && narrow != wide) refuse("its two end records disagree");
}

End read_end(ByteSource& file) {
  std::string record;
  const auto at = find_end(file, record);
  if (!at) refuse("it ends before the table of contents of its ZIP archive: the file is cut off");
  const char* end = record.data();
  const uint16_t entries_here = field<uint16_t>(end, 8), entries = field<uint16_t>(end, 10);
  const uint32_t bytes = field<uint32_t>(end, 12), offset = field<uint32_t>(end, 16);
  const uint16_t disk = field<uint16_t>(end, 4), directory_disk = field<uint16_t>(end, 6);

  std::string locator;
  if (*at >= kLocator64Bytes) locator = read_string(file, *at - kLocator64Bytes, kLocator64Bytes);
  if (locator.empty() || field<uint32_t>(locator.data(), 0) != kLocator64Magic) {
    if (disk || directory_disk || entries_here != entries) refuse("the ZIP archive spans several disks");
    if (entries == UINT16_MAX || bytes == UINT32_MAX || offset == UINT32_MAX) {
      refuse("the zip64 end record of its ZIP archive is missing");
    }
    return {*at, entries, bytes, offset};
  }
  const uint64_t locator_at = *at - kLocator64Bytes;
  const uint64_t wide_at = field<uint64_t>(locator.data(), 8);
  if (wide_at > locator_at || locator_at - wide_at != kEnd64Bytes) {
    refuse("the zip64 end record of its ZIP archive is not where it must be");
  }
  const std::string wide = read_string(file, wide_at, kEnd64Bytes);
  if (field<uint32_t>(wide.data(), 0) != kEnd64Magic || field<uint64_t>(wide.data(), 4) != kEnd64Bytes - 12) {
    refuse("the zip64 end record of its ZIP archive is damaged");
  }
  if (field<uint32_t>(wide.data(), 16) || field<uint32_t>(wide.data(), 20) ||
      field<uint64_t>(wide.data(), 24) != field<uint64_t>(wide.data(), 32) ||
      field<uint32_t>(locator.data(), 16) > 1) {
    refuse("the ZIP archive spans several disks");
  }
  const End result{wide_at, field<uint64_t>(wide.data(), 32), field<uint64_t>(wide.data(), 40),
                   field<uint64_t>(wide.data(), 48)};
  check_same(entries, result.entries);
  check_same(bytes, result.directory_bytes);
  check_same(offset, result.directory_at);
  return result;
}

// A directory entry while its local header has not been looked at.
struct Listed {
  ZipEntry entry;
  uint64_t local_at;
};

// zip64's extra field holds, in this order, the sizes and the offset whose 32-bit fields are all ones.
void read_extra64(std::string_view extra, const std::string& what, uint64_t* values[3]) {
  while (extra.size() >= 4) {
    const uint16_t id = field<uint16_t>(extra.data(), 0), length = field<uint16_t>(extra.data(), 2);
    if (length > extra.size() - 4) break;
    if (id == kExtra64) {
      const std::string_view body = extra.substr(4, length);
      size_t at = 0;
      for (int i = 0; i < 3; i++) {
        if (!values[i]) continue;
        if (at + 8 > body.size()) refuse(what + " lacks a zip64 field");
        *values[i] = field<uint64_t>(body.data(), at);
        at += 8;
      }
      return;
    }
    extra.remove_prefix(4 + length);
  }
  refuse(what + " lacks its zip64 fields");
}

Listed read_central(const std::string& directory, size_t& at) {
  const char* header = directory.data() + at;
  if (directory.size() - at < kCentralBytes || field<uint32_t>(header, 0) != kCentralMagic) {
    refuse("the table of contents of its ZIP archive is damaged");
  }
  const size_t name_bytes = field<uint16_t>(header, 28), extra_bytes = field<uint16_t>(header, 30);
  const size_t total = kCentralBytes + name_bytes + extra_bytes + field<uint16_t>(header, 32);
  if (directory.size() - at < total) refuse("the table of contents of its ZIP archive is cut off");

  Listed listed{{std::string(header + kCentralBytes, name_bytes), 0, field<uint32_t>(header, 24)},
                field<uint32_t>(header, 42)};
  const std::string what = "entry " + quoted(listed.entry.name);
  if (listed.entry.name.find('\0') != std::string::npos) refuse(what + " has a NUL character in its name");
  if (field<uint16_t>(header, 8) & kEncryptedFlags) refuse(what + " is encrypted", "save it unencrypted");
  if (const uint16_t method = field<uint16_t>(header, 10)) {
    refuse(what + " is compressed (method " + std::to_string(method) + ")",
           "torch.save stores entries uncompressed: save the checkpoint again with it");
  }
  if (field<uint16_t>(header, 34)) refuse("the ZIP archive spans several disks");
  uint64_t packed = field<uint32_t>(header, 20);
  uint64_t* wide[3] = {listed.entry.bytes == UINT32_MAX ? &listed.entry.bytes : nullptr,
                       packed == UINT32_MAX ? &packed : nullptr,
                       listed.local_at == UINT32_MAX ? &listed.local_at : nullptr};
  if (wide[0] || wide[1] || wide[2]) {
    read_extra64({header + kCentralBytes + name_bytes, extra_bytes}, what, wide);
  }
  if (packed != listed.entry.bytes) refuse(what + " is stored but its two sizes differ");
  at += total;
  return listed;
}

// Finds where the entry's data begins. `limit` is where the directory begins.
void read_local(ByteSource& file, Listed& listed, uint64_t limit) {
  ZipEntry& entry = listed.entry;
  const std::string what = "entry " + quoted(entry.name);
  if (limit < kLocalBytes || listed.local_at > limit - kLocalBytes) refuse(what + " lies outside the file");
  char header[kLocalBytes];
  file.read(listed.local_at, header, kLocalBytes);
  if (field<uint32_t>(header, 0) != kLocalMagic) refuse(what + " is not where the table of contents says");
  const size_t name_bytes = field<uint16_t>(header, 26);
  const uint64_t name_at = listed.local_at + kLocalBytes;
  entry.data_at = name_at + name_bytes + field<uint16_t>(header, 28);
  if (entry.data_at > limit || entry.bytes > limit - entry.data_at) refuse(what + " lies outside the file");
  if (field<uint16_t>(header, 8) || field<uint16_t>(header, 6) & kEncryptedFlags ||
      read_string(file, name_at, name_bytes) != entry.name) {
    refuse(what + " is described differently in its own header and in the table of contents");
  }
}

void check_overlap(std::vector<Listed>& listed) {
  std::vector<const Listed*> order;
  order.reserve(listed.size());
  for (const Listed& one : listed) order.push_back(&one);
  std::sort(order.begin(), order.end(),
            [](const Listed* a, const Listed* b) { return a->local_at < b->local_at; });
  for (size_t i = 1; i < order.size(); i++) {
    const ZipEntry& before = order[i - 1]->entry;
    if (before.data_at + before.bytes > order[i]->local_at) {
      refuse("entries " + quoted(before.name) + " and " + quoted(order[i]->entry.name) + " overlap");
    }
  }
}

}  // namespace

bool looks_like_zip(ByteSource& file) {
  char magic[4];
  if (file.size() < sizeof magic) return false;
  file.read(0, magic, sizeof magic);
  const uint32_t first = field<uint32_t>(magic, 0);
  return first == kLocalMagic || first == kEndMagic;
}

ZipDirectory read_zip_directory(ByteSource& file, WmCancelFlag cancelled) {
  const End end = read_end(file);
  if (end.directory_bytes > end.at || end.directory_at != end.at - end.directory_bytes) {
    refuse("the table of contents of its ZIP archive is not where its end record says");
  }
  if (end.directory_bytes > kMaxDirectory || end.entries > kMaxEntries) {
    refuse("its ZIP archive has " + std::to_string(end.entries) + " entries, above the limit of " +
               std::to_string(kMaxEntries),
           "spread the tensors over more files");
  }
  ZipDirectory result;
  result.directory = read_string(file, end.directory_at, static_cast<size_t>(end.directory_bytes));
  std::vector<Listed> listed;
  KeyList names;
  for (size_t at = 0; at < result.directory.size();) {
    throw_if_raised(cancelled, "reading an archive");
    listed.push_back(read_central(result.directory, at));
    names.push(listed.back().entry.name);
    read_local(file, listed.back(), end.directory_at);
  }
  if (listed.size() != end.entries) refuse("the table of contents of its ZIP archive has another length");
  if (const auto twice = find_duplicate(names.bytes, names.ends)) {
    refuse("two entries are named " + quoted(listed[*twice].entry.name));
  }
  check_overlap(listed);
  result.entries.reserve(listed.size());
  for (Listed& one : listed) result.entries.push_back(std::move(one.entry));
  return result;
}

}  // namespace wisemerge
