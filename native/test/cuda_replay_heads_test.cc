// The kernels of heads, replayed on the host lane by lane and chunk by chunk, against the CPU backend bit for
// bit.
#include "check.h"
#include "cpu/cpu_backend.h"
#include "cuda_host_kernels.h"
#include "head_cases.h"
#include "parity_harness.h"

namespace wisemerge::test {
namespace {

// Two runs with alphas before, between and behind them; 1 is added for comparison.
const std::vector<double> kMetricAlphas = {0.31, 0.4,  0.45, 0.5,  0.55, 0.6, -0.5,
                                           0,    0.05, 0.1,  0.15, 0.2,  1.2};

cuda::HeadLogits chunk_of(const HeadData& data, size_t first, size_t rows) {
  return {data.z0.data() + first * data.stride, data.z1.data() + first * data.stride,
          data.labels.data() + first,           data.stride,
          static_cast<uint32_t>(rows),          static_cast<uint32_t>(data.classes)};
}

std::vector<double> total(const std::vector<double>& blocks, size_t width) {
  std::vector<double> sums(width);
  for (size_t i = 0; i < blocks.size(); i++) sums[i % width] += blocks[i];
  return sums;
}

// The kernels over the data cut into chunks of `rows` samples, as head_calls.cc cuts it.
HeadResults replay(const HeadData& data, double from, double to, size_t rows, uint32_t grid) {
  HeadResults results(data, kMetricAlphas.size());
  std::vector<double> alphas = kMetricAlphas;
  alphas.push_back(1);
  const AlphaRuns runs = alpha_runs({alphas.begin(), alphas.end()}, kMetricAlphas.size());
  const size_t asked = kMetricAlphas.size(), places = alphas.size(), width = asked * kMetricColumns;
  const size_t block_count = (data.rows + kSampleBlock - 1) / kSampleBlock;
  std::vector<double> metric_blocks(block_count * width), moment_blocks(block_count * cuda::kMoments);
  std::vector<SampleMetrics> samples(rows * places);
  std::vector<double> moment_samples(rows * cuda::kMoments), carry(2 * width),
      moment_carry(2 * cuda::kMoments);
  size_t turn = 0;
  for (size_t i = 0; i < data.rows; i += rows, turn ^= 1) {
    const size_t count = std::min(rows, data.rows - i), block = i / kSampleBlock;
    const cuda::HeadLogits logits = chunk_of(data, i, count);
    path_on_host({logits, from, to, results.lo.data() + i, results.hi.data() + i, results.open.data() + i},
                 grid);
    cuda::HeadMetrics metrics{};
    metrics.logits = logits;
    metrics.lo = results.lo.data() + i;
    metrics.hi = results.hi.data() + i;
    metrics.open = results.open.data() + i;
    metrics.alphas = alphas.data();
    metrics.asked = static_cast<uint32_t>(asked);
    metrics.places = static_cast<uint32_t>(places);
    metrics.runs = runs.runs.data();
    metrics.run_count = static_cast<uint32_t>(runs.runs.size());
    metrics.step = runs.step;
    metrics.zeroshot = 7;
    metrics.finetuned = static_cast<uint32_t>(places) - 1;
    metrics.samples = samples.data();
    metrics.first_sample = i;
    metrics.carried_in = carry.data() + turn * width;
    metrics.carried_out = carry.data() + (turn ^ 1) * width;
    metrics.blocks = metric_blocks.data() + block * width;
    metrics.predictions = results.predictions.data() + i;
    metrics.prediction_stride = data.rows;
    metrics_on_host(metrics, grid);
    moments_on_host(
        {logits, data.weights.data() + i, 1.1f, 0.4f, moment_samples.data(), i,
         moment_carry.data() + turn * cuda::kMoments, moment_carry.data() + (turn ^ 1) * cuda::kMoments,
         moment_blocks.data() + block * cuda::kMoments},
        grid);
  }
  results.sums = total(metric_blocks, width);
  results.moments = total(moment_blocks, cuda::kMoments);
  return results;
}

void check_heads(const HeadData& data, double from, double to, size_t rows, uint32_t grid = 1) {
  const Opened cpu(wisemerge_cpu_backend(), 0);
  HeadResults wanted(data, kMetricAlphas.size());
  WmError error{};
  CHECK_EQ(run_heads(cpu.backend, cpu.context, data, from, to, kMetricAlphas, false, wanted, &error), WM_OK);
  const HeadResults got = replay(data, from, to, rows, grid);
  CHECK(std::memcmp(got.lo.data(), wanted.lo.data(), data.rows * sizeof(double)) == 0);
  CHECK(std::memcmp(got.hi.data(), wanted.hi.data(), data.rows * sizeof(double)) == 0);
  CHECK(got.open == wanted.open);
  CHECK(got.predictions == wanted.predictions);
  CHECK(same_doubles(got.sums, wanted.sums));
  CHECK(same_doubles(got.moments, wanted.moments));
}

}  // namespace

TEST("cuda replay: heads of every flavour, around the groups of lanes") {
  for (const Flavour flavour : kFlavours) {
    for (const size_t classes : {1u, 2u, 10u, 15u, 16u, 17u, 33u, 133u}) {
      check_heads(HeadData(150, classes, flavour, classes % 3), 0, 1, 150);
    }
  }
}

TEST("cuda replay: heads on other intervals") {
  for (const Flavour flavour : kFlavours) check_heads(HeadData(200, 30, flavour), -2, 3, 200);
}

TEST("cuda replay: heads in chunks that cut the blocks of samples") {
  const HeadData data(300, 21, Flavour::kUsual);
  for (const size_t rows : {1u, 7u, 37u, 63u, 64u, 65u, 128u, 299u}) check_heads(data, 0, 1, rows);
}

TEST("cuda replay: heads on grids smaller and larger than the samples") {
  const HeadData data(130, 18, Flavour::kTies);
  for (const uint32_t grid : {2u, 5u, 100u}) check_heads(data, 0, 1, 130, grid);
}

TEST("cuda replay: a group of lanes folds as a halving tree") {
  // Subtraction tells any other order apart.
  const cuda::Lanes<8> lanes = {0};
  const int folded =
      lanes.reduce([](uint32_t lane) { return 1 << (3 * lane); }, [](int a, int b) { return a - b; });
  const auto value = [](int lane) { return 1 << (3 * lane); };
  const int wanted =
      ((value(0) - value(4)) - (value(2) - value(6))) - ((value(1) - value(5)) - (value(3) - value(7)));
  CHECK_EQ(folded, wanted);
}

}  // namespace wisemerge::test
