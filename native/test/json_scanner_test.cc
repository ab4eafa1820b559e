// Grammar, UTF-8 and escapes of JsonScanner; quoted(); the duplicate search and its hash.
#include "core/json_scanner.h"

#include "check.h"
#include "core/duplicate_keys.h"

namespace wisemerge {
namespace {

JsonScanner scan(std::string_view text) { return JsonScanner(text, {"ERR_TEST", "the text", "fix it"}); }

// "" if `text` is one JSON value, the message otherwise.
std::string syntax_error(std::string_view text) {
  try {
    JsonScanner scanner = scan(text);
    scanner.skip_value();
    scanner.finish();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

bool is_json(std::string_view text) { return syntax_error(text).empty(); }

bool is_string(const std::string& inside) { return is_json('"' + inside + '"'); }

std::string unescape(std::string_view text) { return std::string(scan(text).string()); }

TEST("json: values of every kind") {
  for (const char* text :
       {"null", "true", "false", "0", "-0", "10", "-1.5", "0.5", "1e5", "1E+5", "1e-05", "[]", "{}", "[ ]",
        "{ }", " [1 , 2]\r\n\t", R"({"a":{"b":[{}]},"a":""})", "\"\""}) {
    CHECK_EQ(syntax_error(text), "");
  }
}

TEST("json: what the grammar forbids") {
  for (const char* text : {"",
                           " ",
                           "nul",
                           "nulll",
                           "True",
                           "NaN",
                           "Infinity",
                           "-",
                           "+1",
                           "01",
                           "-01",
                           "00",
                           "1.",
                           ".5",
                           "1.e5",
                           "1e",
                           "1e+",
                           "0x10",
                           "1_000",
                           "[",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,]",
                           "[1 2]",
                           "]",
                           "{",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{'a':1}",
                           "{1:1}",
                           "{\"a\" 1}",
                           "{\"a\":1 \"b\":2}",
                           "[1}",
                           "{\"a\":1]",
                           "'a'",
                           "[1]x",
                           "1 2",
                           "/**/1",
                           "[1,,2]",
                           "\"a",
                           "\xef\xbb\xbf[]"}) {
    if (is_json(text)) test::fail(__FILE__, __LINE__, std::string("accepted: ") + text);
  }
  CHECK(!is_json(std::string_view("[1]\0", 4)));
  CHECK(!is_json(std::string_view("\0[1]", 4)));
}

TEST("json: depth is bounded") {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  CHECK(is_json(nested(JsonScanner::kMaxDepth)));
  CHECK(!is_json(nested(JsonScanner::kMaxDepth + 1)));
  CHECK(!is_json(std::string(10'000'000, '[')));
  std::string objects;
  for (int i = 0; i < 1'000'000; i++) objects += "{\"\":";
  CHECK(!is_json(objects));
}

// Every position within the eight bytes that the string loop takes at once.
TEST("json: strings of every length end at their quote") {
  for (size_t length = 0; length < 40; length++) {
    const std::string body(length, 'x');
    CHECK_EQ(unescape('"' + body + "\"tail tail tail"), body);
    for (size_t at = 0; at < length; at++) {
      for (int c = 0; c < 256; c++) {
        std::string changed = body;
        changed[at] = static_cast<char>(c);
        const bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
        CHECK_EQ(is_string(changed), plain);
      }
    }
  }
}

TEST("json: well-formed UTF-8 is kept") {
  for (const char* text :
       {"\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "caf\xc3\xa9 \xe2\x88\x91"}) {
    CHECK_EQ(unescape('"' + std::string(text) + '"'), text);
  }
}

TEST("json: ill-formed UTF-8 is an error") {
  for (const char* text : {
           "\x80",
           "\xbf",
           "\xc2",
           "\xc2x",
           "\xc2\xc0",  // stray and missing continuation
           "\xc0\x80",
           "\xc1\xbf",
           "\xe0\x80\x80",
           "\xe0\x9f\xbf",  // overlong
           "\xf0\x80\x80\x80",
           "\xf0\x8f\xbf\xbf",  //
           "\xed\xa0\x80",
           "\xed\xbf\xbf",
           "\xed\xa0\x80\xed\xb0\x80",  // surrogates, alone and as CESU-8
           "\xf4\x90\x80\x80",
           "\xf5\x80\x80\x80",
           "\xfe",
           "\xff",  // above U+10FFFF
           "\xe2\x82",
           "\xe2\x82x",
           "\xf0\x9f\x98",
           "\xf0\x9f\x98x",  // cut short
       }) {
    CHECK(!is_string(text));
    CHECK(!is_json('"' + std::string(text)));
  }
}

TEST("json: every scalar value survives, raw and escaped, and every surrogate alone is refused") {
  char escaped[16];
  for (uint32_t point = 0x20; point < 0x10000; point++) {
    std::snprintf(escaped, sizeof escaped, "\"\\u%04x\"", point);
    if (point >= 0xd800 && point < 0xe000) {
      CHECK(!is_json(escaped));
      continue;
    }
    const std::string text = unescape(escaped);
    CHECK_EQ(text.size(), point < 0x80 ? 1u : point < 0x800 ? 2u : 3u);
    if (point != '"' && point != '\\') CHECK_EQ(unescape('"' + text + '"'), text);
  }
}

TEST("json: escapes") {
  CHECK_EQ(unescape(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  CHECK_EQ(unescape(R"("\u0041\u00e9\u20AC\ud83d\ude00 tail")"),
           "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 tail");
  CHECK_EQ(unescape(R"("\uD800\uDC00\udbff\udfff")"), "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
  CHECK_EQ(unescape(R"("\u0000")"), std::string(1, '\0'));
  for (const char* text : {R"(\x)", R"(\a)", R"(\0)", R"(\')", R"(\U0041)", R"(\u)", R"(\u004)", R"(\u00g0)",
                           R"(\ud800)", R"(\udc00)", R"(\ud800\ud800)", R"(\ud800\u0041)", R"(\ud800x)",
                           R"(\ud800\n)", R"(\udc00\ud800)", R"(\u+041)", R"(\u 041)", "\\"}) {
    CHECK(!is_string(text));
  }
  for (const char* text : {"\"\\", "\"\\u", "\"\\u12", "\"\\ud800\\", "\"\\ud800\\u"}) CHECK(!is_json(text));
}

TEST("json: numbers say whether they are plain digits, and saturate") {
  const auto number = [](std::string_view text) { return scan(text).number(); };
  CHECK_EQ(number("0").value, 0u);
  CHECK_EQ(number("18446744073709551615").value, UINT64_MAX);
  CHECK_EQ(number("18446744073709551614").value, UINT64_MAX - 1);
  CHECK_EQ(number("18446744073709551616").value, UINT64_MAX);
  CHECK_EQ(number("99999999999999999999999").value, UINT64_MAX);
  CHECK(number("12,").digits_only);
  for (const char* text : {"-0", "-12", "8.0", "8e0", "1E2"}) CHECK(!number(text).digits_only);
  CHECK_EQ(number(" 8.50e-1]").text, "8.50e-1");
}

TEST("json: errors give the byte and what was found") {
  CHECK_EQ(syntax_error("[1,x]"),
           "the text is not valid JSON at byte 3: expected a value, found 'x'; fix it");
  CHECK_EQ(syntax_error("[1"), "the text is not valid JSON at byte 2: expected ']', found the end; fix it");
  CHECK_EQ(syntax_error("[\"a\n\"]"),
           "the text is not valid JSON at byte 3: a control character in a string must be escaped, "
           "found byte 0x0a; fix it");
}

TEST("quoted and printable: safe in a line of text") {
  CHECK_EQ(quoted("a\"b\\c"), R"("a\"b\\c")");
  CHECK_EQ(quoted("a\n\x1b[31m\x7f"), R"("a\x0a\x1b[31m\x7f")");
  CHECK_EQ(quoted("\xff\xc3"), R"("\xff\xc3")");
  CHECK_EQ(quoted("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
  CHECK_EQ(quoted("\xc2\x9b\xe2\x80\xae"), R"("\xc2\x9b\xe2\x80\xae")");
  CHECK_EQ(quoted(std::string(500, 'x')), '"' + std::string(200, 'x') + "...\"");
  CHECK_EQ(printable("[\"a\\n\",\t1]"), R"(["a\n",\x091])");
  CHECK_EQ(quoted(std::string(200, 'x')), '"' + std::string(200, 'x') + '"');
}

// The paper's own vectors (appendix A and the reference table) fix the round function and the tail.
TEST("siphash: reference vectors of SipHash-2-4") {
  const SipKey key{0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
  std::string text;
  CHECK_EQ((siphash<2, 4>(text, key)), 0x726fdb47dd0e0e31u);
  for (char c = 0; c < 15; c++) text += c;
  CHECK_EQ((siphash<2, 4>(text, key)), 0xa129ca6149be45e5u);
  CHECK((siphash<1, 3>(text, key)) != (siphash<1, 3>(text, SipKey{1, 2})));
}

TEST("find_duplicate: finds the one pair wherever it is") {
  for (const size_t count : {2, 3, 15, 16, 17, 1000}) {
    for (size_t first = 0; first + 1 < count; first += count / 7 + 1) {
      for (size_t second = first + 1; second < count; second += count / 5 + 1) {
        KeyList keys;
        for (size_t i = 0; i < count; i++) keys.push("key" + std::to_string(i == second ? first : i));
        const auto found = find_duplicate(keys.bytes, keys.ends);
        CHECK(found && *found == second);
      }
    }
    KeyList distinct;
    for (size_t i = 0; i < count; i++) distinct.push(std::string(i, 'x'));
    CHECK(!find_duplicate(distinct.bytes, distinct.ends));
  }
  CHECK(!find_duplicate("", {}));
}

}  // namespace
}  // namespace wisemerge
