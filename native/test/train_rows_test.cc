// What JavaScript says about a trainer: read right, and refused where it would leave the arena.
#include "train/train_rows.h"

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "core/status.h"
#include "error_code.h"

namespace wisemerge::test {
namespace {

using namespace wisemerge::train;

alignas(64) uint8_t arena[4096];

// One linear layer, [3, 4] with its bias, for batches of 2 samples.
const std::vector<double> kTrainer = {
    15, 0,  64, 128, 2,  0.9, 0.999, 1e-8, 0.1, 0.2, 1,  // arrays and options
    2,  12, 3,                                           // tensors
    2,  0,  1,  30,                                      // a program: samples, input, output, its numbers
    2,  1,  8,  1,   -1, 6,   0,     -1,                 // two values, one operation
    0,  1,  0,  -1,  -1, -1,  0,     1,    2,   4,   3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
const std::vector<double> kSteps = {10, 4, 17, 0, 512, 7, 2, 1, 8, 1, 2};

}  // namespace

TEST("train rows: a trainer") {
  const TrainerRow row = parse_trainer(kTrainer.data(), kTrainer.size(), arena, sizeof(arena));
  CHECK_EQ(row.arrays.count, size_t{15});
  CHECK_EQ(reinterpret_cast<uint8_t*>(row.arrays.second_moment) - arena, 128);
  CHECK_EQ(row.options.threads, 2);
  CHECK_EQ(row.options.adamw.weight_decay, 0.1);
  CHECK_EQ(row.options.label_smoothing, 0.2);
  CHECK_EQ(row.options.clip, 1.0);
  CHECK_EQ(row.tensors.size(), size_t{2});
  CHECK_EQ(row.tensors[1], uint64_t{3});
  CHECK_EQ(row.programs.size(), size_t{1});
  CHECK_EQ(row.programs[0].samples, uint64_t{2});
  CHECK_EQ(row.programs[0].output, 1u);
  CHECK_EQ(row.programs[0].program.values.size(), size_t{2});
  CHECK_EQ(row.programs[0].program.ops[0].parameter[1], 1u);
}

TEST("train rows: what is no trainer") {
  const auto code = [](size_t at, double value) {
    std::vector<double> row = kTrainer;
    row[at] = value;
    return code_of([&] { parse_trainer(row.data(), row.size(), arena, sizeof(arena)); });
  };
  CHECK_EQ(code(9, 0.3), "none");
  CHECK_EQ(code(0, 1e6), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(1, 2), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(11, 3), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(12, 0.5), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(17, 29), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(17, 31), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(17, 4e15), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(5, std::numeric_limits<double>::quiet_NaN()), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code_of([] { parse_trainer(kTrainer.data(), 5, arena, sizeof(arena)); }), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code_of([] { parse_trainer(kTrainer.data(), 17, arena, sizeof(arena)); }),
           "ERR_INTERNAL_ARGUMENT");
}

TEST("train rows: steps and their data") {
  const StepsCall call = parse_steps(kSteps.data(), kSteps.size(), {0.5}, arena, sizeof(arena));
  CHECK_EQ(call.data.samples, uint64_t{10});
  CHECK(call.data.dtype == DType::kF32);
  CHECK(call.sampling == (Sampling{7, 2, true}));
  CHECK_EQ(call.first, uint64_t{1});
  CHECK_EQ(call.updates, uint64_t{2});
  const auto code = [](size_t at, double value) {
    std::vector<double> row = kSteps;
    row[at] = value;
    return code_of([&] { parse_steps(row.data(), row.size(), {}, arena, sizeof(arena)); });
  };
  CHECK_EQ(code(0, 1e3), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(1, 4e15), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(2, 0), "ERR_INTERNAL_ARGUMENT");
  CHECK_EQ(code(3, 1), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code(4, 4096), "ERR_INTERNAL_RANGE");
  CHECK_EQ(code_of([] { parse_data(kSteps.data(), 5, arena, sizeof(arena)); }), "none");
  CHECK_EQ(code_of([] { parse_data(kSteps.data(), 6, arena, sizeof(arena)); }), "ERR_INTERNAL_ARGUMENT");
}

}  // namespace wisemerge::test
