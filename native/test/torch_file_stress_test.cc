// read_torch_file under damage: mutations of a whole file and of its pickle alone.
#include <random>

#include "check.h"
#include "core/torch_file.h"
#include "torch_fixture.h"

namespace wisemerge {
namespace {

using namespace test;  // NOLINT: the writers of torch_fixture.h

std::string valid_pickle() {
  const std::string metadata = text("_metadata") + dict({{"", dict({{"version", "K\x01"}})}});
  return pickle(global("collections", "OrderedDict") + "q" + std::string(1, '\0') + ")Rq\x01(" + text("w") +
                tensor("FloatStorage", "0", 6, {{2, 3}, {3, 1}}) + text("half") +
                tensor("HalfStorage", "1", 3, {{2}, {1}, 1}) + text("again") + "h\x01" + "u}" + metadata +
                "sb");
}

// Damaged files are refused with an Error or still describe tensors inside the file. Anything else ends the
// process here, or shows under the sanitizers.
void mutate(size_t rounds, const std::string& valid, auto wrap, size_t& accepted, size_t& refused) {
  std::mt19937 random(20260611);
  const auto below = [&](size_t n) { return static_cast<size_t>(random()) % n; };
  for (size_t round = 0; round < rounds; round++) {
    std::string bytes = valid;
    for (size_t edits = 1 + below(3); edits > 0 && !bytes.empty(); edits--) {
      const size_t at = below(bytes.size());
      switch (below(5)) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] ^= static_cast<char>(1u << below(8));
          break;
        case 2:
          bytes.erase(at, 1 + below(4));
          break;
        case 3:
          bytes.insert(at, valid.substr(below(valid.size()), below(40)));
          break;
        default:
          if (below(4) == 0) bytes.resize(at);
      }
    }
    const std::string file = wrap(bytes);
    MemorySource source(file);
    try {
      const SafetensorsHeader header = read_torch_file(source).header;
      accepted++;
      for (size_t i = 0, dim = 0; i < header.size(); i++) {
        uint64_t bits = dtype_info(header.dtypes[i]).bits;
        for (; dim < header.dim_ends[i]; dim++) bits *= header.dims[dim];
        CHECK_EQ(bits, (header.ends[i] - header.begins[i]) * 8);
        CHECK(header.ends[i] <= file.size());
      }
    } catch (const Error& error) {
      refused++;
      CHECK(error.code().starts_with("ERR_TORCH_") || error.code().starts_with("ERR_PICKLE"));
    }
  }
}

TEST("torch file stress: 40 000 mutations") {
  const Storages storages = {{"0", std::string(24, 'a')}, {"1", std::string(6, 'b')}};
  // The state dict holds itself: without that it is accepted.
  std::string good = valid_pickle();
  good.replace(good.find("h\x01u"), 3, "Nu");
  size_t accepted = 0, refused = 0;
  mutate(
      20'000, good, [&](const std::string& bytes) { return torch_file(bytes, storages); }, accepted, refused);
  mutate(
      5'000, valid_pickle(), [&](const std::string& bytes) { return torch_file(bytes, storages); }, accepted,
      refused);
  const std::string narrow = torch_file(good, storages), wide = torch_file(good, storages, {.zip64 = true});
  for (const std::string& whole : {narrow, wide}) {
    mutate(
        7'500, whole, [](const std::string& bytes) { return bytes; }, accepted, refused);
  }
  CHECK(accepted > 300);
  CHECK(refused > 10'000);
}

}  // namespace
}  // namespace wisemerge
