#include "merge/selection.h"

#include <algorithm>
#include <utility>

#include "merge/elements.h"

namespace wisemerge {
namespace {

// The `ordinal`-th element (from 0, by index) of those whose key is `key`.
struct TieQuery {
  uint32_t model;
  int32_t score;
  uint64_t key, ordinal;
  const std::vector<RangeCount>* ranges;  // of its RankQuery
  uint64_t index = 0;
};

template <class Scalar>
Scalar delta(const WmMergeInputs& inputs, uint32_t model, uint64_t e) {
  const auto x = load_element<Scalar>(static_cast<DType>(inputs.x_dtypes[model]), inputs.x[model], e);
  if (!inputs.base) return x;
  return merge_delta(x, load_element<Scalar>(static_cast<DType>(inputs.base_dtype), inputs.base, e));
}

template <class Scalar>
uint64_t key_of(const WmMergeInputs& inputs, uint32_t model, int32_t score, uint64_t e) {
  if (score == WM_SCORE_MAGNITUDE) return merge_key(delta<Scalar>(inputs, model, e));
  return merge_key(
      merge_variance<Scalar>(inputs.models, [&](uint32_t i) { return delta<Scalar>(inputs, i, e); }));
}

// Index in the tensor of the `skip`-th element of the range with this key.
uint64_t find_in_span(const WmMergeInputs& inputs, const TieQuery& query, uint64_t skip, bool wide) {
  for (uint64_t e = 0; e < inputs.count; e++) {
    const uint64_t key = wide ? key_of<double>(inputs, query.model, query.score, e)
                              : key_of<float>(inputs, query.model, query.score, e);
    if (key == query.key && skip-- == 0) return inputs.first + e;
  }
  throw Error("ERR_INTERNAL", "an element that was counted was not found again");
}

// Elements [at, at + count) of inputs.
class Part {
 public:
  Part(const WmMergeInputs& all, uint64_t at, uint64_t count) : inputs_(all) {
    for (uint32_t i = 0; i < all.models; i++) x_.push_back(moved(all.x[i], all.x_dtypes[i], at));
    if (all.base) inputs_.base = moved(all.base, all.base_dtype, at);
    inputs_.x = x_.data();
    inputs_.first += at;
    inputs_.count = count;
  }
  const WmMergeInputs& inputs() const { return inputs_; }

