#include "train/train_rows.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/number_row.h"
#include "core/status.h"
#include "network/network_rows.h"

namespace wisemerge::train {
namespace {

constexpr size_t kTrainerNumbers = 12, kProgramNumbers = 4, kLayerNumbers = 6, kDataNumbers = 5,
                 kStepsNumbers = 6;
constexpr size_t kNetworkNumbers = 3, kLogitsNumbers = 7;

uint64_t optional_place(NumberRow& row) {
  return row.none() ? Layer::kNone : row.whole("the place of a parameter");
}

// How many layers are described behind `before` other numbers.
size_t count_layers(const char* what, size_t length, size_t before) {
  if (length < before || (length - before) % kLayerNumbers != 0) {
    throw Error("ERR_INTERNAL_ARGUMENT", std::to_string(length) + " numbers are no " + what);
  }
  return (length - before) / kLayerNumbers;
}

std::vector<Layer> parse_layers(NumberRow& row, size_t count) {
  std::vector<Layer> layers;
  for (size_t i = 0; i < count; i++) {
    const uint64_t kind = row.whole();
    if (kind >= kLayerKinds) throw Error("ERR_INTERNAL_ARGUMENT", "an unknown kind of layer");
    Layer layer{};
    layer.kind = static_cast<LayerKind>(kind);
    layer.inputs = row.whole();
    layer.outputs = row.whole();
    layer.weight = optional_place(row);
    layer.bias = optional_place(row);
    layer.epsilon = static_cast<float>(row.number());
    layers.push_back(layer);
  }
  return layers;
}

TrainingData parse_data(NumberRow& row) {
  TrainingData data{};
  data.samples = row.whole();
  data.dimension = row.whole();
  data.dtype = row.float_dtype();
  data.features = row.range<uint8_t>("features", times(data.samples, data.dimension), item_size(data.dtype));
  data.labels = row.range<int32_t>("labels", data.samples);
  return data;
}

// A row of numbers in parts.
class Numbers {
 public:
  Numbers(const double* numbers, size_t length) : next_(numbers), left_(length) {}

  const double* take(uint64_t count) {
    if (count > left_) throw Error("ERR_INTERNAL_ARGUMENT", "the numbers of a trainer end too early");
    const double* const part = next_;
    next_ += count;
    left_ -= count;
    return part;
  }
  bool at_end() const { return left_ == 0; }

 private:
  const double* next_;
  uint64_t left_;
};

}  // namespace

TrainerRow parse_trainer(const double* numbers, size_t length, uint8_t* arena, uint64_t bytes) {
  Numbers next(numbers, length);
  NumberRow row(next.take(kTrainerNumbers), kTrainerNumbers, kTrainerNumbers, arena, bytes);
  TrainerRow trainer{};
  trainer.arrays.count = row.whole();
  trainer.arrays.parameters = row.range<float>("parameters", trainer.arrays.count);
  trainer.arrays.first_moment = row.range<float>("first moments", trainer.arrays.count);
  trainer.arrays.second_moment = row.range<float>("second moments", trainer.arrays.count);
  trainer.options.threads = static_cast<int>(row.whole() & INT32_MAX);
  trainer.options.adamw.beta1 = row.number();
  trainer.options.adamw.beta2 = row.number();
  trainer.options.adamw.epsilon = row.number();
  trainer.options.adamw.weight_decay = row.number();
  trainer.options.label_smoothing = row.number();
  trainer.options.clip = row.number();
  const uint64_t tensors = row.whole();
  NumberRow counts(next.take(tensors), tensors, tensors, arena, bytes);
  for (uint64_t i = 0; i < tensors; i++) trainer.tensors.push_back(counts.whole());
  while (!next.at_end()) {
    NumberRow head(next.take(kProgramNumbers), kProgramNumbers, kProgramNumbers, arena, bytes);
    BatchProgram batch{};
    batch.samples = head.whole();
    batch.input = static_cast<uint32_t>(std::min<uint64_t>(head.whole(), network::kNone));
    batch.output = static_cast<uint32_t>(std::min<uint64_t>(head.whole(), network::kNone));
    const uint64_t count = head.whole();
    batch.program = network::parse_program(next.take(count), count, 1, arena, bytes);
    trainer.programs.push_back(std::move(batch));
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

NetworkRow parse_network(const double* numbers, size_t length) {
  const size_t layers = count_layers("network", length, kNetworkNumbers);
  NumberRow row(numbers, length, length, nullptr, 0);
  NetworkRow network{};
  network.parameters = row.whole();
  network.max_rows = row.whole();
  network.threads = static_cast<int>(row.whole() & INT32_MAX);
  network.layers = parse_layers(row, layers);
  return network;
}

InferenceCall parse_logits(const double* numbers, size_t length, const Inference& network, uint8_t* arena,
                           uint64_t bytes) {
  NumberRow row(numbers, length, kLogitsNumbers, arena, bytes);
  InferenceCall call{};
  call.samples = row.whole();
  call.dimension = row.whole();
  call.dtype = row.float_dtype();
  call.features = row.range<uint8_t>("features", times(call.samples, call.dimension), item_size(call.dtype));
  call.parameters = row.range<float>("parameters", network.parameters());
  call.stride = row.whole();
  call.out = row.range<float>("logits", times(call.samples, call.stride));
  return call;
}

}  // namespace wisemerge::train
