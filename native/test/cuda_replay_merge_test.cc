// The kernels of merging many models, replayed on the host block by block and thread by thread, against the
// CPU backend bit for bit.
#include <cmath>

#include "cuda_host_merge.h"
#include "merge_battery.h"

namespace wisemerge::test {
namespace {

// Tensors as the kernels take them: where they are, at odd addresses, or each at a multiple of 256 bytes, as
// a slot places them.
class Placed {
 public:
  Placed(const WmMergeInputs& in, bool aligned, std::vector<uint32_t> models) {
    bool wide = in.base && static_cast<DType>(in.base_dtype) == DType::kF64;
    for (uint32_t i = 0; i < in.models; i++) wide = wide || static_cast<DType>(in.x_dtypes[i]) == DType::kF64;
    chunk_.first = in.first;
    chunk_.count = in.count;
    chunk_.row = in.row;
    chunk_.first_row = in.first / in.row;
    chunk_.models = static_cast<uint32_t>(models.size());
    chunk_.wide = wide;
    if (in.base) chunk_.base = place(in.base, in.base_dtype, in.count, aligned);
    for (const uint32_t i : models) x_.push_back(place(in.x[i], in.x_dtypes[i], in.count, aligned));
    chunk_.x = x_.data();
  }
  const cuda::MergeChunk& chunk() const { return chunk_; }

 private:
  cuda::MergeSource place(const void* data, int32_t dtype_value, uint64_t count, bool aligned) {
    const auto dtype = static_cast<DType>(dtype_value);
    if (!aligned) return {data, dtype};
    // No byte more than the elements: what reads beyond is seen.
    const size_t bytes = count * item_size(dtype);
    memory_.emplace_back(static_cast<std::byte*>(::operator new (bytes + 1, std::align_val_t{256})));
    std::memcpy(memory_.back().get(), data, bytes);
    return {memory_.back().get(), dtype};
  }
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete (memory, std::align_val_t{256}); }
  };
  std::vector<std::unique_ptr<std::byte, Free>> memory_;
  std::vector<cuda::MergeSource> x_;
  cuda::MergeChunk chunk_{};
};

// The methods of MergeCalls by the kernels alone.
class Replay {
 public:
  Replay(bool aligned, uint32_t blocks, bool descending)
      : aligned_(aligned), blocks_(blocks), descending_(descending) {}
  WmError error{};

