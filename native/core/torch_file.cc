#include "core/torch_file.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "core/cancellation.h"
#include "core/duplicate_keys.h"
#include "core/json_scanner.h"
#include "core/torch_state_dict.h"
#include "core/torch_unpickler.h"
#include "core/zip_directory.h"

namespace wisemerge {
namespace {

// Versions of the archive that PyTorch itself reads.
constexpr int kMinVersion = 1, kMaxVersion = 10;
constexpr uint64_t kMaxInteger = (uint64_t{1} << 53) - 1;  // dimensions reach JavaScript as numbers
constexpr size_t kMaxDims = size_t{1} << 25;               // of all tensors
constexpr char kSaveAgain[] = "torch.save(torch.load(path, weights_only=True), path) of PyTorch 1.6 or later";

[[noreturn]] void refuse(const std::string& what, const std::string& fix) {
  throw Error("ERR_TORCH_FILE", what + "; " + fix);
}

// What a file that is no ZIP archive is instead.
[[noreturn]] void refuse_other(ByteSource& file) {
  // protocol 2, the integer 0x1950a86a20f9469cfc6c: how torch.save began before 1.6.
  constexpr char kLegacy[] = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
  constexpr std::string_view kLfs = "version https://git-lfs";
  char start[512] = {};
  file.read(0, start, static_cast<size_t>(std::min<uint64_t>(file.size(), sizeof start)));
  if (std::memcmp(start, kLegacy, sizeof kLegacy - 1) == 0) {
    refuse("it is of the format of PyTorch before 1.6", std::string("convert it with ") + kSaveAgain);
  }
  if (std::memcmp(start + 257, "ustar", 5) == 0) {
    refuse("it is a tar archive, as PyTorch wrote before 0.1.10",
           std::string("convert it with ") + kSaveAgain);
  }
  if (std::string_view(start, sizeof start).starts_with(kLfs)) {
    refuse("it is a pointer of Git LFS, not the file itself", "fetch the file with: git lfs pull");
  }
  refuse("it is not a checkpoint of torch.save", "give a file of torch.save, or save it as safetensors");
}

// The archive's entries by their name below the one directory that holds them all.
class Archive {
 public:
  Archive(ByteSource& file, const ZipDirectory& zip) : file_(file) {
    if (zip.entries.empty()) refuse("its ZIP archive is empty", "save the checkpoint again");
    const std::string& first = zip.entries[0].name;
    root_ = first.substr(0, first.find('/') + 1);
    for (const ZipEntry& entry : zip.entries) {
      if (root_.empty() || !entry.name.starts_with(root_)) {
        refuse("entry " + quoted(entry.name) + " lies outside the one directory of a checkpoint",
               "give a file of torch.save");
      }
      entries_.emplace(std::string_view(entry.name).substr(root_.size()), &entry);
    }
  }

  const ZipEntry* find(const std::string& name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : found->second;
  }

  // A short text without the white space around it; "" if there is no such entry.
  std::string text(const std::string& name) const {
    const ZipEntry* entry = find(name);
    if (!entry) return "";
    if (entry->bytes > 64) refuse("entry " + quoted(name) + " is too long", "save the checkpoint again");
    std::string text = bytes(*entry);
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    return text;
  }

  std::string bytes(const ZipEntry& entry) const {
    std::string bytes(static_cast<size_t>(entry.bytes), '\0');
    file_.read(entry.data_at, bytes.data(), bytes.size());
    return bytes;
  }

