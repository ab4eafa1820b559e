#include "merge/job_rows.h"

#include "core/number_row.h"

namespace wisemerge {
namespace {

uint64_t below(NumberRow& row, uint64_t limit, const char* what) {
  const uint64_t value = row.whole(what);
  if (value >= limit) {
    throw Error("ERR_INTERNAL_ARGUMENT", "there is no " + std::string(what) + " " + std::to_string(value));
  }
  return value;
}

// -1 or a number below `limit`, which int32_t holds.
int32_t optional_below(NumberRow& row, uint64_t limit, const char* what) {
  return row.none() ? -1 : static_cast<int32_t>(below(row, limit, what));
}

MergeFile parse_file(NumberRow& row) {
  const auto fd = static_cast<int>(below(row, INT32_MAX, "file"));
  return {fd, optional_below(row, INT32_MAX, "file")};
}

// One of `added`, or null.
template <class Part>
std::shared_ptr<const Part> parse_part(NumberRow& row,
                                       const std::vector<std::shared_ptr<const Part>>& added) {
  const int32_t index = optional_below(row, added.size(), "part");
  return index < 0 ? nullptr : added[static_cast<size_t>(index)];
}

void check_addend(const MergeJob& job, DType dtype, const LowRank* addend, uint64_t count) {
  if (!addend) return;
  if (!is_float(dtype) || addend->rows * addend->columns != count) {
    throw Error("ERR_INTERNAL_ARGUMENT", job.name + ": an addend does not fit its tensor");
  }
}

// The tables that follow an input whose rows are gathered.
template <class Take>
std::shared_ptr<RowGather> parse_gather(const MergeJob& job, std::shared_ptr<const RowMap> map,
                                        const MergeParts& parts, const Take& take) {
  constexpr size_t kTableColumns = 6;
  const uint64_t rows = map->rows.size();
  if (rows == 0 || job.count % rows != 0) {
    throw Error("ERR_INTERNAL_ARGUMENT", job.name + ": rows do not make up the tensor");
  }
  const uint64_t width = job.count / rows;
  std::vector<RowTable> tables;
  for (const uint64_t needed : map->needed) {
    NumberRow row = take(kTableColumns);
    RowTable table{};
    table.file = parse_file(row);
    table.position = row.whole();
    table.dtype = static_cast<DType>(below(row, kDTypeCount, "dtype"));
    table.addend = parse_part(row, parts.addends);
    const uint64_t available = row.whole();
    check_addend(job, table.dtype, table.addend.get(), available * width);
    if (!is_float(table.dtype) || needed > available) {
      throw Error("ERR_INTERNAL_RANGE", job.name + ": a table is not of floats, or has too few rows");
    }
    tables.push_back(std::move(table));
  }
  return std::make_shared<RowGather>(std::move(map), std::move(tables), width);
}

void check(const MergeJob& job, const MergeMethod& method) {
  const auto fail = [&](const char* why) { throw Error("ERR_INTERNAL_ARGUMENT", job.name + ": " + why); };
  if (job.row == 0 || (job.count % job.row != 0)) fail("rows do not make up the tensor");
  if (job.base >= static_cast<int32_t>(job.inputs.size())) fail("the base is no input");
  if (item_size(job.out_dtype) == 0) fail("the output is of a dtype of less than a byte");
  if (method.run == merge_copy) {
    if (job.inputs.size() > 1 || (job.inputs.empty() && job.count > 0)) fail("a copy has one input");
    if (!job.inputs.empty() && !is_float(job.inputs[0].dtype) && job.inputs[0].dtype != job.out_dtype) {
      fail("only floats are cast");
    }
    return;
  }
  if (!is_float(job.out_dtype)) fail("the output is not of a float dtype");
  if (job.inputs.size() <= static_cast<size_t>(job.base >= 0)) fail("a merge needs a model");
  for (const auto* list : {&job.inputs, &job.statistics}) {
    for (const MergeInput& input : *list) {
      if (!is_float(input.dtype)) fail("an input is not of a float dtype");
    }
  }
  if (method.statistics && job.statistics.size() != job.inputs.size()) fail("a model lacks statistics");
}

}  // namespace

std::vector<MergeBatch::Job> parse_merge_jobs(const double* numbers, size_t length,
                                              const std::vector<std::string>& names, uint64_t seed,
                                              const MergeParts& parts) {
  constexpr size_t kJobColumns = 8, kInputColumns = 6;
  std::vector<MergeBatch::Job> jobs;
  size_t at = 0;
  const auto take = [&](size_t columns) {
    if (columns > length - at) throw Error("ERR_INTERNAL_ARGUMENT", "the numbers of a tensor are cut short");
    NumberRow row(numbers + at, columns, columns, nullptr, 0);
    at += columns;
    return row;
  };
  for (const std::string& name : names) {
    auto job = std::make_shared<MergeJob>();
    NumberRow head = take(kJobColumns);
    job->name = name;
    job->seed = seed;
    job->method = static_cast<uint32_t>(below(head, merge_methods().size(), "method"));
    const MergeMethod& method = merge_methods()[job->method];
    job->output = static_cast<uint32_t>(below(head, UINT32_MAX, "output"));
    const bool last = head.whole() != 0;
    job->out_dtype = static_cast<DType>(below(head, kDTypeCount, "dtype"));
    job->count = head.whole();
    job->row = head.whole();
    job->base = optional_below(head, INT32_MAX, "base");
    const uint64_t inputs = head.whole();
    NumberRow parameters = take(method.parameters);
    for (uint32_t i = 0; i < method.parameters; i++) job->parameters.push_back(parameters.number());
    for (uint64_t i = 0; i < inputs; i++) {
      NumberRow row = take(kInputColumns + method.model_parameters);
      MergeInput input{};
      input.file = parse_file(row);
      input.position = row.whole();
      input.dtype = static_cast<DType>(below(row, kDTypeCount, "dtype"));
      input.addend = parse_part(row, parts.addends);
      const std::shared_ptr<const RowMap> map = parse_part(row, parts.row_maps);
      for (uint32_t k = 0; k < method.model_parameters; k++) input.parameters.push_back(row.number());
      if (map) {
        input.gather = parse_gather(*job, map, parts, take);
      } else {
        check_addend(*job, input.dtype, input.addend.get(), job->count);
      }
      job->inputs.push_back(std::move(input));
    }
    if (method.statistics) {
      const auto half = job->inputs.begin() + static_cast<ptrdiff_t>((inputs + 1) / 2);
      job->statistics.assign(std::make_move_iterator(half), std::make_move_iterator(job->inputs.end()));
      job->inputs.erase(half, job->inputs.end());
    }
    check(*job, method);
    jobs.push_back({std::move(job), last});
  }
  if (at != length) throw Error("ERR_INTERNAL_ARGUMENT", "there are more numbers than tensors");
  return jobs;
}

}  // namespace wisemerge
