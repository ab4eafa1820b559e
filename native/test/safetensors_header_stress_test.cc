// parse_safetensors_header at size and under damage: large headers, limits, mutations.
#include <random>
#include <set>

#include "check.h"
#include "core/safetensors_header.h"
#include "core/status.h"

namespace wisemerge {
namespace {

std::string code_of(std::string_view json, uint64_t data_bytes) {
  try {
    parse_safetensors_header(json, data_bytes);
    return "accepted";
  } catch (const Error& error) {
    return error.code();
  }
}

// A header that holds tensor "a" with the given fields.
std::string one(const std::string& fields) { return R"({"a":{)" + fields + "}}"; }

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   uint64_t begin, uint64_t end) {
  return '"' + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

// What every accepted header satisfies.
void check_invariants(const SafetensorsHeader& header, uint64_t data_bytes) {
  const size_t n = header.size();
  CHECK(header.ends.size() == n && header.dtypes.size() == n);
  CHECK(header.name_ends.size() == n && header.dim_ends.size() == n);
  CHECK_EQ(header.names.size(), n ? header.name_ends[n - 1] : 0);
  CHECK_EQ(header.dims.size(), n ? header.dim_ends[n - 1] : 0);
  std::set<std::string_view> names;
  uint64_t at = 0;
  for (size_t i = 0, dim = 0; i < n; i++) {
    CHECK(names.insert(header.name(i)).second);
    CHECK_EQ(header.begins[i], at);
    at = header.ends[i];
    uint64_t bits = dtype_info(header.dtypes[i]).bits;
    for (; dim < header.dim_ends[i]; dim++) bits *= header.dims[dim];
    CHECK_EQ(bits, (header.ends[i] - header.begins[i]) * 8);
  }
  CHECK_EQ(at, data_bytes);
}

TEST("header stress: what bounds memory") {
  // The size is looked at before the text, of which there is none here.
  CHECK_EQ(code_of(std::string_view("{}", uint64_t{1} << 32), 0), "ERR_SAFETENSORS_HEADER_SIZE");
  std::string fields = R"("dtype":"U8","shape":[8],"data_offsets":[0,8])", metadata = R"({"__metadata__":{)";
  for (int i = 0; i < 1024; i++) fields += ",\"" + std::to_string(i) + "\":0";
  CHECK_EQ(code_of(one(fields), 8), "accepted");
  CHECK_EQ(code_of(one(fields + ",\"one more\":0"), 8), "ERR_SAFETENSORS_JSON");
  for (int i = 0; i < (1 << 20); i++) metadata += (i ? ",\"" : "\"") + std::to_string(i) + "\":\"\"";
  CHECK_EQ(code_of(metadata + "}}", 0), "accepted");
  CHECK_EQ(code_of(metadata + ",\"one more\":\"\"}}", 0), "ERR_SAFETENSORS_METADATA");
}

TEST("header stress: 500 000 tensors, in order and reversed") {
  constexpr size_t kCount = 500'000;
  const auto name = [](size_t i) {
    return "model.layers." + std::to_string(i / 128) + ".mlp.experts." + std::to_string(i % 128) + ".weight";
  };
  const auto make = [&](bool reversed) {
    std::string json = R"({"__metadata__":{"format":"pt"})";
    for (size_t k = 0; k < kCount; k++) {
      const size_t i = reversed ? kCount - 1 - k : k;
      json += ',';
      json += tensor(name(i), i % 2 ? "BF16" : "F32", i % 2 ? "[4,2]" : "[4]", i * 16, i * 16 + 16);
    }
    return json + "}";
  };
  for (const bool reversed : {false, true}) {
    const SafetensorsHeader header = parse_safetensors_header(make(reversed), kCount * 16);
    CHECK_EQ(header.size(), kCount);
    check_invariants(header, kCount * 16);
    for (size_t i = 0; i < header.size(); i++) {
      CHECK_EQ(header.name(i), name(i));
      CHECK(header.dtypes[i] == (i % 2 ? DType::kBF16 : DType::kF32));
    }
  }
  std::string twice = make(false);
  twice.replace(twice.find(name(499'999)), name(499'999).size(), name(7));
  CHECK_EQ(code_of(twice, kCount * 16), "ERR_SAFETENSORS_DUPLICATE");
}

// Damaged headers are refused with an Error or are still headers. Anything else ends the process here, or
// shows under the sanitizers.
TEST("header stress: 40 000 mutations and truncations") {
  const std::string valid = std::string("{") + tensor("w\\u0031", "BF16", "[2,3]", 0, 12) +
                            R"(,"__metadata__":{"k":"v"},)" + tensor("caf\xc3\xa9", "F32", "[]", 12, 16) +
                            R"(,"x":{"x":[{"y":-1.5e3},null,true],)" +
                            R"("dtype":"F4","shape":[0,4],"data_offsets":[16,16]}}  )";
  constexpr uint64_t kDataBytes = 16;
  CHECK_EQ(code_of(valid, kDataBytes), "accepted");
  static constexpr char kBytes[] = "{}[]:,\"\\0123456789.-eEu \t\n\0\x7f\x80\xc3\xed\xf4\xff";
  constexpr std::string_view kAlphabet(kBytes, sizeof kBytes - 1);
  std::mt19937 random(20240501);
  const auto below = [&](size_t n) { return static_cast<size_t>(random()) % n; };
  size_t accepted = 0, refused = 0;
  for (int round = 0; round < 40'000; round++) {
    std::string json = valid;
    for (size_t edits = 1 + below(3); edits > 0 && !json.empty(); edits--) {
      const size_t at = below(json.size());
      switch (below(6)) {
        case 0:
          json[at] = static_cast<char>(random());
          break;
        case 1:
          json[at] = kAlphabet[below(kAlphabet.size())];
          break;
        case 2:
          json.insert(at, 1, kAlphabet[below(kAlphabet.size())]);
          break;
        case 3:
          json.erase(at, 1 + below(4));
          break;
        case 4:
          json.insert(at, valid.substr(below(valid.size()), below(40)));
          break;
        default:
          json.resize(at);
      }
    }
    // An exact-size heap block: the sanitizer sees a read one past the end.
    const std::vector<char> exact(json.begin(), json.end());
    try {
      check_invariants(parse_safetensors_header({exact.data(), exact.size()}, kDataBytes), kDataBytes);
      accepted++;
    } catch (const Error& error) {
      refused++;
      CHECK(error.code().starts_with("ERR_SAFETENSORS_"));
    }
  }
  CHECK(accepted > 300);
  CHECK(refused > 10'000);
}

}  // namespace
}  // namespace wisemerge
