// The calls of merging many models from memory, on one core and on all: elements per second, and bandwidth as
// a share of a non-temporal copy's (calibrated.h). The interpolation of two models is measured beside them.
//
//   merge_bench [--quick] [--mib N] [NAME]
//
// --mib: size of a model (default 128); NAME: only the cases whose name contains it. One JSON object on
// stdout, a table on stderr. Every merged tensor must have the bits of the baseline level before it is timed;
// exits with 1 if not.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "bench/backend_context.h"
#include "bench/calibrated.h"
#include "wisemerge/dtype.h"
#include "wisemerge/lerp.h"
#include "wisemerge/merge.h"

using namespace wisemerge;
using namespace wisemerge::bench;

namespace {

constexpr uint32_t kModels = 4;
constexpr size_t kRow = 4096;
constexpr auto kBF16 = static_cast<int32_t>(DType::kBF16);

// A base and models around it as fine-tuning leaves them: small deltas, one in eight of them 0.
struct Models {
  explicit Models(size_t bytes) : count(bytes / 2 / kRow * kRow), base(bytes, 0), out(bytes, 1) {
    std::mt19937_64 random(1);
    const auto normal = [&] {  // near enough, and quick
      const uint64_t r = random();
      double sum = 0;
      for (int i = 0; i < 4; i++) sum += static_cast<double>(r >> (16 * i) & 0xffff) / 65536 - 0.5;
      return static_cast<float>(sum * 1.7);
    };
    std::vector<float> values(count);
    for (float& value : values) value = 0.02f * normal();
    const auto store = [&](const Buffer& buffer, float scale) {
      uint16_t* const to = reinterpret_cast<uint16_t*>(buffer.data());
      for (size_t e = 0; e < count; e++) {
        to[e] = f32_to_bf16(scale == 0 || e % 8 == 0 ? values[e] : values[e] + scale * normal());
      }
    };
    store(base, 0);
    for (uint32_t i = 0; i < kModels; i++) {
      x.push_back(std::make_unique<Buffer>(bytes, 2 + i));
      store(*x[i], 0.002f);
      pointers.push_back(x[i]->data());
      dtypes.push_back(kBF16);
    }
  }
  WmMergeInputs inputs(uint32_t models, bool with_base) const {
    return {0, count, kRow, models, kBF16, with_base ? base.data() : nullptr, pointers.data(), dtypes.data()};
  }

