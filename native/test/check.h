// The native tests' harness: TEST(name) { CHECK(...); }, one executable, run all or those whose name contains
// an argument. A failed CHECK prints file, line and values, fails the test and leaves the rest running.
#pragma once

#include <cstdio>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace wisemerge::test {

struct Case {
  const char* name;
  std::function<void()> body;
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registration {
  Registration(const char* name, std::function<void()> body) { cases().push_back({name, std::move(body)}); }
};

inline void fail(const char* file, int line, const std::string& what) {
  // A broken kernel fails millions of times: print the first few.
  if (++failures() <= 20) std::printf("%s:%d: %s\n", file, line, what.c_str());
}

template <class A, class B>
void check_equal(const A& a, const B& b, const char* a_text, const char* b_text, const char* file, int line) {
  if (a == b) return;
  std::ostringstream text;
  text << a_text << " == " << b_text << "  (" << a << " vs " << b << ")";
  fail(file, line, text.str());
}

inline int run(int argc, char** argv) {
  int ran = 0, failed = 0;
  for (const Case& test : cases()) {
    bool wanted = argc < 2;
    for (int i = 1; i < argc; i++) wanted |= std::strstr(test.name, argv[i]) != nullptr;
    if (!wanted) continue;
    failures() = 0;
    try {
      test.body();
    } catch (const std::exception& error) {
      fail(test.name, 0, std::string("exception: ") + error.what());
    }
    ran++;
    failed += failures() > 0;
    std::printf("%s %s\n", failures() ? "FAIL" : "ok  ", test.name);
  }
  std::printf("%d passed, %d failed\n", ran - failed, failed);
  return failed || !ran ? 1 : 0;
}

}  // namespace wisemerge::test

#define WM_CONCAT_(a, b) a##b
#define WM_CONCAT(a, b) WM_CONCAT_(a, b)
#define TEST(name)                                                                                     \
  static void WM_CONCAT(test_, __LINE__)();                                                            \
  static ::wisemerge::test::Registration WM_CONCAT(reg_, __LINE__)(name, &WM_CONCAT(test_, __LINE__)); \
  static void WM_CONCAT(test_, __LINE__)()
#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) ::wisemerge::test::fail(__FILE__, __LINE__, #condition); \
  } while (0)
#define CHECK_EQ(a, b) ::wisemerge::test::check_equal((a), (b), #a, #b, __FILE__, __LINE__)
