#include "train/train_rows.h"

#include <string>
#include <utility>

#include "core/number_row.h"
#include "core/status.h"

namespace wisemerge::train {
namespace {

constexpr size_t kTrainerNumbers = 12, kLayerNumbers = 6, kDataNumbers = 5, kStepsNumbers = 6;

uint64_t optional_place(NumberRow& row) {
  const double place = row.number();
  if (place == -1) return Layer::kNone;
  if (!(place >= 0 && place < 0x1p52)) throw Error("ERR_INTERNAL_ARGUMENT", "not a place of a parameter");
  return static_cast<uint64_t>(place);
}

TrainingData parse_data(NumberRow& row) {
  TrainingData data{};
  data.samples = row.whole();
  data.dimension = row.whole();
  const uint64_t dtype = row.whole();
  if (dtype >= kDTypeCount || !is_float(static_cast<DType>(dtype))) {
    throw Error("ERR_INTERNAL_ARGUMENT", "dtype " + std::to_string(dtype) + " is not a float dtype");
  }
  data.dtype = static_cast<DType>(dtype);
  data.features = row.range<uint8_t>("features", times(data.samples, data.dimension), item_size(data.dtype));
  data.labels = row.range<int32_t>("labels", data.samples);
  return data;
}

}  // namespace

TrainerRow parse_trainer(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  if (length < kTrainerNumbers || (length - kTrainerNumbers) % kLayerNumbers != 0) {
    throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(length) + " numbers are no trainer");
  }
  NumberRow row(numbers, length, length, arena, bytes);
  TrainerRow trainer{};
  trainer.arrays.count = row.whole();
  trainer.arrays.parameters = row.range<float>("parameters", trainer.arrays.count);
  trainer.arrays.first_moment = row.range<float>("first moments", trainer.arrays.count);
  trainer.arrays.second_moment = row.range<float>("second moments", trainer.arrays.count);
  trainer.max_rows = row.whole();
  trainer.options.threads = static_cast<int>(row.whole() & INT32_MAX);
  trainer.options.adamw.beta1 = row.number();
  trainer.options.adamw.beta2 = row.number();
  trainer.options.adamw.epsilon = row.number();
  trainer.options.adamw.weight_decay = row.number();
  trainer.options.label_smoothing = row.number();
  trainer.options.clip = row.number();
  for (size_t at = kTrainerNumbers; at < length; at += kLayerNumbers) {
    const uint64_t kind = row.whole();
    if (kind >= kLayerKinds) throw Error("ERR_INTERNAL_ARGUMENT", "an unknown kind of layer");
    Layer layer{};
    layer.kind = static_cast<LayerKind>(kind);
    layer.inputs = row.whole();
    layer.outputs = row.whole();
    layer.weight = optional_place(row);
    layer.bias = optional_place(row);
    layer.epsilon = static_cast<float>(row.number());
    trainer.layers.push_back(layer);
  }
  return trainer;
}

TrainingData parse_data(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  NumberRow row(numbers, length, kDataNumbers, arena, bytes);
  return parse_data(row);
}

StepsCall parse_steps(const double* numbers, size_t length, std::vector<double> rates, uint8_t* arena,
                      uint64_t bytes) {
  NumberRow row(numbers, length, kDataNumbers + kStepsNumbers, arena, bytes);
  StepsCall call{};
  call.data = parse_data(row);
  call.sampling.seed = row.whole();
  call.sampling.epoch = row.whole();
  call.sampling.balanced = row.whole() != 0;
  call.batch = row.whole();
  call.first = row.whole();
  call.updates = row.whole();
  call.rates = std::move(rates);
  return call;
}

}  // namespace wisemerge::train
