// What is remembered of the last level of counts.
#include "merge/last_counts.h"

#include "check.h"

using namespace wisemerge;

TEST("last counts: of which range each count was") {
  LastCounts counts;
  std::vector<uint64_t> room(kTable);
  room[0] = 2;
  room[kTable - 1] = 5;
  counts.add(0, room);
  CHECK(room == std::vector<uint64_t>(kTable));
  room[7] = 1;
  counts.add(100, room);
  counts.add(150, room);
  room[0] = 3;
  counts.add(200, room);
  CHECK_EQ(counts.table[0], uint64_t{5});
  CHECK_EQ(counts.table[7], uint64_t{1});
  CHECK_EQ(counts.table[kTable - 1], uint64_t{5});
  const auto zeros = counts.of(0);
  CHECK_EQ(zeros.size(), size_t{2});
  CHECK(zeros[0].first == 0 && zeros[0].count == 2 && zeros[1].first == 200 && zeros[1].count == 3);
  const auto last = counts.of(kTable - 1);
  CHECK(last.size() == 1 && last[0].first == 0 && last[0].count == 5);
  CHECK(counts.of(8).empty());
  CHECK(counts.remembers());
}

TEST("last counts: ranges may come in any order") {
  LastCounts counts;
  std::vector<uint64_t> room(kTable);
  for (const uint64_t first : {300, 100, 200}) {
    room[5] = first / 100;
    counts.add(first, room);
  }
  CHECK_EQ(counts.size(), size_t{3});
  CHECK(counts.has(100) && counts.has(200) && counts.has(300) && !counts.has(0));
  const auto fives = counts.of(5);
  CHECK_EQ(fives.size(), size_t{3});
  for (size_t i = 0; i < fives.size(); i++) CHECK(fives[i].first == 100 * (i + 1) && fives[i].count == i + 1);
}

TEST("last counts: too many different keys are not remembered") {
  LastCounts counts;
  std::vector<uint64_t> room(kTable, 1);
  counts.add(0, room);
  CHECK(counts.remembers());
  CHECK_EQ(counts.of(9).size(), size_t{1});
  room[9] = 1;
  counts.add(10, room);
  CHECK(!counts.remembers());
  CHECK(counts.of(9).empty());
  CHECK_EQ(counts.table[9], uint64_t{2});
  CHECK_EQ(counts.table[10], uint64_t{1});
}