  WmCode count(const WmMergeCount& call) const {
    const bool all = call.score == WM_SCORE_VARIANCE;
    const Placed placed = place(call.inputs, all ? kAll : call.model);
    count_on_host({placed.chunk(), 0, call.score, call.row_scores, call.shift, call.prefix, call.table},
                  blocks_, descending_);
    return WM_OK;
  }
  WmCode sums(const WmMergeSums& call) const {
    const Placed placed = place(call.inputs, kAll);
    const bool by_variance = std::any_of(call.keeps, call.keeps + call.inputs.models, [](const WmKeep& keep) {
      return keep.rule == WM_KEEP_RANKED && keep.score == WM_SCORE_VARIANCE;
    });
    sums_on_host({placed.chunk(), units(call.inputs, call.axis), call.keeps, by_variance, call.sums},
                 descending_);
    return WM_OK;
  }
  WmCode gram(const WmMergeGram& call) const {
    const Placed placed = place(call.inputs, kAll);
    const WmMergeInputs& in = call.inputs;
    if (call.axis != WM_AXIS_COLUMN) {
      gram_on_host({placed.chunk(), units(in, call.axis), call.sums}, descending_);
      return WM_OK;
    }
    // In two parts of columns and of rows.
    const uint64_t rows = in.count / in.row, pairs = cuda::pair_count(in.models);
    for (uint64_t first = 0, columns = (in.row + 1) / 2; first < in.row; first += columns) {
      columns = std::min(columns, in.row - first);
      for (uint64_t row = 0, some = (rows + 1) / 2; row < rows; row += some) {
        some = std::min(some, rows - row);
        WmMergeInputs part = in;
        const Placed rest = place(tail(part, row * in.row), kAll);
        double* const sums = call.sums + first * pairs;
        columns_on_host({rest.chunk(), some, in.row, first, columns, sums, sums}, blocks_);
      }
    }
    return WM_OK;
  }
  WmCode overlap(const WmMergeOverlap& call) const {
    const Placed placed = place(call.inputs, kAll);
    overlap_on_host({placed.chunk(), call.epsilon, call.counts}, blocks_, descending_);
    return WM_OK;
  }
  WmCode rank_mask(const WmMergeRankMask& call) const {
    const Placed placed = place(call.inputs, call.model);
    const cuda::MergeChunk& chunk = placed.chunk();
    std::vector<uint32_t> mask((chunk.count + 31) / 32 + 1);
    std::vector<cuda::WideRank> ranks(blocks_ * chunk.row + 1);
    ranks_on_host({chunk, call.density, call.epsilon, call.key, call.stream, mask.data(),
                   reinterpret_cast<std::byte*>(ranks.data())},
                  blocks_, descending_);
    std::memcpy(call.mask, mask.data(), (chunk.count + 7) / 8);
    return WM_OK;
  }
  WmCode divergence(const WmMergeDivergence& call) const {
    const Placed placed = place(call.inputs, 0);
    divergence_on_host({placed.chunk(), call.divergence}, blocks_);
    return WM_OK;
  }
  WmCode combine(const WmMergeCombine& call) const {
    const Placed placed = place(call.inputs, kAll);
    cuda::MergeCombine combine{};
    combine.chunk = placed.chunk();
    combine.operation = call.operation;
    combine.axis = call.axis;
    combine.deltas = call.operation >= WM_MERGE_DELTA_SUM && call.operation <= WM_MERGE_OVERLAP;
    for (uint32_t i = 0; call.keeps && i < call.inputs.models; i++) {
      const WmKeep& keep = call.keeps[i];
      combine.by_variance =
          combine.by_variance || (keep.rule == WM_KEEP_RANKED && keep.score == WM_SCORE_VARIANCE);
    }
    combine.weights = call.weights;
    combine.factors = call.factors;
    combine.keeps = call.keeps;
    combine.parameters[0] = call.parameters[0];
    combine.parameters[1] = call.parameters[1];
    combine.work_dtype = static_cast<DType>(call.work_dtype);
    combine.out_dtype = static_cast<DType>(call.out_dtype);
    combine.non_finite = call.non_finite;
    *call.non_finite = 0;
    // Where the call wants it, or at a multiple of 256 bytes.
    const size_t bytes = call.inputs.count * item_size(combine.out_dtype);
    alignas(256) static std::byte room[1 << 16];
    CHECK(bytes <= sizeof(room));
    combine.out = aligned_ ? room : call.out;
    combine_on_host(combine, blocks_, descending_);
    if (aligned_) std::memcpy(call.out, room, bytes);
    return WM_OK;
  }

 private:
  static constexpr uint32_t kAll = ~0u;
  static cuda::MergeUnits units(const WmMergeInputs& in, int32_t axis) {
    const uint64_t unit = axis == WM_AXIS_ROW ? in.row : kMergeSpan;
    return {unit, (in.count + unit - 1) / unit};
  }
  Placed place(const WmMergeInputs& in, uint32_t model) const {
    std::vector<uint32_t> models{model};
    if (model == kAll) {
      models.resize(in.models);
      for (uint32_t i = 0; i < in.models; i++) models[i] = i;
    }
    return Placed(in, aligned_, models);
  }
  // The inputs from element `begin` of the range on.
  const WmMergeInputs& tail(WmMergeInputs& in, uint64_t begin) const {
    const auto from = [begin](const void* data, int32_t dtype) -> const void* {
      return static_cast<const char*>(data) + begin * item_size(static_cast<DType>(dtype));
    };
    pointers_.clear();
    for (uint32_t i = 0; i < in.models; i++) pointers_.push_back(from(in.x[i], in.x_dtypes[i]));
    if (in.base) in.base = from(in.base, in.base_dtype);
    in.x = pointers_.data();
    in.first += begin;
    in.count -= begin;
    return in;
  }

  const bool aligned_;
  const uint32_t blocks_;
  const bool descending_;
  mutable std::vector<const void*> pointers_;
};

