// The native tests' harness: TEST(name) { CHECK(...); }, one executable, run all or those whose name contains
// an argument. `--part 1/3` leaves the rest to two other processes. A failed CHECK prints file, line and
// values, fails the test and leaves the rest running.
#pragma once

#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace wisemerge::test {

// Sanitizers look at where code goes, not at values, and take their time: a grid of values is thinner there.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

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
  unsigned part = 1, parts = 1;
  std::vector<const char*> names;
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--part") != 0) {
      names.push_back(argv[i]);
    } else if (++i == argc || std::sscanf(argv[i], "%u/%u", &part, &parts) != 2 || !part || part > parts) {
      std::fprintf(stderr, "usage: %s [--part I/N] [NAME ...]\n", argv[0]);
      return 2;
    }
  }
  int ran = 0, failed = 0;
  for (size_t i = part - 1; i < cases().size(); i += parts) {
    const Case& test = cases()[i];
    bool wanted = names.empty();
    for (const char* name : names) wanted |= std::strstr(test.name, name) != nullptr;
    if (!wanted) continue;
    failures() = 0;
    const auto began = std::chrono::steady_clock::now();
    try {
      test.body();
    } catch (const std::exception& error) {
      fail(test.name, 0, std::string("exception: ") + error.what());
    }
    ran++;
    failed += failures() > 0;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::printf("%s %s", failures() ? "FAIL" : "ok  ", test.name);
    std::printf(took.count() < 0.5 ? "\n" : " (%.1f s)\n", took.count());
    std::fflush(stdout);
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