  size_t count;
  Buffer base, out;
  std::vector<std::unique_ptr<Buffer>> x;
  std::vector<const void*> pointers;
  std::vector<int32_t> dtypes;
};

struct Case {
  std::string name;
  double streams;  // tensors read and written
  std::function<void(const Context&)> run;
  bool merges = false;  // into `out`
};

// A level of deltas that about a fifth of them exceed.
WmKeep ranked() {
  WmKeep keep = {};
  keep.rule = WM_KEEP_RANKED;
  keep.low_key = merge_key(0.0025f);
  keep.low_to = UINT64_MAX;
  keep.high_key = UINT64_MAX;
  return keep;
}

struct Cases {
  explicit Cases(const Models& models)
      : m(models),
        weights(kModels * kRow, 0.3),
        factors(kModels, 0.3),
        table(1 << 16),
        counts(2 * kModels),
        numbers(m.count / kRow * 16 + kRow * 16),
        mask(m.count / 8),
        top(kModels, ranked()),
        random(kModels),
        all(kModels) {
    for (uint32_t i = 0; i < kModels; i++) {
      random[i].rule = WM_KEEP_RANDOM;
      random[i].probability = 0.5;
      random[i].key = 7;
      random[i].stream = i;
    }
    add("lerp 2", 3, true, [this](const Context& c) {
      const double alpha = 0.37;
      void* const out = m.out.data();
      const WmLerp item = {kBF16,         kBF16,          kBF16,  1,    m.count,
                           m.base.data(), m.x[0]->data(), &alpha, &out, &bad};
      return c.backend->lerp(c.context, &item, 1, nullptr, nullptr);
    });
    count("count, first level", WM_SCORE_MAGNITUDE, 16, 0, 1);
    count("count, second level", WM_SCORE_MAGNITUDE, 0, merge_key(0.0025f) >> 16, 1);
    count("count, variance of 3", WM_SCORE_VARIANCE, 16, 0, 3);
    sums("sums of 3, all kept", all);
    sums("sums of 3, ranked", top);
    for (uint32_t models : {2u, 4u}) {
      gram("gram of " + std::to_string(models), models, WM_AXIS_WHOLE);
    }
    gram("gram of 2, by row", 2, WM_AXIS_ROW);
    gram("gram of 2, by column", 2, WM_AXIS_COLUMN);
    add("overlap of 3", 4, false, [this](const Context& c) {
      const WmMergeOverlap call = {m.inputs(3, true), 1e-5, counts.data()};
      return c.backend->merge_overlap(c.context, &call, nullptr, nullptr);
    });
    add("rank mask, rows of 4096", 2, false, [this](const Context& c) {
      const WmMergeRankMask call = {m.inputs(1, true), 0, 0, 0.5, 0.1, 7, mask.data()};
      return c.backend->merge_rank_mask(c.context, &call, nullptr, nullptr);
    });
    add("divergence, rows of 4096", 2, false, [this](const Context& c) {
      const WmMergeDivergence call = {m.inputs(1, true), numbers.data()};
      return c.backend->merge_divergence(c.context, &call, nullptr, nullptr);
    });
    combine("sum of 2", 2, false, WM_MERGE_SUM, nullptr);
    combine("sum of 4", 4, false, WM_MERGE_SUM, nullptr);
    combine("sum of 2, by column", 2, false, WM_MERGE_SUM, nullptr, WM_AXIS_COLUMN);
    combine("delta sum of 1", 1, true, WM_MERGE_DELTA_SUM, nullptr);
    combine("delta sum of 2", 2, true, WM_MERGE_DELTA_SUM, nullptr);
    combine("delta sum of 2, ranked", 2, true, WM_MERGE_DELTA_SUM, &top);
    combine("delta sum of 2, random", 2, true, WM_MERGE_DELTA_SUM, &random);
    combine("consensus of 3", 3, true, WM_MERGE_CONSENSUS, nullptr);
    combine("consensus of 3, ranked", 3, true, WM_MERGE_CONSENSUS, &top);
    combine("consensus of 3, random", 3, true, WM_MERGE_CONSENSUS, &random);
    combine("elected of 3", 3, true, WM_MERGE_ELECTED, nullptr);
    combine("overlap merge of 3", 3, true, WM_MERGE_OVERLAP, nullptr);
    combine("nearswap", 1, true, WM_MERGE_NEARSWAP, nullptr);
    combine("fisher of 2", 4, false, WM_MERGE_FISHER, nullptr);
  }

  const Models& m;
  std::vector<double> weights, factors;
  std::vector<uint64_t> table, counts;
  std::vector<double> numbers;
  std::vector<uint8_t> mask;
  std::vector<WmKeep> top, random, all;
  uint64_t bad = 0;
  std::vector<Case> cases;

 private:
  void add(const std::string& name, double streams, bool merges, std::function<WmCode(const Context&)> run) {
    cases.push_back({name, streams, [run](const Context& c) { c.check(run(c)); }, merges});
  }
  void count(const std::string& name, int32_t score, uint32_t shift, uint64_t prefix, uint32_t models) {
    add(name, models + 1, false, [=, this](const Context& c) {
      const WmMergeCount call = {m.inputs(models, true), 0, score, nullptr, shift, prefix, table.data()};
      return c.backend->merge_count(c.context, &call, nullptr, nullptr);
    });
  }
  void sums(const std::string& name, const std::vector<WmKeep>& keeps) {
    add(name, 4, false, [this, &keeps](const Context& c) {
      const WmMergeSums call = {m.inputs(3, true), keeps.data(), numbers.data()};
      return c.backend->merge_sums(c.context, &call, nullptr, nullptr);
    });
  }
  void gram(const std::string& name, uint32_t models, int32_t axis) {
    add(name, models + 1, false, [=, this](const Context& c) {
      const WmMergeGram call = {m.inputs(models, true), axis, numbers.data()};
      return c.backend->merge_gram(c.context, &call, nullptr, nullptr);
    });
  }
  void combine(const std::string& name, uint32_t models, bool with_base, int32_t operation,
               const std::vector<WmKeep>* keeps, int32_t axis = WM_AXIS_WHOLE) {
    add(name, models + with_base + 1, true, [=, this](const Context& c) {
      const WmMergeCombine call = {m.inputs(models, with_base),
                                   operation,
                                   axis,
                                   weights.data(),
                                   factors.data(),
                                   keeps ? keeps->data() : nullptr,
                                   {operation == WM_MERGE_CONSENSUS ? 1.0 : 1e-6, 1.0},
                                   kBF16,
                                   m.out.data(),
                                   const_cast<uint64_t*>(&bad)};
      return c.backend->merge_combine(c.context, &call, nullptr, nullptr);
    });
  }
};

void gate(const Case& one, const Context& context, const Context& baseline, const Models& m) {
  if (!one.merges) return;
  one.run(baseline);
  const std::vector<char> expected(m.out.data(), m.out.data() + 2 * m.count);
  std::memset(m.out.data(), 0xa5, 2 * m.count);
  one.run(context);
  if (std::memcmp(expected.data(), m.out.data(), expected.size()) == 0) return;
  std::fprintf(stderr, "%s: bits differ from the baseline level's\n", one.name.c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  Plan plan = {11, 0.1};
  size_t mib = 128;
  std::string wanted;
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      plan = {5, 0.02};
    } else if (std::strcmp(argv[i], "--mib") == 0 && i + 1 < argc && std::atol(argv[i + 1]) > 0) {
      mib = static_cast<size_t>(std::atol(argv[++i]));
    } else if (argv[i][0] != '-' && wanted.empty()) {
      wanted = argv[i];
    } else {
      std::fprintf(stderr, "usage: merge_bench [--quick] [--mib N] [NAME]\n");
      return 2;
    }
  }