void run(const MergeTensors& tensors, const std::string& where, Replay replay, size_t keeps) {
  MergeContext cpu;
  const auto check = [](bool good, const std::string& what) {
    if (!good) fail(__FILE__, __LINE__, what);
  };
  MergeBattery battery(cpu, replay, tensors, where, keeps, check);
  battery.run();
}

// Sanitizers see what they look for on fewer values.
constexpr size_t kKeepSorts = kSanitized ? 2 : 7;

TEST("cuda replay: merging, every call, dtype and keep") {
  for (const Shape& shape : shapes()) {
    for (const bool with_base : {true, false}) {
      const bool many = shape.dtypes.size() > 8;
      for (const bool specials : {false, true}) {
        if (kSanitized && specials != with_base) continue;
        const MergeTensors tensors = make_tensors(shape.dtypes, shape.base, with_base, shape.count, shape.row,
                                                  specials, 11 * shape.count + specials);
        const Replay replay(specials, shape.count % 3 + 1, with_base);
        run(tensors, name_of(shape), replay, many ? 1 : kKeepSorts);
      }
    }
  }
}

TEST("cuda replay: merging, units of several tiles, and rows too long for shared memory") {
  constexpr DType kB = DType::kBF16, kF = DType::kF32, kD = DType::kF64;
  for (const Shape& shape : std::vector<Shape>{{{kB, kF}, kB, 2 * 5000, 5000}, {{kD, kB}, kF, 2500, 2500}}) {
    const MergeTensors tensors =
        make_tensors(shape.dtypes, shape.base, true, shape.count, shape.row, false, shape.count);
    run(tensors, name_of(shape), Replay(true, 2, false), 1);
    if (!kSanitized) run(tensors, name_of(shape), Replay(false, 1, true), 1);
  }
}

// All 16-bit and 8-bit codes as a merge sees them: numbers as the specification widens them, NaN as NaN.
template <DType D, class Scalar>
void every_code() {
  using Bits = typename Element<D>::Bits;
  for (uint32_t code = 0; code < 1u << (8 * sizeof(Bits)); code++) {
    const auto bits = static_cast<Bits>(code);
    const auto wanted = sizeof(Scalar) == 8 ? static_cast<Scalar>(Element<D>::load64(bits))
                                            : static_cast<Scalar>(Element<D>::load32(bits));
    const Scalar got = cuda::widen<D, Scalar>(bits);
    CHECK(same_sum(wanted, got));
  }
}
TEST("cuda replay: merging, every code of the narrow dtypes") {
  every_code<DType::kF8E5M2, float>();
  every_code<DType::kF8E4M3, float>();
  every_code<DType::kF16, float>();
  every_code<DType::kBF16, float>();
  every_code<DType::kF8E5M2, double>();
  every_code<DType::kF8E4M3, double>();
  every_code<DType::kF16, double>();
  every_code<DType::kBF16, double>();
}

TEST("cuda replay: merging, pairs of models by their number") {
  for (uint32_t models : {1u, 2u, 5u, 33u}) {
    uint64_t index = 0;
    for (uint32_t i = 0; i < models; i++) {
      for (uint32_t j = i; j < models; j++, index++) {
        CHECK_EQ(cuda::pair_index(i, j, models), index);
        CHECK_EQ(cuda::pair_at(index, models).i, i);
        CHECK_EQ(cuda::pair_at(index, models).j, j);
      }
    }
    CHECK_EQ(cuda::pair_count(models), index);
  }
}

TEST("cuda replay: merging, what sixteen threads touch together is in sixteen banks") {
  cuda::SumRow row{};
  const auto bank = [&](uint32_t e) { return (&row[e] - row.at) % 16; };
  for (uint32_t first = 0; first < cuda::kSumTile; first += 16) {
    uint32_t read = 0;
    for (uint32_t lane = 0; lane < 16; lane++) read |= 1u << bank(first + lane);
    CHECK_EQ(read, 0xffffu);
  }
  for (uint32_t first = 0; first < cuda::kSumPacks; first += 16) {
    for (uint32_t i = 0; i < cuda::kMergePack; i++) {
      uint32_t written = 0;
      for (uint32_t pack = first; pack < first + 16; pack++) written |= 1u << bank(pack * 8 + i);
      CHECK_EQ(written, 0xffffu);
    }
  }
}

}  // namespace
}  // namespace wisemerge::test
