// Every call of merging many models on one set of tensors, tried by something that has the methods of
// MergeCalls and compared with the CPU backend bit for bit.
#pragma once

#include <cstring>

#include "merge_cases.h"

namespace wisemerge::test {

// check(good, what) is told of every call.
template <class Tried, class Check>
class MergeBattery {
 public:
  // `keeps`: how many of the sorts of keeps are tried.
  MergeBattery(MergeCalls& cpu, Tried& tried, const MergeTensors& tensors, std::string where, size_t keeps,
               Check check)
      : cpu_(cpu), tried_(tried), t_(tensors), where_(std::move(where)), keeps_(keeps), check_(check) {}

  void run() {
    const auto start = [](auto& list, uint64_t from) {
      for (size_t i = 0; i < list.size(); i++) list[i] = static_cast<double>((i + from) % 17) * 0.01;
    };
    counts();
    sums();
    for (int32_t axis : {WM_AXIS_WHOLE, WM_AXIS_ROW, WM_AXIS_COLUMN}) {
      const size_t pairs = t_.x.size() * (t_.x.size() + 1) / 2;
      std::vector<double> wanted(pairs * (axis == WM_AXIS_COLUMN ? t_.row : units(axis)));
      start(wanted, 0);
      std::vector<double> got = wanted;
      expect(
          cpu_.gram({t_.inputs(), axis, wanted.data()}), tried_.gram({t_.inputs(), axis, got.data()}),
          [&] { return same(wanted, got); }, "gram, axis " + std::to_string(axis));
    }
    for (double epsilon : {0.0, 0.1}) {
      std::vector<uint64_t> wanted(2 * t_.x.size(), 5), got = wanted;
      expect(
          cpu_.overlap({t_.inputs(), epsilon, wanted.data()}),
          tried_.overlap({t_.inputs(), epsilon, got.data()}), [&] { return wanted == got; }, "overlap");
    }
    const uint32_t last = static_cast<uint32_t>(t_.x.size()) - 1;
    std::vector<uint8_t> mask((t_.count + 7) / 8 + 1, 0xa5), got_mask = mask;
    WmMergeRankMask ranks = {t_.inputs(), last, 5, 0.5, 0.3, 0x123456789abcdef0ull, mask.data()};
    const WmCode code = cpu_.rank_mask(ranks);
    ranks.mask = got_mask.data();
    expect(
        code, tried_.rank_mask(ranks), [&] { return mask == got_mask; }, "rank mask");
    if (t_.base) {
      std::vector<double> wanted(units(WM_AXIS_ROW), 1), got(wanted.size(), 2);
      expect(
          cpu_.divergence({t_.inputs(), wanted.data()}), tried_.divergence({t_.inputs(), got.data()}),
          [&] { return same(wanted, got); }, "divergence");
    }
    for (int32_t operation = WM_MERGE_SUM; operation <= WM_MERGE_ROUNDED_DELTA_SUM; operation++) {
      combine(operation);
    }
  }

 private:
  size_t units(int32_t axis) const {
    const size_t unit = axis == WM_AXIS_ROW ? t_.row : kMergeSpan;
    return (t_.count + unit - 1) / unit;
  }
  // Of sums: a NaN only has to be one.
  static bool same(const std::vector<double>& a, const std::vector<double>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_sum);
  }
  // equal() after both calls, which arguments would not be.
  template <class Equal>
  void expect(WmCode wanted, WmCode got, const Equal& equal, const std::string& what) {
    check_(wanted == WM_OK && got == WM_OK && equal(),
           where_ + ": " + what +
               (wanted == WM_OK && got == WM_OK ? ": bits" : std::string(": ") + tried_.error.message));
  }
  Keeps keeps_at(size_t start) const {
    return with_reference(t_, [&](const auto& reference) { return Keeps(t_, reference, start); });
  }