  WmDeviceInfo device;
  WmError error;
  wisemerge_cpu_backend()->device_info(0, &device, &error);
  double load[3] = {};
  if (getloadavg(load, 3) < 1) load[0] = -1;
  std::printf(
      "{\"bench\":\"merge\",\"cpu\":\"%s\",\"cpus\":%d,\"compiler\":\"%s\",\"load\":%.2f,\"mib\":%zu,"
      "\"results\":[",
      device.name, device.compute_units, __VERSION__, load[0], mib);
  std::fprintf(stderr, "%-26s %-9s %2s %9s %8s %8s %7s  %s\n", "call, BF16", "isa", "t", "Gelem/s", "GB/s",
               "copy", "ratio", "95 %");

  const Models models(mib << 20);
  Cases all(models);
  bool first = true;
  std::vector<int> thread_counts = {1};
  if (available_cpus() > 1) thread_counts.push_back(available_cpus());
  const Context baseline(0, "baseline");
  for (int threads : thread_counts) {
    const Context context(threads, device.isa);
    ThreadPool pool(threads);
    const size_t tile = 1 << 20, bytes = 2 * models.count / tile * tile;
    const auto copy = [&] {
      pool.parallel_for(bytes / tile, 1, [&](size_t begin, size_t end) {
        calibrator_copy(models.out.data() + begin * tile, models.base.data() + begin * tile,
                        (end - begin) * tile);
      });
    };
    for (const Case& one : all.cases) {
      if (one.name.find(wanted) == std::string::npos) continue;
      if (threads == 1) gate(one, context, baseline, models);
      const double moved = one.streams * 2 * static_cast<double>(models.count);
      const Measured r = measure(
          plan, [&] { one.run(context); }, moved, copy, 2.0 * static_cast<double>(bytes));
      const double speed = static_cast<double>(models.count) / r.seconds * 1e-9;
      std::printf(
          "%s\n{\"name\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"gelements\":%.3f,\"gbps\":%.2f,"
          "\"copy_gbps\":%.2f,\"ratio\":%.4f,\"ratio_low\":%.4f,\"ratio_high\":%.4f,\"ratio_min\":%.4f,"
          "\"ratio_max\":%.4f,\"seconds\":%.6f,\"pairs\":%zu,\"dropped\":%zu}",
          first ? "" : ",", one.name.c_str(), device.isa, threads, speed, r.gbps, r.calibrator_gbps,
          r.ratio.median, r.ratio.low, r.ratio.high, r.ratio.min, r.ratio.max, r.seconds, r.pairs, r.dropped);
      std::fprintf(stderr, "%-26s %-9s %2d %9.3f %8.1f %8.1f %7.3f  [%.3f, %.3f]\n", one.name.c_str(),
                   device.isa, threads, speed, r.gbps, r.calibrator_gbps, r.ratio.median, r.ratio.low,
                   r.ratio.high);
      first = false;
    }
  }
  std::printf("]}\n");
}
