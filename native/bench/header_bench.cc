// Time of parse_safetensors_header on a header of 500 000 tensors as the usual writer lays it out, one core.
// Usage: header_bench [tensors] [rounds]. Prints one JSON line; the time is the best round's.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/safetensors_header.h"

namespace {

struct Header {
  std::string json;
  uint64_t data_bytes = 0;
};

// A mixture-of-experts decoder. With `shuffled`, entries come in another order than their data.
Header make_header(size_t tensors, bool shuffled) {
  static const char* const kProjections[] = {"down_proj", "gate_proj", "up_proj"};
  Header header;
  std::vector<std::string> entries;
  for (size_t i = 0; i < tensors; i++) {
    const size_t expert = i / 3;
    const uint64_t end = header.data_bytes + 2048 * 768 * 2;
    entries.push_back("\"model.layers." + std::to_string(expert / 512) + ".mlp.experts." +
                      std::to_string(expert % 512) + "." + kProjections[i % 3] +
                      ".weight\":{\"dtype\":\"BF16\",\"shape\":[2048,768],\"data_offsets\":[" +
                      std::to_string(header.data_bytes) + "," + std::to_string(end) + "]}");
    header.data_bytes = end;
  }
  if (shuffled) std::sort(entries.begin(), entries.end());
  header.json = R"({"__metadata__":{"format":"pt"})";
  for (const std::string& entry : entries) header.json += "," + entry;
  header.json += "}";
  header.json.resize((header.json.size() + 7) / 8 * 8, ' ');
  return header;
}

double best_ms(const Header& header, int rounds) {
  double best = 1e300;
  for (int round = 0; round < rounds; round++) {
    const auto start = std::chrono::steady_clock::now();
    const auto parsed = wisemerge::parse_safetensors_header(header.json, header.data_bytes);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (parsed.size()) best = std::min(best, took.count());
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t tensors = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 500'000;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 5;
  const Header ordered = make_header(tensors, false), shuffled = make_header(tensors, true);
  const double ordered_ms = best_ms(ordered, rounds), shuffled_ms = best_ms(shuffled, rounds);
  std::printf(R"({"bench":"safetensors_header","tensors":%zu,"header_bytes":%zu,"rounds":%d,"ms":%.1f,)"
              R"("mb_per_s":%.0f,"shuffled_ms":%.1f})"
              "\n",
              tensors, ordered.json.size(), rounds, ordered_ms,
              static_cast<double>(ordered.json.size()) / 1e3 / ordered_ms, shuffled_ms);
}
