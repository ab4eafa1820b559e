// The calls of merging as calls: threads, cut tensors, refused arguments, cancellation; and Philox.
#include <algorithm>
#include <functional>

#include "merge_fixture.h"

using namespace wisemerge;
using namespace wisemerge::test;

namespace {

// What every call gives for a range, in one list of 64-bit words; counts and columns add up over ranges.
struct Results {
  explicit Results(const MergeTensors& t)
      : table(1 << 16),
        counts(2 * t.x.size()),
        columns(t.row * 3),
        spans((t.count / kMergeSpan + 1) * 8),
        grams((t.count / kMergeSpan + 1) * 3),
        rows(t.count / t.row * 3),
        divergence(t.count / t.row),
        mask((t.count + 7) / 8 + 8),
        out(6 * t.count) {}
  bool operator==(const Results&) const = default;

  std::vector<uint64_t> table, counts;
  std::vector<double> columns, spans, grams, rows, divergence;
  std::vector<uint8_t> mask;
  std::vector<uint16_t> out;
  uint64_t non_finite = 0;
};

constexpr uint64_t kKey = 0xfedcba9876543210ull;

// Calls that take whole rows, or those that take any range from a multiple of kMergeSpan on.
enum class Calls { kRows, kAny };

// Two models and a base.
void run_range(const MergeContext& context, const MergeTensors& t, Calls calls, size_t first, size_t size,
               Results& r) {
  const WmBackend& backend = *context.backend;
  const WmMergeInputs in = t.inputs(first, size);
  const auto done = [](WmCode code) { CHECK_EQ(code, WM_OK); };
  WmKeep keeps[2] = {};
  keeps[0].rule = WM_KEEP_RANKED;
  keeps[0].low_key = merge_key(0.001f);
  keeps[0].high_key = merge_key(0.004f);
  keeps[0].low_to = t.count / 2;
  keeps[0].high_to = t.count / 3;
  keeps[1].rule = WM_KEEP_RANDOM;
  keeps[1].probability = 0.6;
  keeps[1].key = kKey;
  keeps[1].stream = 2;
  const size_t span = first / kMergeSpan, row = first / t.row;
  if (calls == Calls::kAny) {
    const WmMergeCount count = {in, 1, WM_SCORE_MAGNITUDE, nullptr, 16, 0, r.table.data()};
    done(backend.merge_count(context.context, &count, nullptr, nullptr));
    const WmMergeSums sums = {in, keeps, r.spans.data() + span * 8, WM_AXIS_WHOLE};
    done(backend.merge_sums(context.context, &sums, nullptr, nullptr));
    const WmMergeOverlap overlap = {in, 1e-3, r.counts.data()};
    done(backend.merge_overlap(context.context, &overlap, nullptr, nullptr));
    const WmMergeGram gram = {in, WM_AXIS_WHOLE, r.grams.data() + span * 3};
    done(backend.merge_gram(context.context, &gram, nullptr, nullptr));
  } else {
    const WmMergeGram by_row = {in, WM_AXIS_ROW, r.rows.data() + row * 3};
    done(backend.merge_gram(context.context, &by_row, nullptr, nullptr));
    const WmMergeGram by_column = {in, WM_AXIS_COLUMN, r.columns.data()};
    done(backend.merge_gram(context.context, &by_column, nullptr, nullptr));
    const WmMergeDivergence divergence = {in, r.divergence.data() + row};
    done(backend.merge_divergence(context.context, &divergence, nullptr, nullptr));
    const WmMergeRankMask mask = {in, 1, 4, 0.5, 0.2, kKey, r.mask.data() + first / 8};
    done(backend.merge_rank_mask(context.context, &mask, nullptr, nullptr));
  }

  const std::vector<double> weights(2 * (t.row + t.count / t.row), 0.7);
  const int32_t bf16 = static_cast<int32_t>(DType::kBF16);
  for (int32_t variant = 0; variant < 6; variant++) {
    if ((variant == WM_AXIS_ROW) != (calls == Calls::kRows)) continue;
    const bool sum = variant < 3;
    uint64_t non_finite = 0;
    const WmMergeCombine combine = {in,
                                    sum ? WM_MERGE_DELTA_SUM : variant,
                                    sum ? variant : 0,
                                    weights.data(),
                                    weights.data(),
                                    variant > 0 && variant < 4 ? keeps : nullptr,
                                    {1e-3, 1},
                                    bf16,
                                    r.out.data() + static_cast<size_t>(variant) * t.count + first,
                                    &non_finite,
                                    static_cast<int32_t>(DType::kF32)};
    WmMergeCombine call = combine;
    if (variant == 3) call.operation = WM_MERGE_CONSENSUS;
    if (variant == 4) call.operation = WM_MERGE_ELECTED;
    if (variant == 5) call.operation = WM_MERGE_OVERLAP;
    done(backend.merge_combine(context.context, &call, nullptr, nullptr));
    r.non_finite += non_finite;
  }
}

}  // namespace

