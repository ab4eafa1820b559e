// What parse_safetensors_header accepts and refuses, what it returns and what it says.
#include "core/safetensors_header.h"

#include "check.h"
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

std::string message_of(std::string_view json, uint64_t data_bytes) {
  try {
    parse_safetensors_header(json, data_bytes);
    return "accepted";
  } catch (const Error& error) {
    return error.what();
  }
}

// A header that holds tensor "a" with the given fields.
std::string one(const std::string& fields) { return R"({"a":{)" + fields + "}}"; }

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   uint64_t begin, uint64_t end) {
  return '"' + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string a_of(const std::string& dtype, const std::string& shape, uint64_t end) {
  return std::string("{") + tensor("a", dtype, shape, 0, end) + "}";
}

// Fields of a U8 tensor of 8 elements, one of them replaced.
std::string with_shape(const std::string& shape) {
  return one(R"("dtype":"U8","shape":)" + shape + R"(,"data_offsets":[0,8])");
}
std::string with_offsets(const std::string& offsets) {
  return one(R"("dtype":"U8","shape":[8],"data_offsets":)" + offsets);
}

struct Row {
  std::string json;
  uint64_t data_bytes;
  const char* code;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const std::string code = code_of(row.json, row.data_bytes);
    if (code != row.code) test::fail(__FILE__, __LINE__, row.json + ": " + code + ", not " + row.code);
  }
}

TEST("header: fields arrive as written") {
  const SafetensorsHeader header = parse_safetensors_header(
      "{" + tensor("w", "BF16", "[2,3]", 0, 12) + R"(,"__metadata__":{"format":"pt","k\u0065y":"\n"},)" +
          tensor("caf\\u00e9", "F64", "[]", 12, 20) + "}  ",
      20);
  CHECK_EQ(header.size(), 2u);
  CHECK_EQ(header.name(0), "w");
  CHECK_EQ(header.name(1), "caf\xc3\xa9");
  CHECK(header.dtypes[0] == DType::kBF16 && header.dtypes[1] == DType::kF64);
  CHECK(header.dims == (std::vector<uint64_t>{2, 3}));
  CHECK(header.dim_ends == (std::vector<uint32_t>{2, 2}));
  CHECK_EQ(header.metadata.size(), 2u);
  CHECK(header.metadata[0] == std::make_pair(std::string("format"), std::string("pt")));
  CHECK(header.metadata[1] == std::make_pair(std::string("key"), std::string("\n")));
}

TEST("header: accepted as the reference reader does") {
  const char* ok = "accepted";
  check_rows({
      {"{}", 0, ok},
      {"{}   ", 0, ok},
      {"{}\n\t\r ", 0, ok},
      {R"({"__metadata__":{}})", 0, ok},
      {a_of("F32", "[2]", 8), 8, ok},
      {a_of("F32", "[2]", 8) + "     ", 8, ok},  // length is no multiple of 8
      {a_of("F32", "[]", 4), 4, ok},
      {a_of("F32", "[0]", 0), 0, ok},
      {a_of("F32", "[3,0,5]", 0), 0, ok},
      {a_of("F4", "[2]", 1), 1, ok},
      {a_of("F6_E2M3", "[4]", 3), 3, ok},
      {a_of("F6_E3M2", "[2,2]", 3), 3, ok},
      {a_of("F8_E8M0", "[3]", 3), 3, ok},
      {a_of("C64", "[1]", 8), 8, ok},
      {tensor("", "U8", "[1]", 0, 1).insert(0, "{") + "}", 1, ok},
      {one(R"("extra":{"deep":[1.5,{"x":null}]},"data_offsets":[0,8],"shape":[8],"dtype":"U8")"), 8, ok},
      {one(R"( "d\u0074ype" : "U\u0038" , "shape" : [ 2 , 4 ] , "data_offsets" : [ 0 , 8 ] )"), 8, ok},
  });
  for (const DTypeInfo& info : kDTypes) {
    CHECK_EQ(code_of(a_of(info.name, "[8]", info.bits), info.bits), ok);
  }
}

