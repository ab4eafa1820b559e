#include "core/torch_state_dict.h"

#include "core/duplicate_keys.h"
#include "core/json_scanner.h"

namespace wisemerge {
namespace {

constexpr std::string_view kWrappers[] = {"state_dict", "model_state_dict", "model", "module"};

constexpr int kMaxDepth = 32;
// Containers that are shared are visited once per path to them: 2^n times for n nested pairs.
constexpr size_t kMaxVisits = size_t{1} << 24;
constexpr size_t kMaxTensors = size_t{1} << 22;
constexpr size_t kMaxNameBytes = size_t{256} << 20;

[[noreturn]] void refuse(const std::string& what) {
  throw Error("ERR_TORCH_STATE", what + "; save the state dict alone: torch.save(model.state_dict(), path)");
}

bool is_container(const PickleValue& value) {
  return value.kind == PickleValue::kDict || value.kind == PickleValue::kList ||
         value.kind == PickleValue::kTuple || value.kind == PickleValue::kSet;
}

class Walk {
 public:
  explicit Walk(const TorchUnpickler& pickle) : pickle_(pickle) {}

  // Tensors at or below `value`.
  size_t count(const PickleValue& value) {
    size_t tensors = 0;
    visit(value, 0, [&](const PickleValue&) { tensors++; });
    return tensors;
  }

  void name_all(const PickleValue& dict, TorchStateDict& into) {
    visit(dict, 0, [&](const PickleValue& tensor) {
      name_bytes_ += name_.size();
      if (name_bytes_ > kMaxNameBytes) refuse("the names of its tensors take more than 256 MiB");
      if (into.tensors.size() == kMaxTensors) refuse("the file names too many tensors");
      into.tensors.emplace_back(name_, tensor.index);
    });
  }

  std::string key(const PickleValue& value) const {
    if (value.kind == PickleValue::kString) return std::string(pickle_.string(value));
    if (value.kind == PickleValue::kInt) return std::to_string(value.number);
    refuse("a dictionary of tensors has a key that is neither text nor a whole number");
  }

 private:
  // Depth first, in order; `name_` is the path to the tensor that `found` gets.
  template <class Found>
  void visit(const PickleValue& value, int depth, const Found& found) {
    if (++visits_ > kMaxVisits) refuse("its containers refer to each other too often");
    if (value.kind == PickleValue::kTensor) return found(value);
    if (!is_container(value)) return;
    if (depth == kMaxDepth) refuse("its containers nest deeper than " + std::to_string(kMaxDepth));
    const std::vector<PickleValue>& items = pickle_.items(value);
    const bool pairs = value.kind == PickleValue::kDict;
    const size_t length = name_.size();
    for (size_t i = 0; i < items.size(); i += pairs ? 2 : 1) {
      const PickleValue& item = pairs ? items[i + 1] : items[i];
      if (item.kind != PickleValue::kTensor && !is_container(item)) continue;
      if (depth > 0) name_ += '.';
      // Keys of other dictionaries (a schedule by epoch, say) may be of any kind: tensors decide.
      const bool named =
          !pairs || items[i].kind == PickleValue::kString || items[i].kind == PickleValue::kInt;
      if (named || item.kind == PickleValue::kTensor) name_ += pairs ? key(items[i]) : std::to_string(i);
      visit(item, depth + 1, found);
      name_.resize(length);
    }
  }

  const TorchUnpickler& pickle_;
  std::string name_;
  size_t visits_ = 0;
  size_t name_bytes_ = 0;
};

bool holds_tensor_itself(const TorchUnpickler& pickle, const PickleValue& dict) {
  const std::vector<PickleValue>& items = pickle.items(dict);
  for (size_t i = 1; i < items.size(); i += 2) {
    if (items[i].kind == PickleValue::kTensor) return true;
  }
  return false;
}

// Position of the wrapper's value among the items, or 0.
size_t find_wrapper(const TorchUnpickler& pickle, Walk& walk, const std::vector<PickleValue>& items) {
  for (const std::string_view wrapper : kWrappers) {
    for (size_t i = 0; i < items.size(); i += 2) {
      const bool match = items[i].kind == PickleValue::kString && pickle.string(items[i]) == wrapper;
      if (match && items[i + 1].kind == PickleValue::kDict && walk.count(items[i + 1])) return i + 1;
    }
  }
  return 0;
}

}  // namespace

TorchStateDict find_state_dict(const TorchUnpickler& pickle, const PickleValue& root) {
  if (root.kind != PickleValue::kDict) refuse("the file holds something else than a dictionary of tensors");
  TorchStateDict result;
  Walk walk(pickle);
  PickleValue dict = root;
  for (int depth = 0; depth < kMaxDepth && !holds_tensor_itself(pickle, dict); depth++) {
    const std::vector<PickleValue>& items = pickle.items(dict);
    const size_t chosen = find_wrapper(pickle, walk, items);
    if (chosen == 0) break;
    for (size_t i = 1; i < items.size(); i += 2) {
      const size_t tensors = i == chosen ? 0 : walk.count(items[i]);
      if (tensors == 0) continue;
      result.notes.push_back("the model is " + quoted(walk.key(items[chosen - 1])) + "; left out: " +
                             quoted(walk.key(items[i - 1])) + " (" + std::to_string(tensors) + " tensors)");
    }
    dict = items[chosen];
  }
  walk.name_all(dict, result);
  if (result.tensors.empty()) refuse("the file holds no tensor");

  KeyList names;
  for (const auto& [name, tensor] : result.tensors) {
    if (name.find('\0') != std::string::npos || !is_utf8(name)) {
      refuse("the name " + quoted(name) + " of a tensor is not text");
    }
    names.push(name);
  }
  if (const auto twice = find_duplicate(names.bytes, names.ends)) {
    refuse("two tensors are named " + quoted(result.tensors[*twice].first));
  }
  return result;
}

}  // namespace wisemerge
