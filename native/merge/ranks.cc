#include "merge/ranks.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <map>
#include <set>
#include <utility>

#include "merge/last_counts.h"

namespace wisemerge {
namespace {

// Keys that are counted together: those of one model by one score that begin with the prefix.
struct Place {
  uint32_t model;
  int32_t score;
  uint64_t prefix;
  auto operator<=>(const Place&) const = default;
};
using Tables = std::map<Place, LastCounts>;

Place place_of(const RankQuery& query, uint64_t prefix) { return {query.model, query.score, prefix}; }

// Prefixes that are counted in advance for one query.
constexpr size_t kGuesses = 3;

// The digits that the key of the rank may begin with, as far as the ranges seen tell: where it would be by
// its share of them, and what is within some deviations of a random sample and a thousandth of it.
std::vector<uint64_t> likely_digits(const RankQuery& query, const std::vector<uint64_t>& table, uint64_t seen,
                                    uint64_t count) {
  const double share = (static_cast<double>(query.rank) + 0.5) / static_cast<double>(count);
  const double all = static_cast<double>(seen), at = share * all;
  const double margin = 4 * std::sqrt(all * share * (1 - share)) + all / 1000;
  std::vector<uint64_t> digits;
  size_t own = 0;  // place of the digit in which `at` is
  double below = 0;
  for (uint64_t digit = 0; digit < kTable && below <= at + margin; digit++) {
    if (table[digit] == 0) continue;
    const double end = below + static_cast<double>(table[digit]);
    if (below <= at) own = digits.size();
    if (end >= at - margin) digits.push_back(digit);
    below = end;
  }
  own = std::min(own, digits.empty() ? 0 : digits.size() - 1);
  const size_t first = own < kGuesses / 2 ? 0 : own - kGuesses / 2;
  const size_t last = std::min(digits.size(), first + kGuesses);
  return {digits.begin() + static_cast<ptrdiff_t>(first), digits.begin() + static_cast<ptrdiff_t>(last)};
}

class RankSearch {
 public:
  RankSearch(TensorRun& run, std::vector<RankQuery>& queries) : run_(run), queries_(queries) {}

  void first_digits(uint32_t shift) {
    const bool guess = !run_.resident() && shift == kDigit;
    Tables tables;
    for (const RankQuery& query : queries_) tables[place_of(query, 0)];
    run_.each([&](const WmMergeInputs& inputs) {
      firsts_.push_back(inputs.first);
      for (auto& [place, counts] : tables) count(inputs, place, shift, counts.table);
      if (guess) count_ahead(inputs, tables);
    });
    narrow(tables, false);
  }

  void next_digits(uint32_t shift) {
    const bool last = shift == 0;
    Tables tables;
    for (const RankQuery& query : queries_) {
      const Place place = place_of(query, query.key);
      if (auto counted = ahead_.extract(place)) tables.insert(std::move(counted));
      tables.try_emplace(place);
    }
    ahead_.clear();
    std::vector<uint64_t> left;
    for (const uint64_t first : firsts_) {
      const bool counted =
          std::all_of(tables.begin(), tables.end(), [first](const auto& at) { return at.second.has(first); });
      if (!counted) left.push_back(first);
    }
    if (!left.empty()) {
      run_.each_of(left, [&](const WmMergeInputs& inputs) {
        for (auto& [place, counts] : tables) {
          if (!last) {
            count(inputs, place, shift, counts.table);
          } else if (!counts.has(inputs.first)) {
            count_last(inputs, place, counts);
          }
        }
      });
    }
    narrow(tables, last);
  }

 private:
  void count(const WmMergeInputs& inputs, const Place& place, uint32_t shift, std::vector<uint64_t>& table) {
    run_.engine().merge_count(
        {inputs, place.model, place.score, queries_.front().row_scores, shift, place.prefix, table.data()},
        run_.cancelled());
  }
  void count_last(const WmMergeInputs& inputs, const Place& place, LastCounts& counts) {
    count(inputs, place, 0, room_);
    counts.add(inputs.first, room_);
  }

  // The last digits of the range under the prefixes that are likely by now.
  void count_ahead(const WmMergeInputs& inputs, const Tables& first_digits) {
    const uint64_t seen = inputs.first + inputs.count;
    std::set<Place> wanted;
    for (const RankQuery& query : queries_) {
      const std::vector<uint64_t>& table = first_digits.at(place_of(query, 0)).table;
      for (const uint64_t digit : likely_digits(query, table, seen, run_.job().count)) {
        wanted.insert(place_of(query, digit));
      }
    }
    for (const Place& place : wanted) count_last(inputs, place, ahead_[place]);
    // What was a guess once and is none now makes room, the least counted first.
    while (ahead_.size() > kGuesses * queries_.size()) {
      auto least = ahead_.end();
      for (auto at = ahead_.begin(); at != ahead_.end(); at++) {
        if (wanted.count(at->first)) continue;
        if (least == ahead_.end() || at->second.size() < least->second.size()) least = at;
      }
      ahead_.erase(least);
    }
  }

  void narrow(const Tables& tables, bool last) {
    for (RankQuery& query : queries_) {
      const LastCounts& counts = tables.at(place_of(query, query.key));
      uint64_t digit = 0;
      while (digit + 1 < kTable && query.below + counts.table[digit] <= query.rank) {
        query.below += counts.table[digit++];
      }
      query.equal = counts.table[digit];
      if (last) query.ranges = counts.of(digit);
      query.key = query.key << kDigit | digit;
    }
  }

  TensorRun& run_;
  std::vector<RankQuery>& queries_;
  std::vector<uint64_t> firsts_;  // of the ranges of a sweep
  Tables ahead_;
  std::vector<uint64_t> room_ = std::vector<uint64_t>(kTable);
};

}  // namespace

void find_ranks(TensorRun& run, std::vector<RankQuery>& queries) {
  if (queries.empty()) return;
  RankSearch search(run, queries);
  uint32_t shift = (run.wide() ? 64 : 32) - kDigit;
  search.first_digits(shift);
  while (shift > 0) search.next_digits(shift -= kDigit);
}

double score_of_key(uint64_t key, bool wide) {
  return wide ? bit_cast<double>(key) : static_cast<double>(bit_cast<float>(static_cast<uint32_t>(key)));
}

}  // namespace wisemerge
