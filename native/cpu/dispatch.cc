// Which kernels suit this CPU, and what it is called.
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "cpu/kernels.h"
#include "cpu/screen.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace wisemerge::cpu {
namespace {

bool always() { return true; }

#if defined(__x86_64__)
// __builtin_cpu_supports also asks whether the operating system saves the wide registers. Clang 14 does not
// know "f16c" there.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
// Older compilers do not know "avx512bf16" there; it needs no registers that AVX512 does not have.
bool has_avx512_bf16() {
  unsigned a, b, c, d;
  return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 5 & 1);
}
#if defined(__linux__)
// Linux (5.16 and later) keeps the tiles from a process until it asks for them, and refuses where the stack
// of a signal handler could not hold them.
bool has_amx_bf16() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a, b, c, d;
  static const bool granted = has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d >> 22 & 1) &&
                              (d >> 24 & 1) && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}
#else
bool has_amx_bf16() { return false; }
#endif
#else
bool has_avx2() { return false; }
bool has_avx512() { return false; }
bool has_avx512_bf16() { return false; }
bool has_amx_bf16() { return false; }
#endif

template <class Table>
struct Level {
  const char* isa;
  bool (*supported)();
  const Table* (*kernels)();
};

constexpr Level<Kernels> kLevels[] = {
    {"avx512", has_avx512, avx512_kernels},
    {"avx2", has_avx2, avx2_kernels},
    {"baseline", always, baseline_kernels},
};

constexpr Level<ScreenKernels> kScreenLevels[] = {
    {"amx", has_amx_bf16, amx_screen},
    {"avx512bf16", has_avx512_bf16, avx512bf16_screen},
};

// The first from `limit` on that the build and this CPU have, or null.
template <class Table, size_t kCount>
const Table* select(const Level<Table> (&levels)[kCount], const char* limit) {
  bool allowed = limit == nullptr;
  for (const Level<Table>& level : levels) {
    allowed = allowed || std::strcmp(level.isa, limit) == 0;
    const Table* const kernels = allowed ? level.kernels() : nullptr;
    if (kernels && level.supported()) return kernels;
  }
  return nullptr;
}

}  // namespace

const Kernels* select_kernels(const char* limit) { return select(kLevels, limit); }

const ScreenKernels* select_screen(const Kernels* level, const char* limit) {
  return level == avx512_kernels() ? select(kScreenLevels, limit) : nullptr;
}

void cpu_name(char* name, size_t size) {
  char text[128] = "";
#if defined(__x86_64__)
  unsigned words[12] = {};
  bool known = true;
  for (unsigned leaf = 0; leaf < 3; leaf++) {
    unsigned* w = words + 4 * leaf;
    known = known && __get_cpuid(0x80000002u + leaf, w, w + 1, w + 2, w + 3);
  }
  if (known) std::memcpy(text, words, sizeof(words));
#elif defined(__APPLE__)
  size_t bytes = sizeof(text) - 1;
  sysctlbyname("machdep.cpu.brand_string", text, &bytes, nullptr, 0);
#else
  // Few arm64 kernels print a model name here; the firmware's is the next best.
  if (FILE* file = std::fopen("/sys/firmware/devicetree/base/model", "r")) {
    if (!std::fgets(text, sizeof(text), file)) text[0] = 0;
    std::fclose(file);
  }
#endif
  const char* begin = text;
  while (*begin == ' ') begin++;
  size_t length = std::strlen(begin);
  while (length > 0 && (begin[length - 1] == ' ' || begin[length - 1] == '\n')) length--;
  if (length == 0) {
    begin = "CPU";
    length = 3;
  }
  length = std::min(length, size - 1);
  std::memcpy(name, begin, length);
  name[length] = 0;
}

}  // namespace wisemerge::cpu
