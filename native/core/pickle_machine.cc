#include "core/pickle_machine.h"

#include <cstdio>
#include <cstring>
#include <utility>

#include "core/cancellation.h"

namespace wisemerge {
namespace {

// Opcodes by the names of Python's pickletools.
enum Opcode : uint8_t {
  MARK = '(',
  STOP = '.',
  POP = '0',
  POP_MARK = '1',
  DUP = '2',
  BINBYTES = 'B',
  SHORT_BINBYTES = 'C',
  BINFLOAT = 'G',
  BININT = 'J',
  BININT1 = 'K',
  BININT2 = 'M',
  NONE = 'N',
  BINPERSID = 'Q',
  REDUCE = 'R',
  BINSTRING = 'T',
  SHORT_BINSTRING = 'U',
  BINUNICODE = 'X',
  EMPTY_LIST = ']',
  APPEND = 'a',
  BUILD = 'b',
  GLOBAL = 'c',
  DICT = 'd',
  APPENDS = 'e',
  BINGET = 'h',
  LONG_BINGET = 'j',
  LIST = 'l',
  BINPUT = 'q',
  LONG_BINPUT = 'r',
  SETITEM = 's',
  TUPLE = 't',
  SETITEMS = 'u',
  EMPTY_DICT = '}',
  EMPTY_TUPLE = ')',
  PROTO = 0x80,
  NEWOBJ = 0x81,
  TUPLE1 = 0x85,
  TUPLE2 = 0x86,
  TUPLE3 = 0x87,
  NEWTRUE = 0x88,
  NEWFALSE = 0x89,
  LONG1 = 0x8a,
  LONG4 = 0x8b,
  SHORT_BINUNICODE = 0x8c,
  BINUNICODE8 = 0x8d,
  BINBYTES8 = 0x8e,
  EMPTY_SET = 0x8f,
  ADDITEMS = 0x90,
  FROZENSET = 0x91,
  STACK_GLOBAL = 0x93,
  MEMOIZE = 0x94,
  FRAME = 0x95,
  BYTEARRAY8 = 0x96,
};

constexpr uint8_t kNewestProtocol = 5;

}  // namespace

void PickleMachine::fail(const std::string& what) const {
  throw Error("ERR_PICKLE", "the pickle is not that of a checkpoint, at byte " + std::to_string(opcode_at_) +
                                ": " + what + "; save the state dict again with torch.save");
}

PickleValue PickleMachine::run(WmCancelFlag cancelled) {
  if (pickle_.size() > kMaxBytes) {
    throw Error("ERR_PICKLE", "the pickle has " + std::to_string(pickle_.size()) +
                                  " bytes, above the limit of " + std::to_string(kMaxBytes) +
                                  "; spread the tensors over more files");
  }
  for (uint32_t steps = 1; !stopped_; steps++) {
    if (steps % 4096 == 0) throw_if_raised(cancelled, "reading a pickle");
    opcode_at_ = at_;
    step(take<uint8_t>());
  }
  if (at_ != pickle_.size()) fail("bytes follow its end");
  const PickleValue result = pop();
  if (!stack_.empty()) fail("it ends with more than one value");
  return result;
}

void PickleMachine::step(uint8_t opcode) {
  switch (opcode) {
    case PROTO:
      if (const uint8_t protocol = take<uint8_t>(); protocol > kNewestProtocol) {
        fail("protocol " + std::to_string(protocol) + " is not known");
      }
      return;
    case FRAME:
      if (take<uint64_t>() > pickle_.size() - at_) fail("a frame reaches beyond its end");
      return;
    case STOP:
      stopped_ = true;
      return;
    case MARK:
      return push({PickleValue::kMark});
    case POP:
      if (stack_.empty()) fail("the stack is empty");
      stack_.pop_back();
      return;
    case POP_MARK:
      pop_to_mark();
      return;
    case DUP: {
      const PickleValue top = pop();
      push(top);
      return push(top);
    }
    case NONE:
      return push({PickleValue::kNone});
    case NEWTRUE:
    case NEWFALSE:
      return push({PickleValue::kBool, 0, opcode == NEWTRUE});
    case BININT:
    case BININT1:
    case BININT2:
    case BINFLOAT:
    case LONG1:
    case LONG4:
      return push_number(opcode);
    case BINUNICODE:
    case SHORT_BINUNICODE:
    case BINUNICODE8:
    case BINBYTES:
    case SHORT_BINBYTES:
    case BINBYTES8:
    case BYTEARRAY8:
    case BINSTRING:
    case SHORT_BINSTRING:
      return push_text(opcode);
    case GLOBAL: {
      const std::string_view module = take_line();
      return push(find_global(module, take_line()));
    }
    case STACK_GLOBAL: {
      const PickleValue name = pop(), module = pop();
      if (name.kind != PickleValue::kString || module.kind != PickleValue::kString) {
        fail("the name of a global is not text");
      }
      return push(find_global(string(module), string(name)));
    }
    case REDUCE:
    case NEWOBJ: {
      const PickleValue arguments = pop(), callable = pop();
      if (callable.kind != PickleValue::kGlobal || arguments.kind != PickleValue::kTuple) {
        fail("something else than a global is called");
      }
      return push(reduce(callable, arguments));
    }
    case BUILD: {
      const PickleValue state = pop(), object = pop();
      build(object, state);
      return push(object);
    }
    case BINPERSID:
      return push(persistent(pop()));
    case BINGET:
    case LONG_BINGET:
    case BINPUT:
    case LONG_BINPUT:
    case MEMOIZE:
      return remember(opcode);
    default:
      return collect(opcode);
  }
}

void PickleMachine::push_number(uint8_t opcode) {
  switch (opcode) {
    case BININT:
      return push({PickleValue::kInt, 0, take<int32_t>()});
    case BININT1:
      return push({PickleValue::kInt, 0, take<uint8_t>()});
    case BININT2:
      return push({PickleValue::kInt, 0, take<uint16_t>()});
    case BINFLOAT:
      take_bytes(8);
      return push({PickleValue::kOpaque});
    default:
      break;
  }
  // Little-endian two's complement of any length. Random seeds may exceed 64 bits; sizes do not.
  const std::string_view bytes = take_bytes(opcode == LONG1 ? take<uint8_t>() : take<uint32_t>());
  if (bytes.size() > 8) return push({PickleValue::kOpaque});
  uint64_t value = !bytes.empty() && static_cast<int8_t>(bytes.back()) < 0 ? ~uint64_t{0} : 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  push({PickleValue::kInt, 0, static_cast<int64_t>(value)});
}

void PickleMachine::push_text(uint8_t opcode) {
  uint64_t length;
  switch (opcode) {
    case SHORT_BINUNICODE:
    case SHORT_BINBYTES:
    case SHORT_BINSTRING:
      length = take<uint8_t>();
      break;
    case BINUNICODE:
    case BINBYTES:
    case BINSTRING:
      length = take<uint32_t>();
      break;
    default:
      length = take<uint64_t>();
  }
  const std::string_view text = take_bytes(length);
  const auto position = static_cast<int64_t>(text.data() - pickle_.data());
  push({PickleValue::kString, static_cast<uint32_t>(text.size()), position});
}

void PickleMachine::collect(uint8_t opcode) {
  switch (opcode) {
    case EMPTY_TUPLE:
      return push(container(PickleValue::kTuple, {}));
    case EMPTY_LIST:
      return push(container(PickleValue::kList, {}));
    case EMPTY_DICT:
      return push(container(PickleValue::kDict, {}));
    case EMPTY_SET:
      return push(container(PickleValue::kSet, {}));
    case TUPLE1:
    case TUPLE2:
    case TUPLE3: {
      std::vector<PickleValue> items(opcode - TUPLE1 + 1);
      for (size_t i = items.size(); i-- > 0;) items[i] = pop();
      return push(container(PickleValue::kTuple, std::move(items)));
    }
    case TUPLE:
      return push(container(PickleValue::kTuple, pop_to_mark()));
    case LIST:
      return push(container(PickleValue::kList, pop_to_mark()));
    case FROZENSET:
      return push(container(PickleValue::kSet, pop_to_mark()));
    case DICT: {
      std::vector<PickleValue> items = pop_to_mark();
      if (items.size() % 2) fail("a dictionary has a key without a value");
      return push(container(PickleValue::kDict, std::move(items)));
    }
    case APPEND:
      return append_all({pop()}, false);
    case APPENDS:
    case ADDITEMS:
      return append_all(pop_to_mark(), false);
    case SETITEM: {
      const PickleValue value = pop(), key = pop();
      return append_all({key, value}, true);
    }
    case SETITEMS:
      return append_all(pop_to_mark(), true);
    default: {
      char text[8];
      std::snprintf(text, sizeof text, "0x%02x", opcode);
      fail(std::string("opcode ") + text + " is not used by torch.save");
    }
  }
}

// Adds to the container on top of the stack.
void PickleMachine::append_all(std::vector<PickleValue> items, bool pairs) {
  const PickleValue target = pop();
  const bool takes = pairs ? target.kind == PickleValue::kDict
                           : target.kind == PickleValue::kList || target.kind == PickleValue::kSet;
  if (!takes || (pairs && items.size() % 2)) fail("items are added to what does not take them");
  item_count_ += items.size();
  if (item_count_ > kMaxItems) fail("its containers hold more than " + std::to_string(kMaxItems) + " items");
  std::vector<PickleValue>& held = containers_[target.index];
  held.insert(held.end(), items.begin(), items.end());
  push(target);
}

// Picklers number their memo from 0 without gaps, which bounds it by the number of opcodes.
void PickleMachine::remember(uint8_t opcode) {
  if (opcode == BINGET || opcode == LONG_BINGET) {
    const uint32_t from = opcode == BINGET ? take<uint8_t>() : take<uint32_t>();
    if (from >= memo_.size()) fail("memo entry " + std::to_string(from) + " does not exist");
    return push(memo_[from]);
  }
  size_t to = memo_.size();
  if (opcode == BINPUT) to = take<uint8_t>();
  if (opcode == LONG_BINPUT) to = take<uint32_t>();
  const PickleValue top = pop();
  push(top);
  if (to > memo_.size()) fail("memo entry " + std::to_string(to) + " leaves a gap");
  if (to == kMaxMemo) fail("it has more than " + std::to_string(kMaxMemo) + " memo entries");
  if (to == memo_.size()) memo_.push_back(top);
  memo_[to] = top;
}

PickleValue PickleMachine::container(PickleValue::Kind kind, std::vector<PickleValue> items) {
  item_count_ += items.size();
  if (item_count_ > kMaxItems) fail("its containers hold more than " + std::to_string(kMaxItems) + " items");
  if (containers_.size() == kMaxContainers) {
    fail("it has more than " + std::to_string(kMaxContainers) + " containers");
  }
  containers_.push_back(std::move(items));
  return {kind, static_cast<uint32_t>(containers_.size() - 1)};
}

template <class T>
T PickleMachine::take() {
  T value;
  std::memcpy(&value, take_bytes(sizeof value).data(), sizeof value);
  return value;
}

std::string_view PickleMachine::take_bytes(uint64_t count) {
  if (count > pickle_.size() - at_) fail("it is cut off");
  const std::string_view bytes = pickle_.substr(at_, static_cast<size_t>(count));
  at_ += bytes.size();
  return bytes;
}

std::string_view PickleMachine::take_line() {
  const size_t end = pickle_.find('\n', at_);
  if (end == std::string_view::npos) fail("it is cut off");
  const std::string_view line = pickle_.substr(at_, end - at_);
  at_ = end + 1;
  return line;
}

void PickleMachine::push(PickleValue value) {
  if (stack_.size() == kMaxStack) fail("its stack exceeds " + std::to_string(kMaxStack) + " values");
  stack_.push_back(value);
}

PickleValue PickleMachine::pop() {
  if (stack_.empty() || stack_.back().kind == PickleValue::kMark) fail("the stack is empty");
  const PickleValue value = stack_.back();
  stack_.pop_back();
  return value;
}

std::vector<PickleValue> PickleMachine::pop_to_mark() {
  size_t mark = stack_.size();
  while (mark > 0 && stack_[mark - 1].kind != PickleValue::kMark) mark--;
  if (mark == 0) fail("a mark is missing");
  std::vector<PickleValue> items(stack_.begin() + static_cast<ptrdiff_t>(mark), stack_.end());
  stack_.resize(mark - 1);
  return items;
}

}  // namespace wisemerge
