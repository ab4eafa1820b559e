// The inner loops of XXH3 (core/xxh3.h): 64-byte stripes into 8 lanes of 64 bits. The secret moves on by 8
// bytes from stripe to stripe; after a block of 16 stripes the lanes are scrambled with its last 64 bytes.

WM_FORCE_INLINE void hash_stripes(Line* sums, const uint8_t* in, const uint8_t* secret, size_t stripes) {
  for (size_t s = 0; s < stripes; s++, in += 64, secret += 8) {
    // Far enough ahead for memory, which is where outputs written past the caches come from.
    __builtin_prefetch(in + 1024);
    for (size_t i = 0; i < 64 / sizeof(Line); i++) {
      sums[i] = hash_line(sums[i], load_line(in + i * sizeof(Line)), load_line(secret + i * sizeof(Line)));
    }
  }
}

void xxh3_accumulate(uint64_t* lanes, const uint8_t* in, const uint8_t* secret, size_t stripes) {
  Line sums[64 / sizeof(Line)];
  __builtin_memcpy(sums, lanes, sizeof(sums));
  hash_stripes(sums, in, secret, stripes);
  __builtin_memcpy(lanes, sums, sizeof(sums));
}

void xxh3_blocks(uint64_t* lanes, const uint8_t* in, const uint8_t* secret, size_t blocks) {
  Line sums[64 / sizeof(Line)];
  __builtin_memcpy(sums, lanes, sizeof(sums));
  for (size_t b = 0; b < blocks; b++, in += 1024) {
    hash_stripes(sums, in, secret, 16);
    for (size_t i = 0; i < 64 / sizeof(Line); i++) {
      sums[i] = scramble_line(sums[i], load_line(secret + 128 + i * sizeof(Line)));
    }
  }
  __builtin_memcpy(lanes, sums, sizeof(sums));
}
