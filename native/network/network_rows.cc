#include "network/network_rows.h"

#include <string>

#include "core/number_row.h"
#include "core/status.h"

namespace wisemerge::network {
namespace {

constexpr size_t kNetworkNumbers = 2, kParameterNumbers = 5, kProgramNumbers = 2, kValueNumbers = 3;
constexpr size_t kOpNumbers = 2 + kOpValues + kOpParameters + kOpSizes + 1;

DType weight_dtype(NumberRow& row) {
  const DType dtype = row.dtype();
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    throw Error("ERR_INTERNAL_ARGUMENT", std::string(dtype_info(dtype).name) + " is none of F32, F16, BF16");
  }
  return dtype;
}

uint32_t place(NumberRow& row, bool optional) {
  if (optional && row.none()) return kNone;
  return row.index("a place in a table");
}

Value parse_value(NumberRow& row, uint64_t candidates) {
  Value value{};
  value.count = row.whole();
  const uint64_t source = row.whole();
  if (source > static_cast<uint64_t>(Value::Source::kEachCandidate)) {
    throw Error("ERR_INTERNAL_ARGUMENT", "an unknown source of a value");
  }
  value.source = static_cast<Value::Source>(source);
  const bool shared = value.source == Value::Source::kFloats || value.source == Value::Source::kWhole;
  value.memory = row.optional<uint8_t>("a value", times(value.count, shared ? 1 : candidates), sizeof(float));
  return value;
}

Op parse_op(NumberRow& row) {
  Op op{};
  const uint64_t kind = row.whole();
  if (kind >= kOpKinds) throw Error("ERR_INTERNAL_ARGUMENT", "an unknown kind of operation");
  op.kind = static_cast<OpKind>(kind);
  op.out = place(row, false);
  for (uint32_t& value : op.value) value = place(row, true);
  for (uint32_t& parameter : op.parameter) parameter = place(row, true);
  for (uint64_t& size : op.size) size = row.whole();
  op.real = row.number();
  return op;
}

}  // namespace

NetworkRow parse_network(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  if (length < kNetworkNumbers || (length - kNetworkNumbers) % kParameterNumbers != 0) {
    throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(length) + " numbers are no network");
  }
  NumberRow row(numbers, length, length, arena, bytes);
  NetworkRow network{};
  network.threads = static_cast<int>(row.whole() & INT32_MAX);
  const uint64_t way = row.whole();
  if (way > static_cast<uint64_t>(ProductWay::kScratch))
    throw Error("ERR_INTERNAL_ARGUMENT", "an unknown way");
  network.way = static_cast<ProductWay>(way);
  for (size_t at = kNetworkNumbers; at < length; at += kParameterNumbers) {
    Parameter parameter{};
    parameter.count = row.whole();
    parameter.zeroshot_dtype = weight_dtype(row);
    parameter.zeroshot = row.range<uint8_t>("a weight", parameter.count, item_size(parameter.zeroshot_dtype));
    parameter.finetuned_dtype = weight_dtype(row);
    parameter.finetuned =
        row.optional<uint8_t>("a weight", parameter.count, item_size(parameter.finetuned_dtype));
    network.parameters.push_back(parameter);
  }
  return network;
}

Program parse_program(const double* numbers, size_t length, uint64_t candidates, uint8_t* arena,
                      uint64_t bytes) {
  if (length < kProgramNumbers) throw Error("ERR_INTERNAL_ARGUMENT", "no program");
  const uint64_t values = NumberRow(numbers, 1, 1, arena, bytes).whole();
  const uint64_t ops = NumberRow(numbers + 1, 1, 1, arena, bytes).whole();
  if (values > length || ops > length ||
      length != kProgramNumbers + values * kValueNumbers + ops * kOpNumbers) {
    throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(length) + " numbers are no program");
  }
  NumberRow row(numbers + kProgramNumbers, length, length, arena, bytes);
  Program program;
  for (uint64_t i = 0; i < values; i++) program.values.push_back(parse_value(row, candidates));
  for (uint64_t i = 0; i < ops; i++) program.ops.push_back(parse_op(row));
  return program;
}

}  // namespace wisemerge::network
