#include "core/region_packer.h"

#include <algorithm>

namespace wisemerge {
namespace {

// What placing one read can cost besides its bytes: alignment of its start, of its place and of its end.
constexpr uint64_t kMaxSlack = 3 * kIoPage;

uint64_t round_up(uint64_t value, uint64_t step) { return (value + step - 1) / step * step; }

}  // namespace

RegionPacker::Place RegionPacker::add(FilePlace from, uint64_t count, uint64_t item_size) {
  const uint64_t length = count * item_size;
  bytes_ += length;
  if (!runs_.empty()) {
    Run& last = runs_.back();
    if (last.from.file == from.file && last.from.position + last.length == from.position) {
      const uint64_t delta = last.length;
      last.length += length;
      last.item_size = std::max(last.item_size, item_size);
      return {runs_.size() - 1, delta};
    }
  }
  runs_.push_back({from, length, item_size, 0});
  return {runs_.size() - 1, 0};
}

uint64_t RegionPacker::bound(uint64_t bytes) const {
  return bytes_ + bytes + (runs_.size() + (bytes > 0)) * kMaxSlack;
}

bool RegionPacker::direct(const Run& run) const {
  return run.length >= kMinDirectRead && (*files_)[run.from.file].direct >= 0;
}

uint64_t RegionPacker::slack(const Run& run) const { return direct(run) ? run.from.position % kIoPage : 0; }

uint64_t RegionPacker::pack() {
  uint64_t used = 0;
  for (Run& run : runs_) {
    run.at = round_up(used, direct(run) ? kIoPage : run.item_size) + slack(run);
    used = direct(run) ? whole_pages(run.at + run.length) : run.at + run.length;
  }
  return used;
}

void RegionPacker::append_reads(uint64_t region, std::vector<BlockRead>& reads) const {
  for (const Run& run : runs_) {
    const uint64_t before = slack(run), wanted = before + run.length;
    reads.push_back({run.from.file, direct(run), run.from.position - before,
                     direct(run) ? whole_pages(wanted) : wanted, wanted, region + run.at - before});
  }
}

}  // namespace wisemerge