TEST("merge calls: a result depends on neither threads, level nor how the tensor is cut") {
  // Rows of 96 elements: every third span begins with one.
  MergeTensors t = tuned_tensors(2, 6 * kMergeSpan + 96 * 77, 96, 21);
  t.x[1].data()[1] = 0x7f;  // an infinity or a NaN
  t.x[1].data()[0] = static_cast<char>(0x80);
  Results whole(t);
  for (Calls calls : {Calls::kAny, Calls::kRows}) {
    run_range(MergeContext("baseline", 1), t, calls, 0, t.count, whole);
  }
  CHECK(whole.non_finite > 0);
  for (const char* isa : {"baseline", "avx512"}) {
    for (int threads : {1, 2, 4}) {
      MergeContext context(isa, threads);
      Results again(t), cut(t);
      for (Calls calls : {Calls::kAny, Calls::kRows}) {
        run_range(context, t, calls, 0, t.count, again);
        const size_t step = calls == Calls::kAny ? kMergeSpan : 3 * kMergeSpan;
        for (size_t at = 0; at < t.count; at += step) {
          run_range(context, t, calls, at, std::min(step, t.count - at), cut);
        }
      }
      // The first row holds what is not finite: its numbers are NaN, which equal nothing.
      for (Results* r : {&whole, &again, &cut}) {
        for (auto* list : {&r->columns, &r->spans, &r->grams, &r->rows, &r->divergence}) {
          for (double& value : *list) value = value == value ? value : -1;
        }
      }
      CHECK(again == whole);
      CHECK(cut == whole);
    }
  }
}

TEST("merge calls: a sum so long that it is written past the cache is that of its spans") {
  MergeTensors t = tuned_tensors(2, 34 * kMergeSpan + 77, 1, 22);
  t.x[1].data()[1] = 0x7f;
  t.x[1].data()[0] = static_cast<char>(0x80);
  const std::vector<double> weights = {0.4, -1.5};
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    MergeContext context(isa, 2);
    std::vector<uint16_t> whole(t.count), cut(t.count);
    const auto sum = [&](uint64_t first, uint64_t count, std::vector<uint16_t>& out) {
      uint64_t non_finite = 0;
      WmMergeCombine call{};
      call.inputs = t.inputs(first, count);
      call.operation = WM_MERGE_DELTA_SUM;
      call.weights = weights.data();
      call.out_dtype = static_cast<int32_t>(DType::kBF16);
      call.out = out.data() + first;
      call.non_finite = &non_finite;
      CHECK_EQ(context.backend->merge_combine(context.context, &call, nullptr, nullptr), WM_OK);
      return non_finite;
    };
    CHECK_EQ(sum(0, t.count, whole), uint64_t{1});
    uint64_t non_finite = 0;
    for (uint64_t at = 0; at < t.count; at += kMergeSpan) {
      non_finite += sum(at, std::min<uint64_t>(kMergeSpan, t.count - at), cut);
    }
    CHECK_EQ(non_finite, uint64_t{1});
    CHECK(whole == cut);
  }
}

