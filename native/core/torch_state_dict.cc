#include "core/torch_state_dict.h"

#include <algorithm>

#include "core/cancellation.h"
#include "core/duplicate_keys.h"
#include "core/json_scanner.h"

namespace wisemerge {
namespace {

constexpr std::string_view kWrappers[] = {"state_dict", "model_state_dict", "model", "module"};

constexpr int kMaxDepth = 32;
// Of items, whatever they are. Containers that are shared are visited once per path to them: 2^n times for n
// nested pairs. What a plain state dict holds is visited some three times.
constexpr size_t kMaxVisits = size_t{1} << 25;
constexpr size_t kMaxTensors = size_t{1} << 22;
constexpr size_t kMaxNameBytes = size_t{256} << 20;  // copied for names and for notes about them

[[noreturn]] void refuse(const std::string& what) {
  throw Error("ERR_TORCH_STATE", what + "; save the state dict alone: torch.save(model.state_dict(), path)");
}

bool is_container(const PickleValue& value) {
  return value.kind == PickleValue::kDict || value.kind == PickleValue::kList ||
         value.kind == PickleValue::kTuple || value.kind == PickleValue::kSet;
}

class Walk {
 public:
  Walk(const TorchUnpickler& pickle, WmCancelFlag cancelled) : pickle_(pickle), cancelled_(cancelled) {}

  // Tensors at or below `value`.
  size_t count(const PickleValue& value) {
    size_t tensors = 0;
    visit(value, 0, [&](const PickleValue&, int) { tensors++; });
    return tensors;
  }

  void name_all(const PickleValue& dict, TorchStateDict& into) {
    visit(dict, 0, [&](const PickleValue& tensor, int depth) {
      if (into.tensors.size() == kMaxTensors) refuse("the file names too many tensors");
      name_path(depth);
      charge(name_.size());
      into.tensors.emplace_back(name_, tensor.index);
    });
  }

  std::string key(const PickleValue& value) {
    if (value.kind == PickleValue::kInt) return std::to_string(value.number);
    if (value.kind != PickleValue::kString) {
      refuse("a dictionary of tensors has a key that is neither text nor a whole number");
    }
    charge(pickle_.string(value).size());
    return std::string(pickle_.string(value));
  }

  void note(std::string text, TorchStateDict& into) {
    charge(text.size());
    into.notes.push_back(std::move(text));
  }

 private:
  // Item `at` of a container, or pair `at`, `at` + 1 of a dictionary.
  struct Step {
    const std::vector<PickleValue>* items;
    size_t at;
    bool pair;
  };

  // Depth first, in order; the first `depth` steps of path_ lead to the tensor that `found` gets.
  template <class Found>
  void visit(const PickleValue& value, int depth, const Found& found) {
    if (value.kind == PickleValue::kTensor) return found(value, depth);
    if (!is_container(value)) return;
    if (depth == kMaxDepth) refuse("its containers nest deeper than " + std::to_string(kMaxDepth));
    const std::vector<PickleValue>& items = pickle_.items(value);
    const bool pairs = value.kind == PickleValue::kDict;
    for (size_t i = 0; i < items.size(); i += pairs ? 2 : 1) {
      if (++visits_ > kMaxVisits) refuse("its containers refer to each other too often");
      if (visits_ % 4096 == 0) throw_if_raised(cancelled_, "reading a checkpoint");
      path_[depth] = {&items, i, pairs};
      named_ = std::min(named_, depth);
      visit(pairs ? items[i + 1] : items[i], depth + 1, found);
    }
  }

  // Makes name_ that of the path's first `depth` steps.
  void name_path(int depth) {
    name_.resize(lengths_[named_]);
    for (; named_ < depth; named_++) {
      if (named_ > 0) append(".");
      const auto& [items, at, pair] = path_[named_];
      const PickleValue& value = (*items)[at];
      // Keys of other dictionaries (a schedule by epoch, say) may be of any kind: tensors decide.
      const bool named = value.kind == PickleValue::kString || value.kind == PickleValue::kInt;
      if (!pair) {
        append(std::to_string(at));
      } else if (named || named_ + 1 == depth) {
        append(key(value));
      }
      lengths_[named_ + 1] = name_.size();
    }
  }

  void append(std::string_view part) {
    charge(part.size());
    name_ += part;
  }

  void charge(size_t bytes) {
    name_bytes_ += bytes;
    if (name_bytes_ > kMaxNameBytes) refuse("the names of its tensors take more than 256 MiB");
  }

  const TorchUnpickler& pickle_;
  const WmCancelFlag cancelled_;
  Step path_[kMaxDepth];
  // Names are made of tensors alone, each from where its path leaves that of the one before.
  std::string name_;
  int named_ = 0;                       // steps of the path that name_ has
  size_t lengths_[kMaxDepth + 1] = {};  // of name_ after as many steps
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

TorchStateDict find_state_dict(const TorchUnpickler& pickle, const PickleValue& root,
                               WmCancelFlag cancelled) {
  if (root.kind != PickleValue::kDict) refuse("the file holds something else than a dictionary of tensors");
  TorchStateDict result;
  Walk walk(pickle, cancelled);
  PickleValue dict = root;
  for (int depth = 0; depth < kMaxDepth && !holds_tensor_itself(pickle, dict); depth++) {
    const std::vector<PickleValue>& items = pickle.items(dict);
    const size_t chosen = find_wrapper(pickle, walk, items);
    if (chosen == 0) break;
    for (size_t i = 1; i < items.size(); i += 2) {
      const size_t tensors = i == chosen ? 0 : walk.count(items[i]);
      if (tensors == 0) continue;
      walk.note("the model is " + quoted(walk.key(items[chosen - 1])) + "; left out: " +
                    quoted(walk.key(items[i - 1])) + " (" + std::to_string(tensors) + " tensors)",
                result);
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