TEST("header: stricter than the reference reader") {
  const std::string b = tensor("b", "U8", "[4]", 4, 8);
  check_rows({
      {" {}", 0, "ERR_SAFETENSORS_JSON"},
      {"{" + tensor("b", "U8", "[4]", 0, 4) + "," + b + "}", 8, "ERR_SAFETENSORS_DUPLICATE"},
      {"{" + tensor("\\u0062", "U8", "[4]", 0, 4) + "," + b + "}", 8, "ERR_SAFETENSORS_DUPLICATE"},
      {"{" + b + "," + b + "}", 8, "ERR_SAFETENSORS_DUPLICATE"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "ERR_SAFETENSORS_DUPLICATE"},
      {R"({"__metadata__":{},"__metadata\u005f_":{}})", 0, "ERR_SAFETENSORS_DUPLICATE"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", 0, "ERR_SAFETENSORS_DUPLICATE"},
      {R"({"__metadata__":{"k":"1","\u006b":"1"}})", 0, "ERR_SAFETENSORS_DUPLICATE"},
      {one(R"("dtype":"U8","shape":[8],"data_offsets":[0,8],"dtype":"U8")"), 8, "ERR_SAFETENSORS_DUPLICATE"},
      {one(R"("dtype":"U8","shape":[8],"sh\u0061pe":[8],"data_offsets":[0,8])"), 8,
       "ERR_SAFETENSORS_DUPLICATE"},
      {one(R"("dtype":"U8","shape":[8],"data_offsets":[0,8],"x":1,"y":2,"x":1)"), 8,
       "ERR_SAFETENSORS_DUPLICATE"},
      {"{" + tensor("a\\u0000b", "U8", "[8]", 0, 8) + "}", 8, "ERR_SAFETENSORS_JSON"},
  });
}

TEST("header: malformed JSON") {
  const std::string good = a_of("U8", "[8]", 8);
  const char* code = "ERR_SAFETENSORS_JSON";
  check_rows({
      {"", 0, code},
      {"null", 0, code},
      {"[]", 0, code},
      {"\"{}\"", 0, code},
      {"\xef\xbb\xbf{}", 0, code},
      {"\n{}", 0, code},
      {"{}{}", 0, code},
      {"{},", 0, code},
      {"{} x", 0, code},
      {std::string("{}\0", 3), 0, code},
      {std::string("{}  \0 ", 6), 0, code},
      {good.substr(0, good.size() - 1) + ",}", 8, code},
      {good.substr(0, good.size() - 2) + ",}}", 8, code},
      {R"({"a":null})", 0, code},
      {R"({"a":[]})", 0, code},
      {R"({"a":"U8"})", 0, code},
      {R"({a:{}})", 0, code},
      {"{" + tensor("\xff", "U8", "[8]", 0, 8) + "}", 8, code},
      {"{" + tensor("\xc0\x80", "U8", "[8]", 0, 8) + "}", 8, code},
      {"{" + tensor("\xed\xa0\x80", "U8", "[8]", 0, 8) + "}", 8, code},
      {"{" + tensor("\\ud800", "U8", "[8]", 0, 8) + "}", 8, code},
      {"{" + tensor("a\nb", "U8", "[8]", 0, 8) + "}", 8, code},
      {"{" + tensor(std::string("a\0b", 3), "U8", "[8]", 0, 8) + "}", 8, code},
      {"{\xff}", 0, code},
      {R"({"__metadata__":{"k":")"
       "\xff"
       R"("}})",
       0, code},
      {with_shape("[08]"), 8, code},
      {with_shape("[8,]"), 8, code},
      {with_shape("[+8]"), 8, code},
      {with_shape("[0x8]"), 8, code},
      {with_shape("[8.]"), 8, code},
      {with_shape("[nan]"), 8, code},
      {with_offsets("[00,8]"), 8, code},
      {with_offsets("[0,8"), 8, code},
      {one(R"("shape":[8],"data_offsets":[0,8])"), 8, code},
      {one(R"("dtype":"U8","data_offsets":[0,8])"), 8, code},
      {one(R"("dtype":"U8","shape":[8])"), 8, code},
      {one(""), 0, code},
      {one(R"("dtype":"U8","shape":[8],"data_offsets":[0,8],"x":)" + std::string(100, '[') +
           std::string(100, ']')),
       8, code},
  });
  for (size_t cut = 0; cut < good.size(); cut++) CHECK_EQ(code_of(good.substr(0, cut), 8), code);
}

