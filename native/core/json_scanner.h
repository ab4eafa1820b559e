// A forward-only scanner over one strict JSON text (RFC 8259, valid UTF-8). The caller asks for the token it
// expects next and nothing is kept: a header of half a million tensors needs no tree of values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/status.h"

namespace wisemerge {

// Text out of a file, fit for one line of an error message or a terminal: control and bidirectional-override
// characters and invalid UTF-8 as \xNN, cut at 200 bytes. `quoted`, for names, adds double quotes around it
// and escapes those inside; `printable` is for JSON as written.
std::string quoted(std::string_view text);
std::string printable(std::string_view text);

// Whether all of it is well-formed UTF-8.
bool is_utf8(std::string_view text);

class JsonScanner {
 public:
  // What a syntax error says: Error{code, "SUBJECT is not valid JSON at byte N: ...; HINT"}.
  struct Blame {
    const char* code;
    const char* subject;
    const char* hint;
  };

  // `text` is the number as written; `value` is its value if it is written as digits only (no sign, fraction
  // or exponent), saturated at UINT64_MAX.
  struct Number {
    std::string_view text;
    bool digits_only;
    uint64_t value;
  };

  // Values nest at most this deep in skip_value.
  static constexpr int kMaxDepth = 64;

  JsonScanner(std::string_view text, const Blame& blame)
      : begin_(text.data()), next_(begin_), end_(begin_ + text.size()), blame_(blame) {}

  // The first byte after white space; 0 at the end (a NUL byte is no JSON token either).
  char peek() {
    skip_space();
    return next_ < end_ ? *next_ : '\0';
  }

  // Consumes `token` if it comes next.
  bool accept(char token) {
    if (peek() != token || next_ == end_) return false;
    next_++;
    return true;
  }

  void expect(char token) {
    if (!accept(token)) fail_expected(token);
  }

  // The next string, unescaped. The view lasts until the next call.
  std::string_view string();

  Number number();

  // Checks the grammar of any value and steps over it; returns it as written. Duplicate keys in it are not
  // looked for.
  std::string_view skip_value() { return skip_value(0); }

  // Nothing but white space may remain.
  void finish();

  // Throws the syntax error for the current position, naming the byte found there.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  void skip_space() {
    while (next_ < end_ && (*next_ == ' ' || *next_ == '\n' || *next_ == '\r' || *next_ == '\t')) next_++;
  }
  [[noreturn]] void fail_expected(char token) const;
  void skip_literal(std::string_view literal);
  void skip_digits();
  std::string_view skip_value(int depth);
  void unescape();
  uint32_t hex4();

  const char* begin_;
  const char* next_;
  const char* end_;
  Blame blame_;
  std::string unescaped_;
};

}  // namespace wisemerge
