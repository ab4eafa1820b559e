// A tensor whose rows are taken from several: an embedding or output head in the rows of an output
// vocabulary. Rows of the model itself are copied to the byte; others are means of rows of any of the models,
// summed in f64 in the order given and rounded once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "merge/file_range.h"
#include "merge/merge_job.h"

namespace wisemerge {

// Where the rows come from. Tables are numbered; 0 is the model's own.
struct RowMap {
  struct Part {
    uint32_t table, row;
  };
  std::vector<int32_t> rows;       // a row of table 0, or -1 - k: the mean of mix k
  std::vector<uint32_t> mix_ends;  // where each mix ends in `parts`; one without parts is zero
  std::vector<Part> parts;
  std::vector<uint64_t> needed;  // by table, the rows that it must have at least
};

// One model's tensor, its rows in a contiguous range of a file.
struct RowTable {
  MergeFile file;
  uint64_t position;
  DType dtype;
  std::shared_ptr<const LowRank> addend;  // null: none
};

class RowGather {
 public:
  // `width`: elements of a row.
  RowGather(std::shared_ptr<const RowMap> map, std::vector<RowTable> tables, uint64_t width);

  const std::vector<RowTable>& tables() const { return tables_; }

  // Elements [first, first + count) into `out`, in loaded_dtype of table 0.
  void read(const SharedFiles& files, uint64_t first, uint64_t count, uint8_t* out,
            std::vector<uint8_t>& scratch);

 private:
  struct Range {
    const RowTable& table;
    uint64_t first, count;  // elements of the table
  };
  const uint8_t* stored(const SharedFiles& files, const Range& range, std::vector<uint8_t>& scratch) const;
  void copy(const SharedFiles& files, const Range& range, uint8_t* out, std::vector<uint8_t>& scratch) const;
  void mix(const SharedFiles& files, uint32_t index, uint64_t from, uint64_t count, uint8_t* out,
           std::vector<uint8_t>& scratch);
  std::vector<double> mean(const SharedFiles& files, const RowMap::Part* parts, size_t size, uint64_t from,
                           uint64_t count, std::vector<uint8_t>& scratch) const;

  const std::shared_ptr<const RowMap> map_;
  const std::vector<RowTable> tables_;
  const uint64_t width_;
  const DType dtype_;
  std::mutex mutex_;
  std::map<uint32_t, std::vector<double>> means_;  // of mixes of many rows, which are made once
};

}  // namespace wisemerge
