#include "core/json_scanner.h"

#include <bit>
#include <cstring>

namespace wisemerge {
namespace {

static_assert(std::endian::native == std::endian::little, "the first byte in memory is the lowest of a word");

constexpr uint64_t kOnes = 0x0101010101010101u;
constexpr uint64_t kHighs = 0x8080808080808080u;

// Number of leading bytes of the word that a string may hold as they are: printable ASCII but '"' and '\'.
// A borrow in the subtractions can flag a byte wrongly, but only above one that is flagged rightly.
inline size_t plain_bytes(uint64_t word) {
  const uint64_t quote = word ^ (kOnes * '"');
  const uint64_t backslash = word ^ (kOnes * '\\');
  const uint64_t special = ((quote - kOnes) & ~quote) | ((backslash - kOnes) & ~backslash) |
                           ((word - kOnes * 0x20) & ~word) | word;
  return static_cast<size_t>(std::countr_zero(special & kHighs)) / 8;
}

// Length of the well-formed UTF-8 sequence of 2 to 4 bytes at `p` (Unicode table 3-7: no overlong forms, no
// surrogates, nothing above U+10FFFF); 0 if there is none.
size_t utf8_sequence(const char* p, const char* end) {
  const auto byte = [p](size_t i) { return static_cast<uint8_t>(p[i]); };
  const auto continues = [&byte](size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const size_t left = static_cast<size_t>(end - p);
  const uint8_t lead = byte(0);
  if (lead < 0xc2 || lead > 0xf4) return 0;
  if (lead < 0xe0) return left >= 2 && continues(1) ? 2 : 0;
  if (lead < 0xf0) {
    if (left < 3 || !continues(1) || !continues(2)) return 0;
    if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f)) return 0;
    return 3;
  }
  if (left < 4 || !continues(1) || !continues(2) || !continues(3)) return 0;
  if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) return 0;
  return 4;
}

