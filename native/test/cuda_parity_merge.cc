#include "cuda_parity_merge.h"

#include <chrono>
#include <thread>

#include "merge_battery.h"

namespace wisemerge::test {
namespace {

constexpr DType kB = DType::kBF16, kF = DType::kF32, kD = DType::kF64, kE4 = DType::kF8E4M3;

MergeCalls calls_of(const Opened& opened) { return {opened.backend, opened.context, {}}; }

void battery(Tally& tally, const Opened& cuda, const Opened& cpu, const MergeTensors& tensors,
             const std::string& where, size_t keeps) {
  MergeCalls tried = calls_of(cuda), wanted = calls_of(cpu);
  MergeBattery(wanted, tried, tensors, where, keeps, [&](bool good, const std::string& what) {
    tally.expect(good, "merge, " + what);
  }).run();
}

void every_shape(Tally& tally, const Opened& cuda, const Opened& cpu, bool reduced) {
  for (const Shape& shape : shapes()) {
    for (const bool with_base : {true, false}) {
      for (const bool specials : {false, true}) {
        if (reduced && specials != with_base) continue;
        const MergeTensors tensors = make_tensors(shape.dtypes, shape.base, with_base, shape.count, shape.row,
                                                  specials, 13 * shape.count + specials);
        battery(tally, cuda, cpu, tensors, name_of(shape), reduced ? 2 : 7);
      }
    }
  }
}

// Tensors of several spans and ranges, whose keeps, scores, masks and weights are cut with them.
void many_ranges(Tally& tally, const Opened& cuda, const Opened& cpu, bool reduced) {
  const size_t count = reduced ? 5 * 70001 : 97 * 70001;
  for (const size_t row : {size_t{1} * 70001, size_t{7}}) {
    const MergeTensors tensors = tuned_tensors(3, count / row * row, row, row);
    battery(tally, cuda, cpu, tensors, "ranges of rows of " + std::to_string(row), reduced ? 1 : 7);
  }
  if (reduced) return;
  const Shape large = {{kF, kB, kE4, kD}, kF, 3001 * 4096, 4096};
  battery(tally, cuda, cpu, make_tensors(large.dtypes, large.base, true, large.count, large.row, true, 5),
          "large", 3);
}

// Units that do not fit a slot: spans of many models, long rows.
void units_above_a_slot(Tally& tally, const Opened& cuda, const Opened& cpu, bool reduced) {
  MergeCalls tried = calls_of(cuda), wanted = calls_of(cpu);
  const size_t models = reduced ? 34 : 200, pairs = models * (models + 1) / 2;
  const MergeTensors spans =
      make_tensors(std::vector<DType>(models, kD), kD, true, kMergeSpan + 40, 8, false, 3);
  std::vector<WmKeep> keeps(models);
  for (size_t i = 0; i < models; i++) {
    keeps[i].rule = WM_KEEP_RANDOM;
    keeps[i].probability = 0.5;
    keeps[i].stream = static_cast<uint32_t>(i);
  }
  const auto check = [&](WmCode a, WmCode b, const std::vector<double>& x, const std::vector<double>& y,
                         const char* what) {
    const bool same = std::equal(x.begin(), x.end(), y.begin(), y.end(), same_sum);
    tally.expect(a == WM_OK && b == WM_OK && same,
                 std::string("merge, above a slot: ") + what + (b == WM_OK ? "" : tried.error.message));
  };
  std::vector<double> a(2 * models * kMergeSumColumns), b(a.size());
  check(wanted.sums({spans.inputs(), keeps.data(), a.data(), 0}),
        tried.sums({spans.inputs(), keeps.data(), b.data(), 0}), a, b, "sums of spans");
  a.assign(2 * pairs, 0);
  b.assign(2 * pairs, 0);
  check(wanted.gram({spans.inputs(), 0, a.data()}), tried.gram({spans.inputs(), 0, b.data()}), a, b,
        "products of spans");

  const size_t length = 2200000, rows = 2;
  const MergeTensors long_rows = tuned_tensors(3, rows * length, length, 4);
  a.assign(rows, 0);
  b.assign(rows, 0);
  check(wanted.divergence({long_rows.inputs(), a.data()}), tried.divergence({long_rows.inputs(), b.data()}),
        a, b, "divergence of long rows");
  std::vector<uint8_t> mask((rows * length + 7) / 8), got_mask(mask);
  keeps.assign(3, keeps[0]);
  for (size_t i = 0; i < mask.size(); i++) mask[i] = static_cast<uint8_t>(i * 37);
  keeps[2].rule = WM_KEEP_MASKED;
  keeps[2].mask = mask.data();
  a.assign(rows * 3 * kMergeSumColumns, 0);
  b.assign(a.size(), 0);
  check(wanted.sums({long_rows.inputs(), keeps.data(), a.data(), WM_AXIS_ROW}),
        tried.sums({long_rows.inputs(), keeps.data(), b.data(), WM_AXIS_ROW}), a, b, "sums of long rows");
  std::vector<double> start(length * 6, 0.25);
  a = b = start;
  check(wanted.gram({long_rows.inputs(), WM_AXIS_COLUMN, a.data()}),
        tried.gram({long_rows.inputs(), WM_AXIS_COLUMN, b.data()}), a, b, "products of many columns");

  // One weight per column, more than go with every range.
  std::vector<double> weights(length * 3);
  for (size_t i = 0; i < weights.size(); i++) weights[i] = static_cast<double>(i % 1001) * 1e-3;
  std::vector<uint16_t> out(rows * length), got_out(out);
  uint64_t bad = 0, got_bad = 0;
  WmMergeCombine combine = {long_rows.inputs(),
                            WM_MERGE_DELTA_SUM,
                            WM_AXIS_COLUMN,
                            weights.data(),
                            nullptr,
                            nullptr,
                            {},
                            static_cast<int32_t>(kB),
                            out.data(),
                            &bad,
                            0};
  const WmCode code = wanted.combine(combine);
  combine.out = got_out.data();
  combine.non_finite = &got_bad;
  tally.expect(code == WM_OK && tried.combine(combine) == WM_OK && out == got_out && bad == got_bad,
               std::string("merge, weights of many columns: ") + tried.error.message);
  if (reduced) return;
  WmMergeRankMask ranks = {long_rows.inputs(), 1, 2, 0.5, 0.2, 99, mask.data()};
  wanted.rank_mask(ranks);
  ranks.mask = got_mask.data();
  tally.expect(tried.rank_mask(ranks) == WM_OK && mask == got_mask,
               std::string("merge, ranks of long rows: ") + tried.error.message);
}

// Inputs and output that are page-locked travel without a stop.
void pinned_ranges(Tally& tally, const Opened& cuda, const Opened& cpu) {
  MergeCalls tried = calls_of(cuda), wanted = calls_of(cpu);
  MergeTensors tensors = tuned_tensors(2, 700000, 1, 6);
  std::vector<uint16_t> out(tensors.count + 4096), expected(tensors.count);
  const double weights[] = {0.4, 0.7};
  uint64_t bad = 0;
  WmMergeCombine call = {tensors.inputs(),         WM_MERGE_DELTA_SUM, 0,    weights, nullptr, nullptr, {},
                         static_cast<int32_t>(kB), expected.data(),    &bad, 0};
  tally.expect(wanted.combine(call) == WM_OK, wanted.error.message);
  call.out = out.data();
  WmError error = {};
  std::vector<void*> pinned;
  const auto pin = [&](void* memory, size_t bytes) {
    // Whole pages within the range: two must not share one.
    constexpr uintptr_t kPage = 4096;
    const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kPage - 1) / kPage * kPage;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / kPage * kPage;
    pinned.push_back(reinterpret_cast<void*>(begin));
    tally.expect(cuda.backend->pin(cuda.context, pinned.back(), end - begin, &error) == WM_OK, error.message);
  };
  pin(tensors.x[0].data(), tensors.count * 2);
  pin(tensors.base->data(), tensors.count * 2);
  pin(out.data(), out.size() * 2);
  tally.expect(tried.combine(call) == WM_OK && std::equal(expected.begin(), expected.end(), out.begin()),
               std::string("merge of pinned memory: ") + tried.error.message);
  for (void* memory : pinned) cuda.backend->unpin(cuda.context, memory);
}

void refusing(Tally& tally, const Opened& cuda) {
  MergeCalls tried = calls_of(cuda);
  const MergeTensors t = make_tensors({kF, kF}, kF, true, 64, 8, false, 9);
  std::vector<double> numbers(2000);
  const double weights[] = {0.5, 0.5};
  uint64_t bad = 0;
  const auto refused = [&](WmCode code, const char* message) {
    tally.expect(code == WM_INVALID_ARGUMENT && std::strstr(tried.error.message, message),
                 std::string("merge refuses: ") + message + ", said: " + tried.error.message);
  };
  WmMergeInputs in = t.inputs();
  refused(tried.count({in, 2, 0, nullptr, 16, 0, reinterpret_cast<uint64_t*>(numbers.data())}),
          "model 2 of 2");
  refused(tried.sums({in, nullptr, numbers.data(), 0}), "keeps is null");
  refused(tried.gram({in, 3, numbers.data()}), "no axis 3");
  refused(tried.overlap({in, 0.1, nullptr}), "counts");
  refused(tried.rank_mask({in, 0, 0, 0.5, 0.1, 0, nullptr}), "mask");
  WmMergeInputs other = in;
  other.base = nullptr;
  refused(tried.divergence({other, numbers.data()}), "base is null");
  WmMergeCombine combine = {in,
                            WM_MERGE_DELTA_SUM,
                            0,
                            weights,
                            nullptr,
                            nullptr,
                            {},
                            static_cast<int32_t>(kF),
                            numbers.data(),
                            &bad,
                            0};
  combine.inputs = other;
  refused(tried.combine(combine), "base is null");
  const std::vector<const void*> x(2000, in.x[0]);
  const std::vector<int32_t> dtypes(2000, in.x_dtypes[0]);
  other = in;
  other.models = 2000;
  other.x = x.data();
  other.x_dtypes = dtypes.data();
  refused(tried.overlap({other, 0.1, reinterpret_cast<uint64_t*>(numbers.data())}), "2000 inputs");

  const volatile int32_t raised = 1;
  combine.inputs = in;
  numbers.assign(numbers.size(), 7);
  tally.expect(tried.combine(combine, &raised) == WM_CANCELLED && numbers[0] == 7,
               "a raised flag cancels a merge before it writes");
  tally.expect(tried.gram({in, WM_AXIS_COLUMN, numbers.data()}, &raised) == WM_CANCELLED,
               "a raised flag cancels inner products of columns");
  tally.expect(tried.combine(combine) == WM_OK, "a merge after a cancelled one");
}

// A flag raised while ranges are under way.
void cancelling(Tally& tally, const Opened& cuda) {
  MergeCalls tried = calls_of(cuda);
  // The same megabytes as 900 models: 8 GB of transfers.
  const MergeTensors one = tuned_tensors(1, 4u << 20, 1, 8);
  const std::vector<const void*> x(900, one.inputs().x[0]);
  const std::vector<int32_t> dtypes(900, one.inputs().x_dtypes[0]);
  WmMergeInputs in = one.inputs();
  in.models = 900;
  in.x = x.data();
  in.x_dtypes = dtypes.data();
  std::vector<uint64_t> counts(2 * 900);
  volatile int32_t flag = 0;
  std::thread raiser([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    __atomic_store_n(&flag, 1, __ATOMIC_RELAXED);
  });
  const WmCode code = tried.overlap({in, 0.1, counts.data()}, &flag);
  raiser.join();
  tally.expect(code == WM_CANCELLED, "a flag raised during a merge cancels it");
}

}  // namespace

void check_merges(Tally& tally, Opened& cuda, Opened& cpu, bool reduced) {
  every_shape(tally, cuda, cpu, reduced);
  many_ranges(tally, cuda, cpu, reduced);
  units_above_a_slot(tally, cuda, cpu, reduced);
  pinned_ranges(tally, cuda, cpu);
  refusing(tally, cuda);
  cancelling(tally, cuda);
}

}  // namespace wisemerge::test
