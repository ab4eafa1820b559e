#include "core/xxh3.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cpu/kernels.h"

namespace wisemerge {
namespace {

static_assert(std::endian::native == std::endian::little, "the hash reads its input as little-endian words");

constexpr uint64_t kPrime64_1 = 0x9E3779B185EBCA87;
constexpr size_t kSecretBytes = 192;

// The specification's default secret.
constexpr uint8_t kSecret[kSecretBytes] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e};

uint64_t word(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
uint32_t half(const uint8_t* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

uint64_t folded_product(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t avalanche(uint64_t h) {
  h = (h ^ (h >> 37)) * 0x165667919E3779F9ull;
  return h ^ (h >> 32);
}

// XXH64's, which the shortest inputs use.
uint64_t avalanche64(uint64_t h) {
  h = (h ^ (h >> 33)) * 0xC2B2AE3D27D4EB4Full;
  h = (h ^ (h >> 29)) * 0x165667B19E3779F9ull;
  return h ^ (h >> 32);
}

uint64_t mix16(const uint8_t* in, const uint8_t* secret) {
  return folded_product(word(in) ^ word(secret), word(in + 8) ^ word(secret + 8));
}

uint64_t hash_up_to_16(const uint8_t* in, size_t n) {
  if (n == 0) return avalanche64(word(kSecret + 56) ^ word(kSecret + 64));
  if (n < 4) {
    const uint32_t mixed = static_cast<uint32_t>(in[0]) << 16 | static_cast<uint32_t>(in[n >> 1]) << 24 |
                           in[n - 1] | static_cast<uint32_t>(n) << 8;
    return avalanche64(mixed ^ static_cast<uint64_t>(half(kSecret) ^ half(kSecret + 4)));
  }
  if (n <= 8) {
    const uint64_t value = half(in + n - 4) + (static_cast<uint64_t>(half(in)) << 32);
    uint64_t h = value ^ word(kSecret + 8) ^ word(kSecret + 16);
    h = (h ^ std::rotl(h, 49) ^ std::rotl(h, 24)) * 0x9FB21C651E98DF25ull;
    h = (h ^ ((h >> 35) + n)) * 0x9FB21C651E98DF25ull;
    return h ^ (h >> 28);
  }
  const uint64_t low = word(in) ^ word(kSecret + 24) ^ word(kSecret + 32);
  const uint64_t high = word(in + n - 8) ^ word(kSecret + 40) ^ word(kSecret + 48);
  return avalanche(n + __builtin_bswap64(low) + high + folded_product(low, high));
}

uint64_t hash_17_to_128(const uint8_t* in, size_t n) {
  uint64_t h = n * kPrime64_1;
  for (size_t i = (n - 1) / 32 + 1; i-- > 0;) {
    h += mix16(in + 16 * i, kSecret + 32 * i);
    h += mix16(in + n - 16 * (i + 1), kSecret + 32 * i + 16);
  }
  return avalanche(h);
}

uint64_t hash_129_to_240(const uint8_t* in, size_t n) {
  uint64_t h = n * kPrime64_1;
  for (size_t i = 0; i < 8; i++) h += mix16(in + 16 * i, kSecret + 16 * i);
  h = avalanche(h);
  for (size_t i = 8; i < n / 16; i++) h += mix16(in + 16 * i, kSecret + 16 * (i - 8) + 3);
  return avalanche(h + mix16(in + n - 16, kSecret + 136 - 17));
}

const cpu::Kernels& kernels() {
  static const cpu::Kernels* const best = cpu::select_kernels(nullptr);
  return *best;
}

}  // namespace

void Xxh3::update(const void* data, size_t length) {
  const auto* in = static_cast<const uint8_t*>(data);
  if (length == 0) return;
  total_ += length;
  uint8_t* const buffer = recent_ + kStripe;
  // A block is consumed only when more data follows: the last one is treated differently.
  const size_t fill = std::min(length, kBlock - buffered_);
  std::memcpy(buffer + buffered_, in, fill);
  buffered_ += fill;
  in += fill;
  length -= fill;
  if (length == 0) return;
  kernels().xxh3_blocks(lanes_, buffer, kSecret, 1);
  std::memcpy(recent_, buffer + kBlock - kStripe, kStripe);
  if (length > kBlock) {
    const size_t blocks = (length - 1) / kBlock;
    kernels().xxh3_blocks(lanes_, in, kSecret, blocks);
    in += blocks * kBlock;
    length -= blocks * kBlock;
    std::memcpy(recent_, in - kStripe, kStripe);
  }
  std::memcpy(buffer, in, length);
  buffered_ = length;
}

uint64_t Xxh3::digest() const {
  const uint8_t* const buffer = recent_ + kStripe;
  if (total_ <= 16) return hash_up_to_16(buffer, total_);
  if (total_ <= 128) return hash_17_to_128(buffer, total_);
  if (total_ <= 240) return hash_129_to_240(buffer, total_);
  uint64_t lanes[8];
  std::copy_n(lanes_, 8, lanes);
  kernels().xxh3_accumulate(lanes, buffer, kSecret, (buffered_ - 1) / kStripe);
  kernels().xxh3_accumulate(lanes, buffer + buffered_ - kStripe, kSecret + kSecretBytes - 64 - 7, 1);
  uint64_t h = total_ * kPrime64_1;
  for (size_t i = 0; i < 4; i++) {
    const uint8_t* const secret = kSecret + 11 + 16 * i;
    h += folded_product(lanes[2 * i] ^ word(secret), lanes[2 * i + 1] ^ word(secret + 8));
  }
  return avalanche(h);
}

}  // namespace wisemerge