TEST("merge calls: Philox gives the published numbers") {
  // The known answers for philox4x32-10 in Random123 1.14.0 (Salmon et al., tests/kat_vectors).
  const auto check = [](PhiloxBlock counter, uint64_t key, PhiloxBlock expected) {
    const PhiloxBlock got = philox(counter, key);
    for (int i = 0; i < 4; i++) CHECK_EQ(got.word[i], expected.word[i]);
  };
  check({{0, 0, 0, 0}}, 0, {{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}});
  const uint32_t ones = 0xffffffffu;
  check({{ones, ones, ones, ones}}, ~0ull, {{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}});
  check({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0x299f31d0a4093822ull,
        {{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}});
}

TEST("merge calls: random masks far into a tensor, and at the ends of probability") {
  // Past 2^34 elements the block's number has more than 32 bits.
  const size_t count = 3000;
  const MergeTensors t = tuned_tensors(1, count, 1, 22);
  for (const char* isa : kLevels) {
    MergeContext context(isa);
    for (double probability : {-1.0, 0.0, 1e-3, 0.5, 1.0, 2.0}) {
      WmKeep keep = {};
      keep.rule = WM_KEEP_RANDOM;
      keep.probability = probability;
      keep.key = kKey;
      keep.stream = 0xffffffffu;
      WmMergeInputs in = t.inputs();
      in.first = (1ull << 34) - kMergeSpan / 64;
      in.first -= in.first % kMergeSpan;
      std::vector<double> sums(kMergeSumColumns);
      CHECK_EQ(context.sums({in, &keep, sums.data(), WM_AXIS_WHOLE}), WM_OK);
      double expected = 0;
      for (size_t e = 0; e < count; e++) expected += merge_keep_random(keep, in.first + e);
      CHECK_EQ(sums[kMergeSumKept], expected);
      in.first = 5ull << 40;
      CHECK_EQ(context.sums({in, &keep, sums.data(), WM_AXIS_WHOLE}), WM_OK);
      expected = 0;
      for (size_t e = 0; e < count; e++) expected += merge_keep_random(keep, in.first + e);
      CHECK_EQ(sums[kMergeSumKept], expected);
    }
  }
}

TEST("merge calls: wrong arguments are refused, a raised flag cancels") {
  const MergeTensors t = tuned_tensors(2, 64, 16, 23);
  MergeContext context;
  const auto refused = [&](WmCode code, const char* text) {
    CHECK_EQ(code, WM_INVALID_ARGUMENT);
    if (!std::strstr(context.error.message, text)) {
      fail(__FILE__, __LINE__, std::string(context.error.message) + " lacks " + text);
    }
  };
  std::vector<uint64_t> table(1 << 16), counts(4);
  std::vector<double> numbers(64), weights(2, 0.5);
  std::vector<uint8_t> mask(8);
  std::vector<float> out(64);
  uint64_t non_finite = 0;
  WmKeep keeps[2] = {};
  const WmMergeInputs in = t.inputs();
  const auto inputs_with = [&](const std::function<void(WmMergeInputs&)>& change) {
    WmMergeInputs changed = in;
    change(changed);
    return changed;
  };
  const auto u8 = static_cast<int32_t>(DType::kU8), f32 = static_cast<int32_t>(DType::kF32);
  const int32_t wrong[] = {in.x_dtypes[0], u8};
  const void* const holes[] = {in.x[0], nullptr};
  const void* const odd[] = {in.x[0], static_cast<const char*>(in.x[1]) + 1};

  const auto count = [&](const WmMergeInputs& inputs, uint32_t model, int32_t score, uint64_t* to) {
    return context.count({inputs, model, score, nullptr, 16, 0, to});
  };
  refused(count(inputs_with([](auto& i) { i.models = 0; }), 0, 0, table.data()), "0 models");
  refused(count(inputs_with([&](auto& i) { i.x_dtypes = wrong; }), 0, 0, table.data()),
          "x[1] is not a float");
  refused(count(inputs_with([&](auto& i) { i.x = holes; }), 0, 0, table.data()), "x[1] is null");
  refused(count(inputs_with([&](auto& i) { i.x = odd; }), 0, 0, table.data()), "not aligned");
  refused(count(inputs_with([&](auto& i) { i.base_dtype = u8; }), 0, 0, table.data()), "of base");
  refused(count(in, 2, 0, table.data()), "model 2 of 2");
  refused(count(in, 0, 3, table.data()), "no score 3");
  refused(count(in, 0, WM_SCORE_ROW_SCALED, table.data()), "row_scores");
  refused(count(in, 0, 0, nullptr), "table");

  refused(context.sums({inputs_with([](auto& i) { i.first = 16; }), keeps, numbers.data(), WM_AXIS_WHOLE}),
          "multiple of 65536");
  refused(context.sums({in, nullptr, numbers.data(), WM_AXIS_WHOLE}), "keeps is null");
  keeps[1].rule = 9;
  refused(context.sums({in, keeps, numbers.data(), WM_AXIS_WHOLE}), "keep 1: there is no rule 9");
  keeps[1].rule = WM_KEEP_MASKED;
  refused(context.sums({in, keeps, numbers.data(), WM_AXIS_WHOLE}), "mask is null");
  keeps[1].rule = WM_KEEP_RANDOM;
  keeps[1].probability = NAN;
  refused(context.sums({in, keeps, numbers.data(), WM_AXIS_WHOLE}), "NaN");
  refused(context.gram({in, 3, numbers.data()}), "no axis 3");
  refused(context.gram({inputs_with([](auto& i) { i.row = 0; }), WM_AXIS_ROW, numbers.data()}), "rows of 0");
  refused(context.gram({inputs_with([](auto& i) { i.row = 48; }), WM_AXIS_COLUMN, numbers.data()}),
          "whole rows");
  refused(context.overlap({in, 0.1, nullptr}), "counts");
  refused(context.rank_mask({in, 0, 0, 0.5, 0.1, 0, nullptr}), "mask");
  refused(context.divergence({inputs_with([](auto& i) { i.base = nullptr; }), numbers.data()}),
          "base is null");

  const auto combine = [&](const WmMergeInputs& inputs, int32_t operation, int32_t axis, const double* w,
                           int32_t dtype, WmCancelFlag cancelled = nullptr) {
    return context.combine(
        {inputs, operation, axis, w, w, nullptr, {1, 1}, dtype, out.data(), &non_finite, f32}, cancelled);
  };
  const WmMergeInputs no_base = inputs_with([](auto& i) { i.base = nullptr; });
  const double infinite[] = {0.5, INFINITY};
  refused(combine(in, 10, 0, weights.data(), f32), "no operation 10");
  refused(combine(in, WM_MERGE_SUM, 0, weights.data(), f32), "takes no base");
  refused(combine(no_base, WM_MERGE_DELTA_SUM, 0, weights.data(), f32), "base is null");
  refused(combine(in, WM_MERGE_CONSENSUS, WM_AXIS_ROW, weights.data(), f32), "no axis");
  refused(combine(in, WM_MERGE_DELTA_SUM, 0, nullptr, f32), "weights are null");
  refused(combine(in, WM_MERGE_DELTA_SUM, 0, infinite, f32), "weight 1 is inf");
  refused(combine(in, WM_MERGE_NEARSWAP, 0, weights.data(), f32), "does not take 2 inputs");
  refused(combine(in, WM_MERGE_TAKE, 0, weights.data(), f32), "does not take 2 inputs");
  refused(combine(in, WM_MERGE_DELTA_SUM, 0, weights.data(), u8), "of out");
  WmMergeCombine rounded = {in,         WM_MERGE_ROUNDED_DELTA_SUM,
                            0,          weights.data(),
                            nullptr,    nullptr,
                            {1, 1},     f32,
                            out.data(), &non_finite,
                            u8};

  refused(context.combine(rounded), "nothing is rounded to dtype");

  CHECK_EQ(combine(in, WM_MERGE_DELTA_SUM, 0, weights.data(), f32), WM_OK);
  const volatile int32_t cancelled = 1;
  CHECK_EQ(combine(in, WM_MERGE_DELTA_SUM, 0, weights.data(), f32, &cancelled), WM_CANCELLED);
}