 private:
  ByteSource& file_;
  std::string root_;
  std::unordered_map<std::string_view, const ZipEntry*, KeyHash> entries_;
};

std::string read_pickle(const Archive& archive) {
  const ZipEntry* pickle = archive.find("data.pkl");
  if (archive.find("constants.pkl")) {
    refuse("it is a TorchScript program",
           "save its tensors alone: torch.save(torch.jit.load(path).state_dict(), out)");
  }
  if (!pickle) refuse("it has no data.pkl", "give a file of torch.save");
  const std::string order = archive.text("byteorder");
  if (!order.empty() && order != "little") {
    refuse("its numbers are stored in the byte order " + quoted(order), "save it on a little-endian machine");
  }
  const std::string version = archive.text("version");
  const bool digits =
      !version.empty() && version.size() <= 2 && version.find_first_not_of("0123456789") == std::string::npos;
  const int number = digits ? std::stoi(version) : 0;
  if (number < kMinVersion || number > kMaxVersion) {
    refuse("its version is " + quoted(version) + ", not " + std::to_string(kMinVersion) + " to " +
               std::to_string(kMaxVersion),
           std::string("convert it with ") + kSaveAgain);
  }
  if (pickle->bytes > PickleMachine::kMaxBytes) {
    throw Error("ERR_PICKLE", "the pickle has " + std::to_string(pickle->bytes) +
                                  " bytes, above the limit of " + std::to_string(PickleMachine::kMaxBytes) +
                                  "; spread the tensors over more files");
  }
  return archive.bytes(*pickle);
}

std::string list_text(const std::vector<uint64_t>& numbers) {
  std::string text = "[";
  for (size_t i = 0; i < numbers.size(); i++) text += (i ? ", " : "") + std::to_string(numbers[i]);
  return text + "]";
}

struct Placed {
  uint64_t begin, end;  // in the file
  uint32_t index;       // among the state dict's tensors
};

// Where the tensor's elements lie; they must lie one after another in the order of its shape.
Placed place(const TorchUnpickler& pickle, const Archive& archive, const std::string& name,
             uint32_t tensor_index) {
  const TorchTensor& tensor = pickle.tensors()[tensor_index];
  const TorchStorage& storage = pickle.storages()[tensor.storage];
  const auto refuse_tensor = [&](const std::string& what, const char* fix) {
    throw Error("ERR_TORCH_TENSOR", "tensor " + quoted(name) + ": " + what + "; " + fix);
  };
  constexpr char kDamaged[] = "the file is damaged: download or save it again";
  const uint64_t item = item_size(tensor.dtype);
  uint64_t count = 1, bytes = 0, storage_bytes = 0;
  bool overflow = false, empty = false, too_large = false;
  for (const uint64_t dim : tensor.shape) {
    empty |= dim == 0;
    too_large |= dim > kMaxInteger;
    overflow |= __builtin_mul_overflow(count, dim, &count);
  }
  if (empty) count = 0, overflow = false;
  overflow |= __builtin_mul_overflow(count, item, &bytes);
  overflow |=
      __builtin_mul_overflow(storage.count, storage.typed ? item_size(storage.dtype) : 1, &storage_bytes);
  if (overflow || too_large)
    refuse_tensor("the size of shape " + list_text(tensor.shape) + " overflows 64 bits", kDamaged);

  // Strides of dimensions of one element do not matter, nor do those of an empty tensor.
  uint64_t stride = 1;
  for (size_t i = tensor.shape.size(); i-- > 0 && count > 0; stride *= tensor.shape[i]) {
    if (tensor.shape[i] == 1 || tensor.strides[i] == stride) continue;
    refuse_tensor("its elements do not lie in the order of its shape " + list_text(tensor.shape) +
                      " (strides " + list_text(tensor.strides) + ")",
                  "save it after .contiguous()");
  }

  const std::string entry_name = "data/" + std::string(storage.key);
  const ZipEntry* entry = archive.find(entry_name);
  if (!entry) refuse_tensor("its storage " + quoted(entry_name) + " is not in the file", kDamaged);
  if (entry->bytes != storage_bytes) {
    refuse_tensor("its storage " + quoted(entry_name) + " has " + std::to_string(entry->bytes) +
                      " bytes; the pickle says " + std::to_string(storage_bytes),
                  kDamaged);
  }
  uint64_t from = 0;
  overflow = __builtin_mul_overflow(tensor.offset, item, &from);
  if (overflow || from > entry->bytes || bytes > entry->bytes - from) {
    // An empty tensor may point anywhere.
    if (count == 0) return {entry->data_at, entry->data_at, 0};
    refuse_tensor("it reaches beyond its storage of " + std::to_string(entry->bytes) + " bytes", kDamaged);
  }
  return {entry->data_at + from, entry->data_at + from + bytes, 0};
}

}  // namespace

TorchFile read_torch_file(ByteSource& file, WmCancelFlag cancelled) {
  if (!looks_like_zip(file)) refuse_other(file);
  ZipDirectory zip = read_zip_directory(file, cancelled);
  const Archive archive(file, zip);
  std::string pickle_bytes = read_pickle(archive);

  TorchUnpickler pickle(pickle_bytes);
  const PickleValue root = pickle.run(cancelled);
  TorchStateDict state = find_state_dict(pickle, root, cancelled);

  std::vector<Placed> order;
  order.reserve(state.tensors.size());
  for (const auto& [name, tensor] : state.tensors) {
    throw_if_raised(cancelled, "reading a checkpoint");
    order.push_back(place(pickle, archive, name, tensor));
    order.back().index = static_cast<uint32_t>(order.size() - 1);
  }
  std::sort(order.begin(), order.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.begin, a.index) < std::pair(b.begin, b.index);
  });

  TorchFile result;
  SafetensorsHeader& header = result.header;
  for (const Placed& placed : order) {
    const auto& [name, index] = state.tensors[placed.index];
    const TorchTensor& tensor = pickle.tensors()[index];
    if (header.dims.size() + tensor.shape.size() > kMaxDims) {
      throw Error("ERR_TORCH_STATE", "the shapes of its tensors have more than " + std::to_string(kMaxDims) +
                                         " dimensions; spread the tensors over more files");
    }
    header.names += name;
    header.name_ends.push_back(static_cast<uint32_t>(header.names.size()));
    header.dtypes.push_back(tensor.dtype);
    header.dims.insert(header.dims.end(), tensor.shape.begin(), tensor.shape.end());
    header.dim_ends.push_back(static_cast<uint32_t>(header.dims.size()));
    header.begins.push_back(placed.begin);
    header.ends.push_back(placed.end);
  }
  result.notes = std::move(state.notes);
  result.identity = std::move(zip.directory);
  result.identity += pickle_bytes;
  return result;
}

}  // namespace wisemerge