 private:
  static const void* moved(const void* data, int32_t dtype, uint64_t by) {
    return static_cast<const char*>(data) + by * item_size(static_cast<DType>(dtype));
  }
  WmMergeInputs inputs_;
  std::vector<const void*> x_;
};

// How many elements have the key. `table` is room; what it holds does not matter.
uint64_t count_equal(TensorRun& run, const WmMergeInputs& inputs, const TieQuery& query,
                     std::vector<uint64_t>& table) {
  const uint64_t& counter = table[query.key & (kTable - 1)];
  const uint64_t before = counter;
  run.engine().merge_count({inputs, query.model, query.score, nullptr, 0, query.key >> kDigit, table.data()},
                           run.cancelled());
  return counter - before;
}

// Index in the tensor of the `skip`-th element of the range with this key: elements are looked at one by one
// only in the span that has it.
uint64_t find_in_range(TensorRun& run, const WmMergeInputs& inputs, const TieQuery& query, uint64_t skip,
                       std::vector<uint64_t>& table) {
  for (uint64_t at = 0; at < inputs.count; at += kMergeSpan) {
    const Part span(inputs, at, std::min<uint64_t>(kMergeSpan, inputs.count - at));
    const uint64_t here = count_equal(run, span.inputs(), query, table);
    if (skip < here) return find_in_span(span.inputs(), query, skip, run.wide());
    skip -= here;
  }
  throw Error("ERR_INTERNAL", "an element that was counted was not found again");
}

// The range that has the element, and how many of its equals are in those before it; null: not known.
const RangeCount* range_of(const TieQuery& query, uint64_t& before) {
  before = 0;
  for (const RangeCount& range : *query.ranges) {
    if (query.ordinal < before + range.count) return &range;
    before += range.count;
  }
  return nullptr;
}

// Those of which the range is known, by reading that range again.
void find_ties_in_ranges(TensorRun& run, const std::vector<TieQuery*>& queries) {
  std::vector<uint64_t> firsts, table(kTable);
  uint64_t before;
  for (const TieQuery* query : queries) firsts.push_back(range_of(*query, before)->first);
  std::sort(firsts.begin(), firsts.end());
  run.each_of(firsts, [&](const WmMergeInputs& inputs) {
    for (TieQuery* query : queries) {
      if (range_of(*query, before)->first != inputs.first) continue;
      query->index = find_in_range(run, inputs, *query, query->ordinal - before, table);
    }
  });
}

// The others, in one sweep over the tensor.
void find_ties_anywhere(TensorRun& run, const std::vector<TieQuery*>& queries) {
  std::vector<uint64_t> seen(queries.size()), table(kTable);
  run.each([&](const WmMergeInputs& inputs) {
    for (size_t q = 0; q < queries.size(); q++) {
      TieQuery& query = *queries[q];
      if (seen[q] > query.ordinal) continue;
      const uint64_t here = count_equal(run, inputs, query, table);
      if (query.ordinal < seen[q] + here) {
        query.index = find_in_range(run, inputs, query, query.ordinal - seen[q], table);
      }
      seen[q] += here;
    }
  });
}

void find_ties(TensorRun& run, std::vector<TieQuery>& queries) {
  std::vector<TieQuery*> known, unknown;
  uint64_t before;
  for (TieQuery& query : queries) (range_of(query, before) ? known : unknown).push_back(&query);
  if (!known.empty()) find_ties_in_ranges(run, known);
  if (!unknown.empty()) find_ties_anywhere(run, unknown);
}

}  // namespace

WmKeep keep_all() {
  WmKeep keep{};
  keep.rule = WM_KEEP_ALL;
  return keep;
}

WmKeep keep_none() {
  WmKeep keep{};
  keep.rule = WM_KEEP_RANKED;
  keep.low_key = UINT64_MAX;
  keep.high_key = UINT64_MAX;
  return keep;
}

std::vector<WmKeep> keep_largest(TensorRun& run, int32_t score, const std::vector<uint64_t>& kept) {
  const uint64_t count = run.job().count;
  std::vector<WmKeep> keeps;
  std::vector<RankQuery> ranks;
  std::vector<size_t> ranked;
  for (size_t i = 0; i < kept.size(); i++) {
    keeps.push_back(kept[i] >= count ? keep_all() : keep_none());
    if (kept[i] == 0 || kept[i] >= count) continue;
    keeps[i].score = score;
    ranked.push_back(i);
    ranks.push_back({static_cast<uint32_t>(i), score, nullptr, count - kept[i]});
  }
  find_ranks(run, ranks);
  std::vector<TieQuery> ties;
  std::vector<size_t> tied;
  for (size_t q = 0; q < ranks.size(); q++) {
    const RankQuery& rank = ranks[q];
    WmKeep& keep = keeps[ranked[q]];
    keep.low_key = rank.key;
    keep.low_to = UINT64_MAX;
    const uint64_t equal_kept = kept[ranked[q]] - (count - rank.below - rank.equal);
    if (equal_kept == rank.equal) continue;
    ties.push_back({rank.model, score, rank.key, equal_kept, &rank.ranges});
    tied.push_back(ranked[q]);
  }
  find_ties(run, ties);
  for (size_t q = 0; q < ties.size(); q++) keeps[tied[q]].low_to = ties[q].index;
  return keeps;
}

std::vector<WmKeep> keep_between(TensorRun& run, const std::vector<uint64_t>& from,
                                 const std::vector<uint64_t>& to) {
  const uint64_t count = run.job().count;
  std::vector<WmKeep> keeps;
  std::vector<RankQuery> ranks;
  std::vector<uint64_t*> cuts;  // of each query, the index to fill in
  for (size_t i = 0; i < from.size(); i++) {
    const bool some = from[i] < to[i];
    keeps.push_back(some && from[i] == 0 && to[i] >= count ? keep_all() : keep_none());
  }
  for (size_t i = 0; i < from.size(); i++) {
    WmKeep& keep = keeps[i];
    if (keep.rule == WM_KEEP_ALL || from[i] >= to[i]) continue;
    keep.low_key = 0;
    keep.low_to = UINT64_MAX;
    const auto model = static_cast<uint32_t>(i);
    if (from[i] > 0) {
      ranks.push_back({model, WM_SCORE_MAGNITUDE, nullptr, from[i]});
      cuts.push_back(&keep.low_from);
    }
    if (to[i] < count) {
      ranks.push_back({model, WM_SCORE_MAGNITUDE, nullptr, to[i]});
      cuts.push_back(&keep.high_to);
    }
  }
  find_ranks(run, ranks);
  std::vector<TieQuery> ties;
  std::vector<uint64_t*> tied;
  for (size_t q = 0; q < ranks.size(); q++) {
    const RankQuery& rank = ranks[q];
    WmKeep& keep = keeps[rank.model];
    (cuts[q] == &keep.low_from ? keep.low_key : keep.high_key) = rank.key;
    // The element of this rank is the first kept, or the first that is not; with it all its equals where it
    // is their first.
    *cuts[q] = 0;
    if (rank.rank == rank.below) continue;
    ties.push_back({rank.model, WM_SCORE_MAGNITUDE, rank.key, rank.rank - rank.below, &rank.ranges});
    tied.push_back(cuts[q]);
  }
  find_ties(run, ties);
  for (size_t q = 0; q < ties.size(); q++) *tied[q] = ties[q].index;
  return keeps;
}

}  // namespace wisemerge
