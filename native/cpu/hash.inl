// The inner loop of XXH3 (core/xxh3.h): 64-byte stripes into 8 lanes of 64 bits. The secret moves on by 8
// bytes from stripe to stripe.

void xxh3_accumulate(uint64_t* lanes, const uint8_t* in, const uint8_t* secret, size_t stripes) {
  constexpr size_t kLines = 64 / sizeof(Line);
  Line sums[kLines];
  for (size_t i = 0; i < kLines; i++) sums[i] = load_line(lanes + i * sizeof(Line) / 8);
  for (size_t s = 0; s < stripes; s++, in += 64, secret += 8) {
    // Far enough ahead for memory, which is where outputs written past the caches come from.
    __builtin_prefetch(in + 512);
    for (size_t i = 0; i < kLines; i++) {
      const Line data = load_line(in + i * sizeof(Line));
      sums[i] = hash_line(sums[i], data, load_line(secret + i * sizeof(Line)));
    }
  }
  for (size_t i = 0; i < kLines; i++) store_line(lanes + i * sizeof(Line) / 8, sums[i]);
}