void append_utf8(std::string& to, uint32_t point) {
  const auto tail = [&to, point](int shift) { to += static_cast<char>(0x80u | ((point >> shift) & 0x3fu)); };
  if (point < 0x80) {
    to += static_cast<char>(point);
  } else if (point < 0x800) {
    to += static_cast<char>(0xc0u | (point >> 6));
    tail(0);
  } else if (point < 0x10000) {
    to += static_cast<char>(0xe0u | (point >> 12));
    tail(6), tail(0);
  } else {
    to += static_cast<char>(0xf0u | (point >> 18));
    tail(12), tail(6), tail(0);
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// C1 controls, and the line separators and bidirectional controls that reorder what a terminal shows.
bool is_unprintable(std::string_view sequence) {
  if (sequence.size() == 2) return sequence[0] == '\xc2' && static_cast<uint8_t>(sequence[1]) < 0xa0;
  if (sequence.size() != 3 || sequence[0] != '\xe2') return false;
  const uint8_t last = static_cast<uint8_t>(sequence[2]);
  if (sequence[1] == '\x80') return last >= 0xa8 && last <= 0xae;  // U+2028 to U+202E
  return sequence[1] == '\x81' && last >= 0xa6 && last <= 0xa9;    // U+2066 to U+2069
}

std::string hex_byte(char c) {
  constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<uint8_t>(c);
  return {kDigits[byte >> 4], kDigits[byte & 15]};
}

std::string printable_cut(std::string_view text, bool escape_quotes) {
  constexpr size_t kLongest = 200;
  std::string out;
  const char* end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    if (out.size() >= kLongest) return out + "...";
    const auto byte = static_cast<uint8_t>(*p);
    const size_t length = byte < 0x80 ? 1 : utf8_sequence(p, end);
    const std::string_view sequence(p, length ? length : 1);
    if (!length || byte < 0x20 || byte == 0x7f || is_unprintable(sequence)) {
      for (const char c : sequence) out += "\\x" + hex_byte(c);
    } else {
      if (escape_quotes && (byte == '"' || byte == '\\')) out += '\\';
      out += sequence;
    }
    p += sequence.size();
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return printable_cut(text, false); }

bool is_utf8(std::string_view text) {
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const size_t length = static_cast<uint8_t>(*p) < 0x80 ? 1 : utf8_sequence(p, end);
    if (!length) return false;
    p += length;
  }
  return true;
}

std::string quoted(std::string_view text) { return '"' + printable_cut(text, true) + '"'; }

void JsonScanner::fail(const std::string& what) const {
  std::string found = "the end";
  if (next_ < end_) {
    const bool printable = *next_ > ' ' && *next_ < 0x7f;
    found = printable ? std::string("'") + *next_ + "'" : "byte 0x" + hex_byte(*next_);
  }
  throw Error(blame_.code, std::string(blame_.subject) + " is not valid JSON at byte " +
                               std::to_string(next_ - begin_) + ": " + what + ", found " + found + "; " +
                               blame_.hint);
}

void JsonScanner::fail_expected(char token) const { fail(std::string("expected '") + token + "'"); }

void JsonScanner::finish() {
  skip_space();
  if (next_ < end_) fail("only spaces may follow the closing '}'");
}

std::string_view JsonScanner::string() {
  if (peek() != '"') fail("expected a string in double quotes");
  const char* run = ++next_;  // start of the bytes that are not in unescaped_ yet
  bool escaped = false;
  for (;;) {
    while (end_ - next_ >= 8) {
      uint64_t word;
      std::memcpy(&word, next_, 8);
      const size_t plain = plain_bytes(word);
      next_ += plain;
      if (plain < 8) break;
    }
    if (next_ == end_) fail("a string does not end");
    const auto byte = static_cast<uint8_t>(*next_);
    if (byte == '"') {
      const std::string_view rest(run, static_cast<size_t>(next_++ - run));
      return escaped ? std::string_view(unescaped_.append(rest)) : rest;
    }
    if (byte == '\\') {
      if (!escaped) unescaped_.clear();
      escaped = true;
      unescaped_.append(run, next_);
      unescape();
      run = next_;
    } else if (byte >= 0x80) {
      const size_t length = utf8_sequence(next_, end_);
      if (!length) fail("a string is not valid UTF-8");
      next_ += length;
    } else if (byte < 0x20) {
      fail("a control character in a string must be escaped");
    } else {
      next_++;
    }
  }
}

void JsonScanner::unescape() {
  constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
  next_++;
  if (next_ < end_ && *next_ != 'u') {
    const size_t i = kEscapes.find(*next_);
    if (i == std::string_view::npos) fail("unknown escape in a string");
    unescaped_ += kMeanings[i];
    next_++;
    return;
  }
  uint32_t point = hex4();
  if (point >= 0xdc00 && point <= 0xdfff) fail("\\u escape of a low surrogate without a high one");
  if (point >= 0xd800 && point <= 0xdbff) {
    if (next_ == end_ || *next_ != '\\') fail("\\u escape of a high surrogate without a low one");
    next_++;
    const uint32_t low = hex4();
    if (low < 0xdc00 || low > 0xdfff) fail("\\u escape of a high surrogate without a low one");
    point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
  }
  append_utf8(unescaped_, point);
}

uint32_t JsonScanner::hex4() {
  if (next_ == end_ || *next_ != 'u') fail("expected a \\u escape");
  next_++;
  uint32_t value = 0;
  for (int i = 0; i < 4; i++, next_++) {
    const char c = next_ < end_ ? *next_ : '\0';
    const char lower = static_cast<char>(c | 0x20);
    if (!is_digit(c) && (lower < 'a' || lower > 'f')) fail("expected four hexadecimal digits after \\u");
    value = value * 16 + static_cast<uint32_t>(is_digit(c) ? c - '0' : lower - 'a' + 10);
  }
  return value;
}

JsonScanner::Number JsonScanner::number() {
  const char first = peek();
  const char* start = next_;
  if (first == '-') next_++;
  if (next_ == end_ || !is_digit(*next_)) fail("expected a digit");
  if (*next_ == '0' && end_ - next_ > 1 && is_digit(next_[1])) fail("a number may not start with a zero");
  uint64_t value = 0;
  for (; next_ < end_ && is_digit(*next_); next_++) {
    const uint64_t digit = static_cast<uint64_t>(*next_ - '0');
    value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
  }
  bool digits_only = first != '-';
  if (next_ < end_ && *next_ == '.') {
    digits_only = false;
    next_++;
    skip_digits();
  }
  if (next_ < end_ && (*next_ == 'e' || *next_ == 'E')) {
    digits_only = false;
    next_++;
    if (next_ < end_ && (*next_ == '+' || *next_ == '-')) next_++;
    skip_digits();
  }
  return {std::string_view(start, static_cast<size_t>(next_ - start)), digits_only, value};
}

void JsonScanner::skip_digits() {
  if (next_ == end_ || !is_digit(*next_)) fail("expected a digit");
  while (next_ < end_ && is_digit(*next_)) next_++;
}

void JsonScanner::skip_literal(std::string_view literal) {
  for (const char c : literal) {
    if (next_ == end_ || *next_ != c) fail("expected " + std::string(literal));
    next_++;
  }
}

std::string_view JsonScanner::skip_value(int depth) {
  const char first = peek();
  const char* start = next_;
  if ((first == '{' || first == '[') && depth == kMaxDepth) {
    fail("values nest deeper than " + std::to_string(kMaxDepth) + " levels");
  }
  switch (first) {
    case '{':
      next_++;
      if (accept('}')) break;
      do {
        string();
        expect(':');
        skip_value(depth + 1);
      } while (accept(','));
      expect('}');
      break;
    case '[':
      next_++;
      if (accept(']')) break;
      do skip_value(depth + 1);
      while (accept(','));
      expect(']');
      break;
    case '"':
      string();
      break;
    case 't':
      skip_literal("true");
      break;
    case 'f':
      skip_literal("false");
      break;
    case 'n':
      skip_literal("null");
      break;
    default:
      if (first != '-' && !is_digit(first)) fail("expected a value");
      number();
  }
  return std::string_view(start, static_cast<size_t>(next_ - start));
}

}  // namespace wisemerge