  void counts() {
    const auto scores = row_scores(t_);
    const uint32_t model = static_cast<uint32_t>(t_.x.size()) / 2;
    for (int32_t score : {WM_SCORE_MAGNITUDE, WM_SCORE_VARIANCE, WM_SCORE_ROW_SCALED}) {
      uint64_t prefix = 0;
      for (uint32_t shift = t_.wide() ? 48 : 16;; shift -= 16) {
        std::vector<uint64_t> wanted(1 << 16), got(1 << 16, 3);
        const WmCode code =
            cpu_.count({t_.inputs(), model, score, scores.data(), shift, prefix, wanted.data()});
        const WmCode tried =
            tried_.count({t_.inputs(), model, score, scores.data(), shift, prefix, got.data()});
        for (uint64_t& count : got) count -= 3;
        expect(
            code, tried, [&] { return wanted == got; }, "count, score " + std::to_string(score));
        prefix = prefix << 16 |
                 static_cast<uint64_t>(std::max_element(wanted.begin(), wanted.end()) - wanted.begin());
        if (shift == 0) break;
      }
    }
  }

  void sums() {
    for (int32_t axis : {WM_AXIS_WHOLE, WM_AXIS_ROW}) {
      for (size_t start = 0; start < keeps_; start++) {
        const Keeps keeps = keeps_at(start);
        std::vector<double> wanted(units(axis) * t_.x.size() * kMergeSumColumns), got = wanted;
        expect(
            cpu_.sums({t_.inputs(), keeps.all.data(), wanted.data(), axis}),
            tried_.sums({t_.inputs(), keeps.all.data(), got.data(), axis}), [&] { return same(wanted, got); },
            "sums, axis " + std::to_string(axis) + ", keeps " + std::to_string(start));
      }
    }
  }

  void combine(int32_t operation) {
    const bool base =
        operation != WM_MERGE_SUM && operation != WM_MERGE_FISHER && operation != WM_MERGE_ROUNDED_SUM;
    const bool keeps_too =
        (operation >= WM_MERGE_DELTA_SUM && operation <= WM_MERGE_ELECTED) || operation == WM_MERGE_TAKE;
    if (base != static_cast<bool>(t_.base) && t_.count > 0) return;
    if ((operation == WM_MERGE_NEARSWAP || operation == WM_MERGE_TAKE) && t_.x.size() != 1) return;
    if (operation == WM_MERGE_FISHER && t_.x.size() % 2) return;
    std::mt19937_64 random(static_cast<uint64_t>(operation));
    std::vector<double> weights((t_.row + units(WM_AXIS_ROW)) * t_.x.size()), factors(t_.x.size());
    for (auto* list : {&weights, &factors}) {
      for (double& value : *list) value = static_cast<double>(random() % 2001) / 1000 - 0.5;
    }
    const size_t variants = operation <= WM_MERGE_ELECTED || keeps_too ? std::max<size_t>(keeps_, 3) : 2;
    for (size_t variant = 0; variant < variants; variant++) {
      const Keeps keeps = keeps_at(variant);
      const DType out_dtype = kFloatDTypes[(variant + static_cast<size_t>(operation)) % 6];
      const size_t size = item_size(out_dtype);
      std::vector<uint64_t> wanted(t_.count + 3, 0xa5a5a5a5a5a5a5a5ull), got = wanted;
      uint64_t wanted_bad = 99, got_bad = 98;
      WmMergeCombine call = {t_.inputs(),
                             operation,
                             operation <= WM_MERGE_DELTA_SUM ? static_cast<int32_t>(variant % 3) : 0,
                             weights.data(),
                             factors.data(),
                             keeps_too && variant != 2 ? keeps.all.data() : nullptr,
                             {operation == WM_MERGE_CONSENSUS ? static_cast<double>(variant % 2) : 1e-2, 0.7},
                             static_cast<int32_t>(out_dtype),
                             reinterpret_cast<char*>(wanted.data()) + size,
                             &wanted_bad,
                             static_cast<int32_t>(kWorkDTypes[(variant + t_.count) % 4])};
      const WmCode code = cpu_.combine(call);
      call.out = reinterpret_cast<char*>(got.data()) + size;
      call.non_finite = &got_bad;
      expect(
          code, tried_.combine(call), [&] { return wanted == got && wanted_bad == got_bad; },
          "combine, operation " + std::to_string(operation) + ", variant " + std::to_string(variant));
    }
  }

  MergeCalls& cpu_;
  Tried& tried_;
  const MergeTensors& t_;
  const std::string where_;
  const size_t keeps_;
  Check check_;
};

}  // namespace wisemerge::test
