// What models put out, sample by sample, against definitions in f64.
#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "cpu/cpu_backend.h"
#include "wisemerge/backend.h"
#include "wisemerge/head.h"

namespace wisemerge::test {
namespace {

constexpr const char* kLevels[] = {"baseline", "avx2", "avx512"};

struct Problem {
  Problem(size_t rows, size_t classes, float scale, uint64_t seed) : rows(rows), classes(classes) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < rows * stride(); i++) {
      z0.push_back(scale * normal(random));
      z1.push_back(z0.back() + 0.5f * scale * normal(random));
    }
    for (size_t i = 0; i < rows; i++) labels.push_back(static_cast<int32_t>(random() % classes));
  }
  size_t stride() const { return classes + 3; }
  WmLogits view() const { return {rows, classes, stride(), z0.data(), z1.data(), labels.data()}; }

  std::vector<double> run(const char* isa, int threads, double alpha) const {
    const WmBackend* backend = wisemerge_cpu_backend();
    const WmOpenOptions options = {0, threads, isa, WM_EXACT, 0};
    WmContext* context = nullptr;
    WmError error{};
    CHECK_EQ(backend->open(&options, &context, &error), WM_OK);
    std::vector<double> out(rows * kOutputColumns, -7);
    const WmHeadOutputs call{view(), alpha, out.data()};
    CHECK_EQ(backend->head_outputs(context, &call, nullptr, &error), WM_OK);
    backend->close(context);
    return out;
  }

  size_t rows, classes;
  std::vector<float> z0, z1;
  std::vector<int32_t> labels;
};

struct Softmax {
  explicit Softmax(const std::vector<double>& z) {
    for (size_t c = 1; c < z.size(); c++) {
      if (z[c] > z[first]) first = c;
    }
    for (size_t c = 0; c < z.size(); c++) {
      if (c != first && z[c] > second) second = z[c];
      sum += std::exp(z[c] - z[first]);
    }
    for (const double value : z) log_p.push_back(value - z[first] - std::log(sum));
    margin = z.size() > 1 ? z[first] - second : 0;
  }
  size_t first = 0;
  double second = -INFINITY, sum = 0, margin;
  std::vector<double> log_p;
};

bool close(double value, double expected, double tolerance) {
  return std::fabs(value - expected) <= tolerance * (1 + std::fabs(expected));
}

void check_model(const double* out, const Softmax& expected) {
  CHECK_EQ(static_cast<size_t>(out[kOutputPredicted]), expected.first);
  CHECK(close(out[kOutputMargin], expected.margin, 1e-5));
  CHECK(close(out[kOutputConfidence], std::exp(expected.log_p[expected.first]), 1e-6));
}

}  // namespace

TEST("head outputs: equal their definitions") {
  for (const size_t classes : {1, 2, 16, 77, 1000}) {
    const Problem problem(70, classes, 3, classes);
    for (const double alpha : {0.0, 0.3, 1.0}) {
      const auto all = problem.run(nullptr, 2, alpha);
      for (size_t i = 0; i < problem.rows; i++) {
        std::vector<double> a(classes), b(classes), m(classes);
        for (size_t c = 0; c < classes; c++) {
          a[c] = problem.z0[i * problem.stride() + c];
          b[c] = problem.z1[i * problem.stride() + c];
          m[c] = a[c] + alpha * (b[c] - a[c]);
        }
        const Softmax zeroshot(a), finetuned(b), merged(m);
        const double* out = all.data() + i * kOutputColumns;
        check_model(out + kOutputZeroshot, zeroshot);
        check_model(out + kOutputFinetuned, finetuned);
        check_model(out + kOutputMerged, merged);
        double kl0 = 0, kl1 = 0;
        std::vector<double> mean(classes);
        for (size_t c = 0; c < classes; c++) {
          const double p = std::exp(zeroshot.log_p[c]), q = std::exp(finetuned.log_p[c]);
          kl0 += p * (zeroshot.log_p[c] - finetuned.log_p[c]);
          kl1 += q * (finetuned.log_p[c] - zeroshot.log_p[c]);
          mean[c] = (1 - alpha) * p + alpha * q;
        }
        CHECK(close(out[kOutputDivergence0], kl0, 1e-5));
        CHECK(close(out[kOutputDivergence1], kl1, 1e-5));
        CHECK_EQ(static_cast<size_t>(out[kOutputEnsemblePredicted]), Softmax(mean).first);
        const size_t label = static_cast<size_t>(problem.labels[i]);
        CHECK(close(out[kOutputLabelLog0], zeroshot.log_p[label], 1e-6));
        CHECK(close(out[kOutputLabelLog1], finetuned.log_p[label], 1e-6));
      }
    }
  }
}

TEST("head outputs: the same bits at every level and thread count") {
  const Problem problem(201, 77, 3, 5);
  const auto expected = problem.run("baseline", 1, 0.3);
  for (const char* isa : kLevels) {
    for (const int threads : {1, 3}) CHECK(problem.run(isa, threads, 0.3) == expected);
  }
}

TEST("head outputs: huge logits overflow nothing, and ties go to the lowest class") {
  const Problem huge(50, 40, 1e4f, 9);
  for (const double value : huge.run(nullptr, 1, 0.5)) CHECK(std::isfinite(value));
  Problem tied(3, 20, 1, 1);
  for (float& z : tied.z0) z = 2;
  for (float& z : tied.z1) z = 2;
  const auto out = tied.run(nullptr, 1, 0.5);
  for (size_t i = 0; i < tied.rows; i++) {
    const double* one = out.data() + i * kOutputColumns;
    for (const size_t model : {kOutputZeroshot, kOutputFinetuned, kOutputMerged}) {
      CHECK_EQ(one[model + kOutputPredicted], 0);
      CHECK_EQ(one[model + kOutputMargin], 0);
      CHECK(close(one[model + kOutputConfidence], 0.05, 1e-6));
    }
    CHECK_EQ(one[kOutputEnsemblePredicted], 0);
    CHECK_EQ(one[kOutputDivergence0], 0);
  }
}

}  // namespace wisemerge::test
