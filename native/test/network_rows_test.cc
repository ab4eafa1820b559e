// Networks and programs from numbers: what is not inside its buffer, or not a number of the right kind, is
// refused.
#include "network/network_rows.h"

#include <vector>

#include "check.h"
#include "core/status.h"
#include "error_code.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::network;

constexpr double kF32Index = static_cast<double>(DType::kF32), kBf16Index = static_cast<double>(DType::kBF16);

// One value given, one computed, one linear operation.
std::vector<double> program_numbers() {
  std::vector<double> numbers = {2, 1, 6, 1, 0, 4, 0, 24};
  numbers.insert(numbers.end(), {0, 1, 0, -1, -1, -1, 0, -1, 2, 3, 2});
  numbers.resize(numbers.size() + 10);
  numbers.push_back(0.5);
  return numbers;
}

}  // namespace

TEST("network rows: parameters") {
  alignas(64) uint8_t arena[128];
  const auto parse = [&](std::vector<double> numbers) {
    return parse_network(numbers.data(), numbers.size(), arena, sizeof(arena));
  };
  const std::vector<double> good = {2, 1, 10, kF32Index, 64, kBf16Index, 20, 3, kF32Index, 0, kF32Index, -1};
  const NetworkRow row = parse(good);
  CHECK_EQ(row.threads, 2);
  CHECK(row.way == ProductWay::kFused);
  CHECK_EQ(row.parameters.size(), 2u);
  CHECK_EQ(row.parameters[0].zeroshot, static_cast<const void*>(arena + 64));
  CHECK_EQ(row.parameters[0].finetuned, static_cast<const void*>(arena + 20));
  CHECK(row.parameters[0].finetuned_dtype == DType::kBF16);
  CHECK(row.parameters[1].finetuned == nullptr);

  const auto with = [&](size_t at, double number) {
    std::vector<double> numbers = good;
    numbers[at] = number;
    return code_of([&] { parse(numbers); });
  };
  CHECK_EQ(with(1, 3), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(2, 17), "ERR_INTERNAL_RANGE");
  CHECK_EQ(with(4, 62), "ERR_INTERNAL_RANGE");
  CHECK_EQ(with(4, -1), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(3, static_cast<double>(DType::kF64)), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(3, 1e9), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code_of([&] { parse({0, 0, 1}); }), "ERR_INTERNAL_ARGUMENT");
}

TEST("network rows: programs") {
  alignas(64) uint8_t arena[64];
  const auto parse = [&](std::vector<double> numbers, uint64_t candidates = 1) {
    return parse_program(numbers.data(), numbers.size(), candidates, arena, sizeof(arena));
  };
  const Program program = parse(program_numbers());
  CHECK_EQ(program.values.size(), 2u);
  CHECK(program.values[0].source == Value::Source::kFloats);
  CHECK_EQ(program.values[1].memory, static_cast<void*>(arena + 24));
  CHECK_EQ(program.ops.size(), 1u);
  CHECK(program.ops[0].kind == OpKind::kLinear);
  CHECK_EQ(program.ops[0].value[1], kNone);
  CHECK_EQ(program.ops[0].size[2], 2u);
  CHECK_EQ(program.ops[0].real, 0.5);
  // 16 bytes for each of two candidates fit behind byte 24, for three they do not.
  parse(program_numbers(), 2);
  CHECK_EQ(code_of([&] { parse(program_numbers(), 3); }), "ERR_INTERNAL_RANGE");

  const auto with = [&](size_t at, double number) {
    std::vector<double> numbers = program_numbers();
    numbers[at] = number;
    return code_of([&] { parse(numbers); });
  };
  CHECK_EQ(with(0, 3), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(1, 1e15), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(3, 4), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(4, 2), "ERR_INTERNAL_RANGE");
  CHECK_EQ(with(8, kOpKinds), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(9, -1), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(10, 0.5), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(with(16, -2), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code_of([&] { parse({1}); }), "ERR_INTERNAL_ARGUMENT");
}

}  // namespace wisemerge::test
