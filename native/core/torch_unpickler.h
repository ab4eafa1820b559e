// The pickle of a file of torch.save, as data: which names it may use, and the tensors it describes.
//
// A name that is not on the list (a class of the user's own, os.system) is an error that names it. Nothing is
// ever called: the few functions on the list are known by what they would give.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/pickle_machine.h"
#include "wisemerge/dtype.h"

namespace wisemerge {

// A storage of the file: `count` elements under the entry data/KEY.
struct TorchStorage {
  std::string_view key;
  bool typed;   // else bytes, and each tensor says its own dtype
  DType dtype;  // of a typed storage
  uint64_t count;
};

// A view of a storage, as the pickle says it: nothing has been checked but the kinds of its numbers.
struct TorchTensor {
  uint32_t storage;
  DType dtype;
  uint64_t offset;  // elements
  std::vector<uint64_t> shape;
  std::vector<uint64_t> strides;  // elements
};

class TorchUnpickler final : public PickleMachine {
 public:
  using PickleMachine::PickleMachine;

  // Indexed by PickleValue::index of kStorage and kTensor.
  const std::vector<TorchStorage>& storages() const { return storages_; }
  const std::vector<TorchTensor>& tensors() const { return tensors_; }

 protected:
  // Throws Error ERR_PICKLE_GLOBAL.
  PickleValue find_global(std::string_view module, std::string_view name) override;
  PickleValue reduce(const PickleValue& callable, const PickleValue& arguments) override;
  void build(const PickleValue& object, const PickleValue& state) override;
  PickleValue persistent(const PickleValue& id) override;

 private:
  PickleValue rebuild_tensor(const std::vector<PickleValue>& arguments, bool says_dtype);
  PickleValue ordered_dict(const std::vector<PickleValue>& arguments);
  uint64_t whole(const PickleValue& value, const char* what) const;
  std::vector<uint64_t> whole_list(const PickleValue& value, const char* what) const;

  std::vector<TorchStorage> storages_;
  std::vector<TorchTensor> tensors_;
  size_t numbers_ = 0;  // in the shapes and strides of tensors_
};

}  // namespace wisemerge
