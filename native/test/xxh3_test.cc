#include "core/xxh3.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "check.h"
#include "cpu/kernels.h"

using namespace wisemerge;

namespace {

std::vector<uint8_t> sample(size_t length) {
  std::vector<uint8_t> bytes(length);
  for (size_t i = 0; i < length; i++) {
    bytes[i] = static_cast<uint8_t>(static_cast<uint32_t>(i) * 2654435761u >> 24);
  }
  return bytes;
}

// Of the first bytes of sample(), by the reference library (xxHash 0.8.2 through @node-rs/xxhash 1.7).
constexpr struct {
  size_t length;
  uint64_t hash;
} kVectors[] = {
    {0, 0x2d06800538d394c2},     {1, 0xc44bdff4074eecdb},      {2, 0xb0a5d4f167a89d5e},
    {3, 0xe14090f554a5ea90},     {4, 0x2e8d078a566e9749},      {7, 0xe6f7770846c47df5},
    {8, 0xcd1c7f88482fcaef},     {9, 0xbfe43def699fa9e3},      {16, 0x81e9eb8634460bb9},
    {17, 0x9998430fd0a655be},    {31, 0x6427c268ccd55706},     {32, 0x938c25dd24c9cf3b},
    {33, 0x0e399d30188e9c8e},    {64, 0x22a06b30c4c72936},     {65, 0x7faff6eee7812d5c},
    {96, 0x324046d7ff9771f1},    {97, 0x00d61f9a16f8effd},     {127, 0x29a5be88e84cd571},
    {128, 0x75eca5c5d5594884},   {129, 0xa05da42e7a4e4667},    {143, 0x516036caa68597ec},
    {144, 0x2e63ceed9f938e07},   {239, 0xa44c92feed3d48fa},    {240, 0x5eb2467c8c9e3969},
    {241, 0x2d431e984c441f15},   {255, 0x6cb5279bb1267b3b},    {256, 0x1369aaf85f8b805a},
    {1023, 0x4e30bb611faa8f67},  {1024, 0xe99def1145f12936},   {1025, 0x83cba9b371e4e7f4},
    {1087, 0x7a31d7be13f5411b},  {1088, 0x8e7e69b3a7124813},   {1089, 0xa958a59c9718acc1},
    {2047, 0xa585963f99e7d6a8},  {2048, 0x53275d58cfba68fd},   {2049, 0x3cd32460d504d215},
    {2112, 0xcd086db4e4ebb936},  {3072, 0x34d5597caf47763c},   {3073, 0xa450d83aeb4a4cd1},
    {65536, 0x20605b76ceddc43b}, {100003, 0x507db29bd764a682},
};

}  // namespace

TEST("xxh3: the reference library's hashes, in one piece and in many") {
  const std::vector<uint8_t> bytes = sample(100003);
  for (const auto& [length, hash] : kVectors) {
    // Pieces around the stripe (64) and block (1024) sizes, and one longer than all inputs.
    for (const size_t piece : {1, 63, 64, 65, 1000, 1023, 1024, 1025, 2049, 4096, 200000}) {
      if (length > 5000 && piece < 64) continue;
      Xxh3 state;
      for (size_t at = 0; at < length; at += piece) {
        state.update(bytes.data() + at, std::min(piece, length - at));
      }
      CHECK_EQ(state.digest(), hash);
      CHECK_EQ(state.digest(), hash);
    }
  }
}

TEST("xxh3: every SIMD level hashes alike") {
  constexpr size_t kBlocks = 5;
  const std::vector<uint8_t> bytes = sample(1024 * kBlocks + 7), secret = sample(192 + 3);
  uint64_t expected[8] = {};
  const auto hash = [&](const cpu::Kernels* level, uint64_t* lanes) {
    level->xxh3_blocks(lanes, bytes.data() + 7, secret.data() + 3, kBlocks);
    level->xxh3_accumulate(lanes, bytes.data() + 5, secret.data() + 3, 13);
  };
  hash(cpu::baseline_kernels(), expected);
  for (const char* isa : {"avx2", "avx512"}) {
    // The best level up to this one: on a smaller CPU the baseline again.
    uint64_t lanes[8] = {};
    hash(cpu::select_kernels(isa), lanes);
    CHECK(std::equal(lanes, lanes + 8, expected));
  }
}