TEST("header: dtype, shape, offsets and metadata out of bounds") {
  std::string rank64 = "[1", rank65;
  for (int i = 1; i < 64; i++) rank64 += ",1";
  rank65 = rank64 + ",1]";
  rank64 += "]";
  check_rows({
      {a_of("FP4", "[2]", 1), 1, "ERR_SAFETENSORS_DTYPE"},
      {a_of("f32", "[2]", 8), 8, "ERR_SAFETENSORS_DTYPE"},
      {a_of("", "[2]", 8), 8, "ERR_SAFETENSORS_DTYPE"},
      {one(R"("dtype":7,"shape":[8],"data_offsets":[0,8])"), 8, "ERR_SAFETENSORS_DTYPE"},
      {one(R"("dtype":null,"shape":[8],"data_offsets":[0,8])"), 8, "ERR_SAFETENSORS_DTYPE"},

      {a_of("U8", rank64, 1), 1, "accepted"},
      {a_of("U8", rank65, 1), 1, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[-8]"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[-0]"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[8.0]"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[8e0]"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[\"8\"]"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[[8]]"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("8"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("null"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[9007199254740992,0]"), 0, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[4294967296,4294967296]"), 8, "ERR_SAFETENSORS_SHAPE"},
      {with_shape("[4294967296,4294967296,0]"), 0, "ERR_SAFETENSORS_SHAPE"},
      {a_of("F64", "[4503599627370496,1024]", 8), 8, "ERR_SAFETENSORS_SHAPE"},  // elements fit, bits do not
      {a_of("F32", "[0,4294967296,4294967296]", 0), 0, "accepted"},
      {a_of("F4", "[3]", 1), 1, "ERR_SAFETENSORS_SHAPE"},
      {a_of("F4", "[3]", 2), 2, "ERR_SAFETENSORS_SHAPE"},
      {a_of("F6_E2M3", "[3]", 2), 2, "ERR_SAFETENSORS_SHAPE"},

      {with_shape("[7]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_shape("[0]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_shape("[]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[0,8.0]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[0,8e0]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[-0,8]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[-8,0]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[8,0]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[0]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[0,8,8]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[\"0\",8]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("{}"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[9007199254740984,9007199254740992]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[18446744073709551608,18446744073709551616]"), 8, "ERR_SAFETENSORS_OFFSETS"},
      {with_offsets("[18446744073709551615,7]"), 8, "ERR_SAFETENSORS_OFFSETS"},

      {R"({"__metadata__":null})", 0, "ERR_SAFETENSORS_METADATA"},
      {R"({"__metadata__":[]})", 0, "ERR_SAFETENSORS_METADATA"},
      {R"({"__metadata__":{"k":1}})", 0, "ERR_SAFETENSORS_METADATA"},
      {R"({"__metadata__":{"k":null}})", 0, "ERR_SAFETENSORS_METADATA"},
      {R"({"__metadata__":{"k":{"k":"v"}}})", 0, "ERR_SAFETENSORS_METADATA"},
  });
}

TEST("header: the tensors must cover the data exactly") {
  const auto two = [](uint64_t a0, uint64_t a1, uint64_t b0, uint64_t b1) {
    const auto shape = [](uint64_t n) { return std::string("[") + std::to_string(n) + "]"; };
    return std::string("{") + tensor("a", "U8", shape(a1 - a0), a0, a1) + "," +
           tensor("b", "U8", shape(b1 - b0), b0, b1) + "}";
  };
  const char* bad = "ERR_SAFETENSORS_OFFSETS";
  check_rows({
      {two(0, 8, 8, 16), 16, "accepted"},
      {two(8, 16, 0, 8), 16, "accepted"},
      {two(0, 8, 8, 16), 15, bad},       // file too short
      {two(0, 8, 8, 16), 0, bad},        //
      {two(0, 8, 8, 16), 17, bad},       // trailing byte
      {"{}", 1, bad},                    //
      {two(0, 8, 9, 17), 17, bad},       // hole
      {two(1, 9, 9, 17), 17, bad},       // hole at the start
      {two(0, 8, 7, 15), 15, bad},       // overlap
      {two(0, 8, 0, 8), 8, bad},         // alias
      {two(0, 8, 0, 8), 16, bad},        //
      {two(0, 8, 2, 4), 8, bad},         // inside
      {two(0, 8, 0, 4), 8, bad},         //
      {two(0, 0, 0, 8), 8, "accepted"},  // empty tensors, at every boundary
      {two(0, 8, 0, 0), 8, "accepted"},  //
      {two(0, 8, 8, 8), 8, "accepted"},  //
      {two(0, 0, 0, 0), 0, "accepted"},  //
      {two(0, 8, 4, 4), 8, bad},         // and inside another
      {two(0, 8, 9, 9), 8, bad},         // and past the end
      {two(0, 8, 9, 9), 9, bad},         //
  });
}

TEST("header: order is that of the data, whatever the names") {
  const std::string json = "{" + tensor("10", "U8", "[1]", 2, 3) + "," +
                           tensor("__proto__", "F16", "[1,2]", 3, 7) + "," + tensor("e1", "U8", "[0]", 2, 2) +
                           "," + tensor("2", "U8", "[2,1]", 0, 2) + "," + tensor("e2", "I64", "[5,0]", 2, 2) +
                           "}";
  const SafetensorsHeader header = parse_safetensors_header(json, 7);
  const char* const expected[] = {"2", "e1", "e2", "10", "__proto__"};
  for (size_t i = 0; i < 5; i++) CHECK_EQ(header.name(i), expected[i]);
  CHECK(header.dims == (std::vector<uint64_t>{2, 1, 0, 5, 0, 1, 1, 2}));
  CHECK(header.dim_ends == (std::vector<uint32_t>{2, 3, 5, 6, 8}));
  CHECK(header.dtypes[2] == DType::kI64 && header.dtypes[4] == DType::kF16);
}

TEST("header: messages name the tensor, the numbers and the remedy") {
  const auto says = [](std::string_view json, uint64_t data_bytes, std::initializer_list<const char*> parts) {
    const std::string message = message_of(json, data_bytes);
    for (const char* part : parts) {
      if (message.find(part) == std::string::npos) {
        test::fail(__FILE__, __LINE__, message + " lacks: " + part);
      }
    }
  };
  const std::string good = a_of("F32", "[2]", 8);
  says(good, 5, {"too short by 3 bytes", "take 8", "has 5", "download it again"});
  says(good, 9, {"1 byte trailing"});
  says(a_of("FP4", "[2]", 1), 1, {"\"a\"", "\"FP4\"", "F8_E8M0", "BF16"});
  says(a_of("F32", "[2,3]", 8), 8, {"\"a\"", "F32 [2, 3]", "24 bytes", "[0, 8)", "hold 8 bytes"});
  says(a_of("F4", "[3]", 2), 2, {"\"a\"", "F4 [3]", "12 bits"});
  says(with_shape("[-8]"), 8, {"\"a\"", "found -8;"});
  says(one(R"("dtype":"U8","shape":[8])"), 8, {"\"a\"", "data_offsets is missing"});
  says("{\"a\":{,", 0, {"at byte 6", "','", "download"});
  says(" {}", 0, {"byte 0", "'{'", "0x20"});
  says(with_shape(R"(["8"])"), 8, {"\"a\"", R"(found "8";)"});
  says(R"({"a\u001b\n":null})", 0, {R"("a\x1b\x0a")", "null"});
  says("{" + tensor("a", "U8", "[2]", 0, 2) + "," + tensor("b", "U8", "[2]", 3, 5) + "}", 5,
       {"\"b\"", "[3, 5)", "hole of 1 byte"});
  says("{" + tensor("a", "U8", "[2]", 0, 2) + "," + tensor("b", "U8", "[2]", 1, 3) + "}", 3,
       {"\"b\"", "overlaps", "\"a\"", "[0, 2)"});
  says("{" + tensor("a", "U8", "[2]", 0, 2) + "," + tensor("b", "U8", "[2]", 0, 2) + "}", 2,
       {"\"b\"", "shares", "\"a\"", "save_model"});
}

}  // namespace
}  // namespace wisemerge
