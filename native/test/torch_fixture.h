// Writes ZIP archives and pickles by hand, right or wrong on purpose, for the tests of core/torch_file.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/byte_source.h"
#include "core/status.h"

namespace wisemerge::test {

class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(std::string bytes) : bytes_(bytes.begin(), bytes.end()) {}
  uint64_t size() const override { return bytes_.size(); }
  void read(uint64_t at, void* into, size_t bytes) override {
    if (at > bytes_.size() || bytes > bytes_.size() - at) throw std::logic_error("a read leaves the file");
    if (bytes > 0) std::memcpy(into, bytes_.data() + at, bytes);
  }

 private:
  const std::vector<char> bytes_;  // of exact size: the sanitizer sees a read one past the end
};

template <class T>
std::string little(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

struct ZipOptions {
  bool zip64 = false;
  uint16_t method = 0, flags = 0;
};

class ZipWriter {
 public:
  explicit ZipWriter(ZipOptions options = {}) : options_(options) {}

  // Returns the offset of the data. `padding` bytes of extra field go into the local header only, as torch
  // does.
  size_t add(const std::string& name, const std::string& data, size_t padding = 0) {
    const size_t local_at = bytes.size();
    const auto bytes32 = static_cast<uint32_t>(data.size());
    const std::string extra =
        padding ? "FB" + little<uint16_t>(padding - 4) + std::string(padding - 4, 'Z') : "";
    bytes += little<uint32_t>(0x04034b50) + little<uint16_t>(20) + little(options_.flags) +
             little(options_.method) + std::string(8, '\0') + little(bytes32) + little(bytes32) +
             little<uint16_t>(name.size()) + little<uint16_t>(extra.size()) + name + extra;
    const size_t data_at = bytes.size();
    bytes += data;
    central(name, data.size(), local_at);
    return data_at;
  }

  void central(const std::string& name, uint64_t data_bytes, uint64_t local_at) {
    const bool wide = options_.zip64;
    const std::string extra = wide ? little<uint16_t>(1) + little<uint16_t>(24) +
                                         little<uint64_t>(data_bytes) + little<uint64_t>(data_bytes) +
                                         little<uint64_t>(local_at)
                                   : "";
    const uint32_t size32 = wide ? UINT32_MAX : static_cast<uint32_t>(data_bytes);
    directory += little<uint32_t>(0x02014b50) + little<uint16_t>(20) + little<uint16_t>(20) +
                 little(options_.flags) + little(options_.method) + std::string(8, '\0') + little(size32) +
                 little(size32) + little<uint16_t>(name.size()) + little<uint16_t>(extra.size()) +
                 std::string(10, '\0') +
                 little<uint32_t>(wide ? UINT32_MAX : static_cast<uint32_t>(local_at)) + name + extra;
    count++;
  }

  std::string finish() {
    const uint64_t at = bytes.size();
    std::string out = bytes + directory;
    const bool wide = options_.zip64;
    if (wide) {
      const uint64_t end_at = out.size();
      out += little<uint32_t>(0x06064b50) + little<uint64_t>(44) + little<uint16_t>(45) +
             little<uint16_t>(45) + little<uint32_t>(0) + little<uint32_t>(0) + little<uint64_t>(count) +
             little<uint64_t>(count) + little<uint64_t>(directory.size()) + little<uint64_t>(at);
      out +=
          little<uint32_t>(0x07064b50) + little<uint32_t>(0) + little<uint64_t>(end_at) + little<uint32_t>(1);
    }
    const uint16_t count16 = wide ? UINT16_MAX : count;
    return out + little<uint32_t>(0x06054b50) + little<uint32_t>(0) + little(count16) + little(count16) +
           little<uint32_t>(wide ? UINT32_MAX : static_cast<uint32_t>(directory.size())) +
           little<uint32_t>(wide ? UINT32_MAX : static_cast<uint32_t>(at)) + little<uint16_t>(0);
  }

  std::string bytes, directory;
  uint16_t count = 0;

 private:
  const ZipOptions options_;
};

inline std::string text(const std::string& value) {
  return "X" + little<uint32_t>(static_cast<uint32_t>(value.size())) + value;
}
inline std::string whole(int32_t value) { return "J" + little(value); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<int32_t>& values) {
  std::string out = "(";
  for (const int32_t value : values) out += whole(value);
  return out + "t";
}
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string out = "}(";
  for (const auto& [key, value] : entries) out += text(key) + value;
  return out + "u";
}
inline std::string pickle(const std::string& body) { return "\x80\x02" + body + "."; }

struct View {
  std::vector<int32_t> shape, strides;
  int32_t offset = 0;
};

// A tensor as torch._utils._rebuild_tensor_v2 gets it.
inline std::string tensor(const std::string& type, const std::string& key, int32_t count, const View& view) {
  return global("torch._utils", "_rebuild_tensor_v2") + "((" + text("storage") + global("torch", type) +
         text(key) + text("cpu") + whole(count) + "tQ" + whole(view.offset) + tuple(view.shape) +
         tuple(view.strides) + "\x89" + global("collections", "OrderedDict") + ")RtR";
}

using Storages = std::vector<std::pair<std::string, std::string>>;

inline std::string torch_file(const std::string& pickled, const Storages& storages, ZipOptions options = {}) {
  ZipWriter zip(options);
  zip.add("m/data.pkl", pickled);
  zip.add("m/byteorder", "little");
  for (const auto& [key, data] : storages) zip.add("m/data/" + key, data, 7);
  zip.add("m/version", "3\n");
  return zip.finish();
}

}  // namespace wisemerge::test
