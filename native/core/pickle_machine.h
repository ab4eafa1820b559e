// The pickle machine (Python's pickletools, protocols 2 to 5) without the power to call anything.
//
// A pickle is a program for a stack machine whose GLOBAL and REDUCE name any function and call it. Here the
// machine builds values of the few kinds below; what a name means, and what its "call" gives, is decided by
// the subclass, from a list. Containers are held by index, so that sharing and cycles cost nothing; memory
// grows with the pickle's own bytes and stops at the budgets. Nothing recurses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "wisemerge/backend.h"

namespace wisemerge {

struct PickleValue {
  enum Kind : uint8_t {
    kMark,
    kNone,
    kBool,
    kInt,
    kString,  // text or bytes: position and length in the pickle
    kTuple,   // index of a container; lists, sets and dictionaries too
    kList,
    kSet,
    kDict,    // a container of key, value, key, value, …
    kGlobal,  // what the subclass says
    kStorage,
    kTensor,
    kOpaque,  // floats, long integers and other values that no tensor needs
  };
  Kind kind = kNone;
  uint32_t index = 0;
  int64_t number = 0;
};

class PickleMachine {
 public:
  // Budgets. A state dict of half a million tensors takes a pickle of 80 MB, 6 M memo entries and a stack of
  // some thousands.
  static constexpr size_t kMaxBytes = size_t{256} << 20;
  static constexpr size_t kMaxStack = size_t{1} << 20;
  static constexpr size_t kMaxMemo = size_t{1} << 24;
  static constexpr size_t kMaxContainers = size_t{1} << 24;
  static constexpr size_t kMaxItems = size_t{1} << 25;  // of all containers

  explicit PickleMachine(std::string_view pickle) : pickle_(pickle) {}
  virtual ~PickleMachine() = default;

  // Runs to STOP. Throws Error ERR_PICKLE with the byte position, ERR_ABORTED, or what the subclass throws.
  PickleValue run(WmCancelFlag cancelled = nullptr);

  std::string_view string(const PickleValue& value) const {
    return pickle_.substr(static_cast<size_t>(value.number), value.index);
  }
  const std::vector<PickleValue>& items(const PickleValue& value) const { return containers_[value.index]; }

 protected:
  // What `module.name` stands for; throws for a name that is not on the list.
  virtual PickleValue find_global(std::string_view module, std::string_view name) = 0;
  // What calling `callable` with the tuple `arguments` gives. `build` is told about state set on an object.
  virtual PickleValue reduce(const PickleValue& callable, const PickleValue& arguments) = 0;
  virtual void build(const PickleValue& object, const PickleValue& state) = 0;
  virtual PickleValue persistent(const PickleValue& id) = 0;

  [[noreturn]] void fail(const std::string& what) const;
  PickleValue container(PickleValue::Kind kind, std::vector<PickleValue> items);

 private:
  void step(uint8_t opcode);
  void push_number(uint8_t opcode);
  void push_text(uint8_t opcode);
  void collect(uint8_t opcode);
  void remember(uint8_t opcode);
  void append_all(std::vector<PickleValue> items, bool pairs);

  template <class T>
  T take();
  std::string_view take_bytes(uint64_t count);
  std::string_view take_line();

  void push(PickleValue value);
  PickleValue pop();
  std::vector<PickleValue> pop_to_mark();

  const std::string_view pickle_;
  size_t at_ = 0;
  size_t opcode_at_ = 0;
  size_t item_count_ = 0;
  bool stopped_ = false;
  std::vector<PickleValue> stack_;
  std::vector<PickleValue> memo_;
  std::vector<std::vector<PickleValue>> containers_;
};

}  // namespace wisemerge
