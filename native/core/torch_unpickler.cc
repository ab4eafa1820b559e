#include "core/torch_unpickler.h"

#include <optional>

#include "core/json_scanner.h"

namespace wisemerge {
namespace {

enum Role : uint32_t {
  kOrderedDict,
  kEmptySet,
  kRebuildTensor,       // torch._utils._rebuild_tensor and _v2: the storage says the dtype
  kRebuildTensorDtype,  // _v3: an argument does
  kFirstArgument,       // gives its first argument back
  kIgnored,             // a value that no tensor needs
  kStorageType,         // PickleValue::number is the dtype, or kBytes
  kDtype,
};
constexpr int64_t kBytes = -1;

struct Named {
  std::string_view module, name;
  Role role;
  int64_t dtype = 0;
};

constexpr int64_t of(DType dtype) { return static_cast<int64_t>(dtype); }

// What torch.save writes for dictionaries of tensors. Python 2's names of a module are what protocol 2 uses.
constexpr Named kAllowed[] = {
    {"collections", "OrderedDict", kOrderedDict},
    {"collections", "Counter", kOrderedDict},
    {"__builtin__", "set", kEmptySet},
    {"builtins", "set", kEmptySet},
    {"_codecs", "encode", kIgnored},  // bytes under protocol 2
    {"torch", "device", kIgnored},
    {"torch", "Size", kFirstArgument},
    {"torch._utils", "_rebuild_tensor", kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v2", kRebuildTensor},
    {"torch._utils", "_rebuild_tensor_v3", kRebuildTensorDtype},
    {"torch._utils", "_rebuild_parameter", kFirstArgument},
    {"torch._utils", "_rebuild_parameter_with_state", kFirstArgument},
    {"torch", "DoubleStorage", kStorageType, of(DType::kF64)},
    {"torch", "FloatStorage", kStorageType, of(DType::kF32)},
    {"torch", "HalfStorage", kStorageType, of(DType::kF16)},
    {"torch", "BFloat16Storage", kStorageType, of(DType::kBF16)},
    {"torch", "LongStorage", kStorageType, of(DType::kI64)},
    {"torch", "IntStorage", kStorageType, of(DType::kI32)},
    {"torch", "ShortStorage", kStorageType, of(DType::kI16)},
    {"torch", "CharStorage", kStorageType, of(DType::kI8)},
    {"torch", "ByteStorage", kStorageType, of(DType::kU8)},
    {"torch", "BoolStorage", kStorageType, of(DType::kBool)},
    {"torch", "ComplexFloatStorage", kStorageType, of(DType::kC64)},
    {"torch", "UntypedStorage", kStorageType, kBytes},
    {"torch.storage", "UntypedStorage", kStorageType, kBytes},
    {"torch", "float64", kDtype, of(DType::kF64)},
    {"torch", "float32", kDtype, of(DType::kF32)},
    {"torch", "float16", kDtype, of(DType::kF16)},
    {"torch", "bfloat16", kDtype, of(DType::kBF16)},
    {"torch", "float8_e4m3fn", kDtype, of(DType::kF8E4M3)},
    {"torch", "float8_e5m2", kDtype, of(DType::kF8E5M2)},
    {"torch", "float8_e4m3fnuz", kDtype, of(DType::kF8E4M3FNUZ)},
    {"torch", "float8_e5m2fnuz", kDtype, of(DType::kF8E5M2FNUZ)},
    {"torch", "float8_e8m0fnu", kDtype, of(DType::kF8E8M0)},
    {"torch", "int64", kDtype, of(DType::kI64)},
    {"torch", "int32", kDtype, of(DType::kI32)},
    {"torch", "int16", kDtype, of(DType::kI16)},
    {"torch", "int8", kDtype, of(DType::kI8)},
    {"torch", "uint64", kDtype, of(DType::kU64)},
    {"torch", "uint32", kDtype, of(DType::kU32)},
    {"torch", "uint16", kDtype, of(DType::kU16)},
    {"torch", "uint8", kDtype, of(DType::kU8)},
    {"torch", "bool", kDtype, of(DType::kBool)},
    {"torch", "complex64", kDtype, of(DType::kC64)},
};

constexpr size_t kMaxRank = 64;
constexpr size_t kMaxTensors = size_t{1} << 22;  // and storages
constexpr size_t kMaxNumbers = size_t{1} << 25;  // of all shapes and strides

}  // namespace

PickleValue TorchUnpickler::find_global(std::string_view module, std::string_view name) {
  for (const Named& one : kAllowed) {
    if (one.module == module && one.name == name) return {PickleValue::kGlobal, one.role, one.dtype};
  }
  std::string full(module);
  full.append(".").append(name);
  throw Error(
      "ERR_PICKLE_GLOBAL",
      "the pickle uses " + quoted(full) +
          ", which a checkpoint of plain tensors does not need; nothing of it was run; if you trust the "
          "file, load it in PyTorch and save its tensors alone: torch.save(model.state_dict(), path)");
}

PickleValue TorchUnpickler::reduce(const PickleValue& callable, const PickleValue& arguments) {
  const std::vector<PickleValue>& given = items(arguments);
  switch (callable.index) {
    case kOrderedDict:
      return ordered_dict(given);
    case kEmptySet:
      return container(PickleValue::kSet, {});
    case kRebuildTensor:
      return rebuild_tensor(given, false);
    case kRebuildTensorDtype:
      return rebuild_tensor(given, true);
    case kFirstArgument:
      if (given.empty()) fail("an argument is missing");
      return given[0];
    case kIgnored:
      return {PickleValue::kOpaque};
    default:
      fail("a type of storage or number is called");
  }
}

// OrderedDict(), or OrderedDict([[key, value], …]) as Python 2 wrote it.
PickleValue TorchUnpickler::ordered_dict(const std::vector<PickleValue>& given) {
  std::vector<PickleValue> pairs;
  if (given.size() > 1) fail("an OrderedDict has several arguments");
  if (given.size() == 1) {
    if (given[0].kind == PickleValue::kDict) return container(PickleValue::kDict, items(given[0]));
    if (given[0].kind != PickleValue::kList) fail("an OrderedDict is not made from a list");
    for (const PickleValue& pair : items(given[0])) {
      const bool is_pair = pair.kind == PickleValue::kList || pair.kind == PickleValue::kTuple;
      if (!is_pair || items(pair).size() != 2) fail("an OrderedDict is not made from pairs");
      pairs.insert(pairs.end(), items(pair).begin(), items(pair).end());
    }
  }
  return container(PickleValue::kDict, std::move(pairs));
}

// State set on a dictionary: `_metadata`, the versions of a model's modules.
void TorchUnpickler::build(const PickleValue& object, const PickleValue&) {
  if (object.kind != PickleValue::kDict && object.kind != PickleValue::kTensor) {
    fail("state is set on what has none");
  }
}

// ("storage", type, key, location, count of elements). The location is where it was, not where it is wanted.
PickleValue TorchUnpickler::persistent(const PickleValue& id) {
  if (id.kind != PickleValue::kTuple || items(id).size() < 5)
    fail("a persistent id is not that of a storage");
  const std::vector<PickleValue>& parts = items(id);
  if (parts[0].kind != PickleValue::kString || string(parts[0]) != "storage") {
    fail("a persistent id is not that of a storage");
  }
  if (parts[1].kind != PickleValue::kGlobal || parts[1].index != kStorageType) {
    fail("a storage has no type of storage");
  }
  if (parts[2].kind != PickleValue::kString) fail("the key of a storage is not text");
  if (storages_.size() == kMaxTensors) fail("it has more than " + std::to_string(kMaxTensors) + " storages");
  const bool typed = parts[1].number != kBytes;
  const DType dtype = typed ? static_cast<DType>(parts[1].number) : DType::kU8;
  storages_.push_back({string(parts[2]), typed, dtype, whole(parts[4], "the size of a storage")});
  return {PickleValue::kStorage, static_cast<uint32_t>(storages_.size() - 1)};
}

// (storage, offset, shape, strides, requires_grad, hooks[, dtype of v3][, metadata]).
PickleValue TorchUnpickler::rebuild_tensor(const std::vector<PickleValue>& given, bool says_dtype) {
  if (given.size() < (says_dtype ? 7 : 4)) fail("a tensor lacks arguments");
  if (given[0].kind != PickleValue::kStorage) fail("a tensor has no storage");
  if (tensors_.size() == kMaxTensors) fail("it has more than " + std::to_string(kMaxTensors) + " tensors");
  const TorchStorage& storage = storages_[given[0].index];
  TorchTensor tensor{given[0].index, storage.dtype, whole(given[1], "the offset of a tensor"),
                     whole_list(given[2], "the shape of a tensor"),
                     whole_list(given[3], "the strides of a tensor")};
  if (says_dtype) {
    if (given[6].kind != PickleValue::kGlobal || given[6].index != kDtype) fail("a tensor has no dtype");
    tensor.dtype = static_cast<DType>(given[6].number);
  } else if (!storage.typed) {
    fail("a tensor has no dtype");
  }
  numbers_ += tensor.shape.size() + tensor.strides.size();
  if (numbers_ > kMaxNumbers) fail("its shapes have more than " + std::to_string(kMaxNumbers) + " numbers");
  if (tensor.shape.size() != tensor.strides.size()) fail("a tensor has not as many strides as dimensions");
  // Views that are negated or conjugated when they are read are marked here.
  const size_t metadata = says_dtype ? 7 : 6;
  if (given.size() > metadata && given[metadata].kind == PickleValue::kDict) {
    const std::vector<PickleValue>& marks = items(given[metadata]);
    for (size_t i = 1; i < marks.size(); i += 2) {
      if (marks[i].kind == PickleValue::kBool && marks[i].number == 0) continue;
      const std::string name(marks[i - 1].kind == PickleValue::kString ? string(marks[i - 1]) : "?");
      fail("a tensor has the property " + quoted(name) +
           " that is not supported (call .resolve_conj() and "
           ".resolve_neg() before saving)");
    }
  }
  tensors_.push_back(std::move(tensor));
  return {PickleValue::kTensor, static_cast<uint32_t>(tensors_.size() - 1)};
}

uint64_t TorchUnpickler::whole(const PickleValue& value, const char* what) const {
  if (value.kind != PickleValue::kInt || value.number < 0) {
    fail(std::string(what) + " is not a whole number");
  }
  return static_cast<uint64_t>(value.number);
}

std::vector<uint64_t> TorchUnpickler::whole_list(const PickleValue& value, const char* what) const {
  if (value.kind != PickleValue::kTuple && value.kind != PickleValue::kList) {
    fail(std::string(what) + " is not a tuple");
  }
  if (items(value).size() > kMaxRank) fail(std::string(what) + " has more than 64 dimensions");
  std::vector<uint64_t> list;
  for (const PickleValue& item : items(value)) list.push_back(whole(item, what));
  return list;
}

}  // namespace wisemerge
