// Tensors from files to files in order: what happens to a stream when a batch is refused, its files or its
// engine are closed, or its memory is too small. What the methods make of tensors is tested elsewhere.
#include "merge/merge_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <string>

#include "check.h"
#include "cpu/cpu_backend.h"
#include "error_code.h"
#include "merge/job_rows.h"
#include "temporary_file.h"

using namespace wisemerge;
using wisemerge::test::code_of;
using wisemerge::test::TemporaryFile;

namespace {

constexpr uint64_t kChunk = 1 << 20, kArena = 16 << 20;  // of which the sink takes eight

std::shared_ptr<Engine> cpu() {
  EngineOptions options;
  options.threads = 1;
  return std::make_shared<Engine>(wisemerge_cpu_backend(), options);
}

MergeStreamOptions options(uint64_t chunk = kChunk, uint64_t arena = kArena) {
  return {cpu(), HostBuffer::allocate(arena), chunk};
}

struct Begun {
  std::shared_ptr<MergeBatch> batch;
  std::future<void> done;

  std::string code() const {
    CHECK(done.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
    return batch->error ? batch->error->code() : "none";
  }
};

// Copies the elements of `from`, a tensor, to the end of an output.
struct Copy {
  double output;
  bool last = true;
  DType from = DType::kU8, to = DType::kU8;
};

Begun copy(MergeStream& stream, int from, double count, const Copy& how) {
  auto batch = std::make_shared<MergeBatch>();
  CHECK_EQ(merge_methods()[0].name, std::string("copy"));
  const double numbers[] = {0,
                            how.output,
                            how.last ? 1.0 : 0.0,
                            static_cast<double>(how.to),
                            count,
                            1,
                            -1,
                            1,
                            static_cast<double>(from),
                            -1,
                            0,
                            static_cast<double>(how.from),
                            -1,
                            -1};
  batch->jobs = parse_merge_jobs(numbers, std::size(numbers), {"t"}, 0, {});
  auto done = std::make_shared<std::promise<void>>();
  batch->done = [done] { done->set_value(); };
  stream.submit(batch);
  return {batch, done->get_future()};
}

}  // namespace

TEST("merge stream: a batch that is refused fails those that come after it") {
  const TemporaryFile in({1, 2, 3, 4}), out;
  constexpr int kNoFile = 1 << 20;
  MergeStream stream(options());
  const double output = stream.add_output(out.fd(), false, {});
  CHECK_EQ(copy(stream, in.fd(), 4, {output, false}).code(), std::string("none"));
  CHECK_EQ(code_of([&] { copy(stream, kNoFile, 4, {output, false}); }), std::string("ERR_IO"));
  CHECK_EQ(copy(stream, in.fd(), 4, {output}).code(), std::string("ERR_IO"));
  CHECK(out.read().empty());
}

TEST("merge stream: keeps its files, whatever becomes of the caller's descriptors") {
  const TemporaryFile in({1, 2, 3, 4}), out, bystander;
  MergeStream stream(options());
  const int lent = dup(out.fd());
  const double output = stream.add_output(lent, false, {9});
  // The number now means another file.
  CHECK_EQ(dup2(bystander.fd(), lent), lent);
  CHECK_EQ(copy(stream, in.fd(), 4, {output}).code(), std::string("none"));
  CHECK(out.read() == (std::vector<uint8_t>{9, 1, 2, 3, 4}));
  CHECK(bystander.read().empty());
  close(lent);
}

TEST("merge stream: chunks of no bytes, of no pages, and those for which there is no memory are refused") {
  const std::string argument = "ERR_INTERNAL_ARGUMENT";
  for (const uint64_t chunk : {uint64_t{0}, kReadSlack, kChunk + 1, kArena, UINT64_MAX - 4095}) {
    CHECK_EQ(code_of([&] { MergeStream never(options(chunk)); }), argument);
  }
  CHECK_EQ(code_of([] { MergeStream never(options(kChunk, 4096)); }), argument);
}

TEST("merge stream: a dtype of less than a byte is refused") {
  const TemporaryFile in({1, 2, 3, 4}), out;
  MergeStream stream(options());
  const double output = stream.add_output(out.fd(), false, {});
  CHECK_EQ(code_of([&] {
             copy(stream, in.fd(), 8, {output, true, DType::kF4, DType::kF4});
           }),
           std::string("ERR_INTERNAL_ARGUMENT"));
}

TEST("merge stream: an engine that is closed serves the batches already handed over") {
  constexpr size_t kBytes = 8 << 20;
  const TemporaryFile in(std::vector<uint8_t>(kBytes, 0x3f)), out;
  MergeStreamOptions made = options();
  const std::shared_ptr<Engine> engine = made.engine;
  MergeStream stream(std::move(made));
  const double output = stream.add_output(out.fd(), false, {});
  const Begun first = copy(stream, in.fd(), kBytes / 4, {output, true, DType::kF32, DType::kBF16});
  engine->close();
  CHECK_EQ(first.code(), std::string("none"));
  CHECK_EQ(code_of([&] { copy(stream, in.fd(), 4, {output}); }), std::string("ERR_ENGINE_CLOSED"));
}
