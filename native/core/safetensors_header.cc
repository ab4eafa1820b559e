#include "core/safetensors_header.h"

#include <algorithm>
#include <optional>

#include "core/duplicate_keys.h"
#include "core/json_scanner.h"

namespace wisemerge {
namespace {

constexpr char kJson[] = "ERR_SAFETENSORS_JSON";
constexpr char kDuplicate[] = "ERR_SAFETENSORS_DUPLICATE";
constexpr char kDType[] = "ERR_SAFETENSORS_DTYPE";
constexpr char kShape[] = "ERR_SAFETENSORS_SHAPE";
constexpr char kOffsets[] = "ERR_SAFETENSORS_OFFSETS";
constexpr char kMetadata[] = "ERR_SAFETENSORS_METADATA";

constexpr char kDamaged[] = "; the file is damaged or not a safetensors file: download or export it again";
constexpr char kExport[] = "; the file breaks the safetensors format: export it again";

// Dimensions and offsets reach JavaScript as numbers.
constexpr uint64_t kMaxInteger = (uint64_t{1} << 53) - 1;
// Far above any real file; they bound what a hostile header can make us allocate.
constexpr size_t kMaxRank = 64;
constexpr size_t kMaxExtraFields = 1024;
constexpr size_t kMaxMetadata = size_t{1} << 20;

std::string supported_dtypes() {
  std::string list;
  for (const DTypeInfo& info : kDTypes) list += (list.empty() ? "" : ", ") + std::string(info.name);
  return list;
}

std::string range(uint64_t begin, uint64_t end) {
  return std::string("[").append(std::to_string(begin)).append(", ").append(std::to_string(end)).append(")");
}

std::string shape_text(const uint64_t* dims, size_t rank) {
  std::string text = "[";
  for (size_t i = 0; i < rank; i++) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

std::string bytes_text(uint64_t bytes) { return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes"); }

// Reads the JSON into a SafetensorsHeader, tensors in order of appearance, each consistent in itself.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view json)
      : scanner_(json, {kJson, "the safetensors header", kDamaged + 2}) {
    if (json.empty() || json[0] != '{') scanner_.fail("the first byte must be '{'");
    // About a third of a usual header is names; untouched pages cost nothing.
    header_.names.reserve(json.size() / 2);
  }

  SafetensorsHeader read() {
    bool seen_metadata = false;
    scanner_.expect('{');
    if (!scanner_.accept('}')) {
      do {
        const std::string_view key = scanner_.string();
        if (key == "__metadata__") {
          if (seen_metadata) throw Error(kDuplicate, std::string("__metadata__ appears twice") + kExport);
          seen_metadata = true;
          scanner_.expect(':');
          read_metadata();
        } else {
          begin_tensor(key);
          scanner_.expect(':');
          read_tensor();
        }
      } while (scanner_.accept(','));
      scanner_.expect('}');
    }
    scanner_.finish();
    if (const auto twice = find_duplicate(header_.names, header_.name_ends)) {
      throw Error(kDuplicate, "two tensors are named " + quoted(header_.name(*twice)) + kExport);
    }
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(const char* code, const std::string& what, const char* hint = kExport) const {
    throw Error(code, "tensor " + quoted(header_.name(header_.name_ends.size() - 1)) + ": " + what + hint);
  }

  // For a value of the wrong kind; a syntax error inside it comes first.
  [[noreturn]] void fail_value(const char* code, const std::string& expected) {
    const std::string found(scanner_.skip_value());
    fail(code, expected + ", found " + printable(found));
  }

  void begin_tensor(std::string_view name) {
    if (name.find('\0') != std::string_view::npos) {
      throw Error(kJson, "tensor " + quoted(name) + ": a name may not hold a NUL character" + kExport);
    }
    header_.names += name;
    header_.name_ends.push_back(static_cast<uint32_t>(header_.names.size()));
  }

  void read_tensor() {
    if (scanner_.peek() != '{') fail_value(kJson, "expected an object with dtype, shape and data_offsets");
    scanner_.expect('{');
    bool dtype = false, shape = false, offsets = false;
    KeyList others;
    if (!scanner_.accept('}')) {
      do {
        const std::string_view key = scanner_.string();
        if (key == "dtype") {
          begin_field(dtype, "dtype");
          read_dtype();
        } else if (key == "shape") {
          begin_field(shape, "shape");
          read_shape();
        } else if (key == "data_offsets") {
          begin_field(offsets, "data_offsets");
          read_offsets();
        } else {
          if (others.ends.size() == kMaxExtraFields) fail(kJson, "more than 1024 unknown fields");
          others.push(key);
          scanner_.expect(':');
          scanner_.skip_value();
        }
      } while (scanner_.accept(','));
      scanner_.expect('}');
    }
    if (const auto twice = find_duplicate(others.bytes, others.ends)) {
      fail(kDuplicate, "the field " + quoted(key_at(others.bytes, others.ends, *twice)) + " appears twice");
    }
    if (!dtype) fail(kJson, "dtype is missing");
    if (!shape) fail(kJson, "shape is missing");
    if (!offsets) fail(kJson, "data_offsets is missing");
    check_size();
  }

  void begin_field(bool& seen, const char* name) {
    if (seen) fail(kDuplicate, std::string("the field ") + name + " appears twice");
    seen = true;
    scanner_.expect(':');
  }

  void read_dtype() {
    if (scanner_.peek() != '"') fail_value(kDType, "dtype must be a string");
    const std::string_view name = scanner_.string();
    // Neighbours mostly share their dtype.
    if (!header_.dtypes.empty() && name == dtype_info(header_.dtypes.back()).name) {
      header_.dtypes.push_back(header_.dtypes.back());
      return;
    }
    for (uint32_t i = 0; i < kDTypeCount; i++) {
      if (name == kDTypes[i].name) {
        header_.dtypes.push_back(static_cast<DType>(i));
        return;
      }
    }
    fail(kDType, "unknown dtype " + quoted(name) + "; supported: " + supported_dtypes(), "");
  }

  uint64_t read_integer(const char* code, const char* what) {
    const char first = scanner_.peek();
    if (first != '-' && (first < '0' || first > '9')) {
      fail_value(code, std::string(what) + " must be integers");
    }
    const JsonScanner::Number number = scanner_.number();
    if (!number.digits_only) {
      fail(code,
           std::string(what) + " must be integers >= 0 in plain digits, found " + printable(number.text));
    }
    if (number.value > kMaxInteger) {
      fail(code, std::string(what) + " must be below 2^53, found " + printable(number.text));
    }
    return number.value;
  }

  void read_shape() {
    if (scanner_.peek() != '[') fail_value(kShape, "shape must be an array of integers");
    scanner_.expect('[');
    const size_t first = header_.dims.size();
    if (!scanner_.accept(']')) {
      do {
        if (header_.dims.size() - first == kMaxRank) fail(kShape, "more than 64 dimensions");
        header_.dims.push_back(read_integer(kShape, "dimensions"));
      } while (scanner_.accept(','));
      scanner_.expect(']');
    }
    header_.dim_ends.push_back(static_cast<uint32_t>(header_.dims.size()));
  }

  void read_offsets() {
    constexpr char kPair[] = "data_offsets must be [begin, end]";
    if (scanner_.peek() != '[') fail_value(kOffsets, kPair);
    scanner_.expect('[');
    uint64_t pair[2];
    size_t count = 0;
    if (!scanner_.accept(']')) {
      do {
        const uint64_t value = read_integer(kOffsets, "data_offsets");
        if (count == 2) fail(kOffsets, std::string(kPair) + ", found more than two numbers");
        pair[count++] = value;
      } while (scanner_.accept(','));
      scanner_.expect(']');
    }
    if (count < 2) fail(kOffsets, std::string(kPair) + ", found " + std::to_string(count) + " of 2 numbers");
    header_.begins.push_back(pair[0]);
    header_.ends.push_back(pair[1]);
  }

  // The offsets must span what dtype and shape need.
  void check_size() const {
    const size_t last = header_.begins.size() - 1;
    const uint32_t first_dim = last ? header_.dim_ends[last - 1] : 0;
    const uint64_t* dims = header_.dims.data() + first_dim;
    const size_t rank = header_.dim_ends[last] - first_dim;
    const DTypeInfo& dtype = dtype_info(header_.dtypes[last]);
    const auto what = [&] { return std::string(dtype.name) + " " + shape_text(dims, rank); };

    uint64_t bits = 1;
    bool overflow = false;
    for (size_t i = 0; i < rank; i++) overflow |= __builtin_mul_overflow(bits, dims[i], &bits);
    overflow |= __builtin_mul_overflow(bits, uint64_t{dtype.bits}, &bits);
    if (overflow) fail(kShape, "the size of " + what() + " overflows 64 bits");
    if (bits % 8) fail(kShape, what() + " takes " + std::to_string(bits) + " bits, not whole bytes");

    const uint64_t begin = header_.begins[last], end = header_.ends[last];
    if (end < begin) fail(kOffsets, "data_offsets " + range(begin, end) + " end before they begin");
    if (end - begin != bits / 8) {
      fail(kOffsets, what() + " takes " + bytes_text(bits / 8) + ", but data_offsets " + range(begin, end) +
                         " hold " + bytes_text(end - begin));
    }
  }

  void read_metadata() {
    if (scanner_.peek() != '{') {
      const std::string found(scanner_.skip_value());
      throw Error(kMetadata,
                  "__metadata__ must be an object of strings, found " + printable(found) + kExport);
    }
    scanner_.expect('{');
    if (scanner_.accept('}')) return;
    KeyList keys;
    do {
      if (keys.ends.size() == kMaxMetadata) {
        throw Error(kMetadata, "__metadata__ has more than " + std::to_string(kMaxMetadata) + " entries");
      }
      std::string key(scanner_.string());
      keys.push(key);
      scanner_.expect(':');
      if (scanner_.peek() != '"') {
        const std::string found(scanner_.skip_value());
        throw Error(kMetadata,
                    "__metadata__ " + quoted(key) + " must be a string, found " + printable(found) + kExport);
      }
      header_.metadata.emplace_back(std::move(key), scanner_.string());
    } while (scanner_.accept(','));
    scanner_.expect('}');
    if (const auto twice = find_duplicate(keys.bytes, keys.ends)) {
      throw Error(kDuplicate,
                  "__metadata__ holds " + quoted(header_.metadata[*twice].first) + " twice" + kExport);
    }
  }

  JsonScanner scanner_;
  SafetensorsHeader header_;
};

// Tensors in ascending order of (begin, end), ties in order of appearance.
SafetensorsHeader sorted_by_offset(SafetensorsHeader&& header) {
  struct Entry {
    uint64_t begin, end;
    uint32_t index;
    auto operator<=>(const Entry&) const = default;
  };
  std::vector<Entry> order(header.size());
  for (uint32_t i = 0; i < order.size(); i++) order[i] = {header.begins[i], header.ends[i], i};
  if (std::is_sorted(order.begin(), order.end())) return std::move(header);
  std::sort(order.begin(), order.end());

  SafetensorsHeader sorted;
  sorted.metadata = std::move(header.metadata);
  sorted.names.reserve(header.names.size());
  sorted.dims.reserve(header.dims.size());
  for (const Entry& entry : order) {
    const uint32_t i = entry.index;
    sorted.names += header.name(i);
    sorted.name_ends.push_back(static_cast<uint32_t>(sorted.names.size()));
    const uint32_t first_dim = i ? header.dim_ends[i - 1] : 0;
    sorted.dims.insert(sorted.dims.end(), header.dims.begin() + first_dim,
                       header.dims.begin() + header.dim_ends[i]);
    sorted.dim_ends.push_back(static_cast<uint32_t>(sorted.dims.size()));
    sorted.dtypes.push_back(header.dtypes[i]);
    sorted.begins.push_back(entry.begin);
    sorted.ends.push_back(entry.end);
  }
  return sorted;
}

// The tensors, in order, must cover the byte buffer exactly: no hole, overlap, alias or rest.
void check_layout(const SafetensorsHeader& header, uint64_t data_bytes) {
  uint64_t at = 0;
  for (size_t i = 0; i < header.size(); i++) {
    const uint64_t begin = header.begins[i], end = header.ends[i];
    const auto place = [&](size_t k) {
      return "tensor " + quoted(header.name(k)) + " at " + range(header.begins[k], header.ends[k]);
    };
    if (begin > at) {
      throw Error(kOffsets,
                  place(i) + " leaves a hole of " + bytes_text(begin - at) + " before it" + kExport);
    }
    if (begin < at) {  // so i > 0, and begin >= begins[i - 1]
      const bool alias = begin == header.begins[i - 1] && end == header.ends[i - 1];
      throw Error(kOffsets, place(i) + (alias ? " shares the bytes of " : " overlaps ") + place(i - 1) +
                                (alias ? "; store shared tensors once: export it with save_model" : kExport));
    }
    at = end;
  }
  if (at > data_bytes) {
    throw Error(kOffsets, "the file is too short by " + bytes_text(at - data_bytes) + ": the tensors take " +
                              std::to_string(at) + ", the data has " + std::to_string(data_bytes) +
                              "; the file is truncated: download it again");
  }
  if (at < data_bytes) {
    throw Error(kOffsets, bytes_text(data_bytes - at) + " trailing: the tensors take " + std::to_string(at) +
                              ", the data has " + std::to_string(data_bytes) + kDamaged);
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes) {
  // Positions in names and dims are 32 bits wide; both are shorter than the JSON they come from.
  if (json.size() > UINT32_MAX) {
    throw Error("ERR_SAFETENSORS_HEADER_SIZE",
                "the safetensors header has " + bytes_text(json.size()) + ", at most 4294967295 can be read");
  }
  SafetensorsHeader header = sorted_by_offset(HeaderReader(json).read());
  check_layout(header, data_bytes);
  return header;
}

}  // namespace wisemerge
