// Which tensors of a pickle are a model's, and their names.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/torch_unpickler.h"
#include "wisemerge/backend.h"

namespace wisemerge {

struct TorchStateDict {
  std::vector<std::pair<std::string, uint32_t>> tensors;  // name, index in TorchUnpickler::tensors()
  std::vector<std::string> notes;                         // what was chosen and what was left out
};

// The rule: the root is a dictionary. While it holds no tensor itself and has one of the keys state_dict,
// model_state_dict, model, module (in this order) with a dictionary that holds tensors, that dictionary takes
// its place, and what stood beside it is left out with a note. Dictionaries, lists and tuples that remain
// give their tensors names joined by dots. Values that hold no tensor are ignored.
//
// Throws Error ERR_TORCH_STATE: the root is no dictionary, there is no tensor, two have one name, a key is
// neither text nor a whole number, or the nesting is too deep or too wide. ERR_ABORTED.
TorchStateDict find_state_dict(const TorchUnpickler& pickle, const PickleValue& root,
                               WmCancelFlag cancelled = nullptr);

}  // namespace wisemerge
