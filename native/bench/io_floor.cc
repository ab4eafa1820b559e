// The I/O floor of a merge: the same reads and writes as wisemerge makes, with no arithmetic and no
// JavaScript. Blocks of the input files, all as long as the first, are read and a block of the output is
// written, four blocks under way at once: past the page cache (cold), by one thread whose requests the system
// carries out where it can, or reading through it (warm), by a thread for each block; space reserved, data
// synced. With --passes P the inputs are read P - 1 times before that.
//
//   io_floor IN... OUT [--block BYTES] [--slots N] [--passes P] [--warm] [--threads] [--add]
//            [--only reads|writes]
//
// With --threads, there is a thread for each block in any case. With --add, the blocks of the other inputs
// are added to the first one's as integers before it is written: the least that a merge can do with every
// byte, so that CPU seconds compare on machines of any memory.
//
// Prints one JSON object. Inputs are evicted from, or brought into, the page cache by the caller. Buffers are
// touched before the clock starts; with --only reads, OUT is not created.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/file_io.h"
#include "core/file_queue.h"

using namespace wisemerge;

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

void* ring(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  madvise(memory, bytes, MADV_HUGEPAGE);
  // Random, not zero: storage that compresses or skips zeros would look faster than it is.
  uint64_t state = 1;
  for (size_t i = 0; i < bytes / sizeof(state); i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    static_cast<uint64_t*>(memory)[i] = state;
  }
  return memory;
}

// The compiler's vectors, the widest that the processor has.
#ifdef __x86_64__
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
void add_words(uint64_t* __restrict to, const uint64_t* __restrict from, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] += from[i];
}

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Files {
  std::vector<std::unique_ptr<SharedFd>> inputs;
  std::unique_ptr<SharedFd> out;  // none: only reads
  size_t size;
  bool reads, direct, add;
};

// Takes blocks from `next` on through slots of memory, each with room for a block of every input.
void carry(const Files& files, std::unique_ptr<FileQueue> queue, std::vector<char*> slots, size_t block,
           std::atomic<size_t>& next) {
  const size_t inputs = files.inputs.size();
  struct Slot {
    size_t at, length, under_way;
    bool writing;
    std::vector<FileRequest> requests;
  };
  std::vector<Slot> all(slots.size());
  size_t busy = 0;
  const auto request = [&](size_t slot, const SharedFd& file, bool writes, bool direct, size_t input) {
    const size_t at = all[slot].at, length = all[slot].length;
    auto* const memory = reinterpret_cast<uint8_t*>(slots[slot] + input * block);
    const size_t wanted = writes ? length : std::min(length, files.size - at);
    all[slot].requests.push_back({&file, writes, direct, memory, at, length, wanted, slot});
  };
  const auto start = [&](size_t slot) {
    all[slot].under_way = all[slot].requests.size();
    for (FileRequest& one : all[slot].requests) queue->start(one);
  };
  const auto write = [&](size_t slot) {
    all[slot].writing = true;
    auto* const own = reinterpret_cast<uint64_t*>(slots[slot]);
    for (size_t i = 1; files.add && i < inputs; i++) {
      add_words(own, own + i * block / sizeof(uint64_t), all[slot].length / sizeof(uint64_t));
    }
    all[slot].requests.clear();
    if (files.out) request(slot, *files.out, true, true, 0);
    start(slot);
  };
  // Until the slot waits for something, or there are no more blocks.
  const auto advance = [&](size_t slot, bool idle) {
    while (all[slot].under_way == 0) {
      if (!idle && !all[slot].writing) {
        write(slot);
        continue;
      }
      const size_t at = next.fetch_add(block);
      if (at >= files.size) return false;
      all[slot] = {at, std::min(block, whole_pages(files.size - at)), 0, false, {}};
      for (size_t i = 0; files.reads && i < inputs; i++) {
        request(slot, *files.inputs[i], false, files.direct, i);
      }
      start(slot);
      idle = false;
    }
    return true;
  };
  for (size_t slot = 0; slot < slots.size(); slot++) busy += advance(slot, true);
  while (busy > 0) {
    FileRequest* const through = queue->next(true);
    finish(*through);
    if (--all[through->owner].under_way == 0 && !advance(through->owner, false)) busy--;
  }
}

}  // namespace

int main(int argc, char** argv) {
  size_t block = size_t{4} << 20, slots = 4;
  int passes = 1;
  bool warm = false, threads = false, add = false, reads = true, writes = true, wrong = false;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; i++) {
    const std::string flag = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--warm") {
      warm = true;
    } else if (flag == "--threads") {
      threads = true;
    } else if (flag == "--add") {
      add = true;
    } else if (flag.rfind("--", 0) != 0) {
      paths.push_back(flag);
    } else {
      i++;
      if (flag == "--block") {
        block = whole_pages(std::strtoull(value.c_str(), nullptr, 10));
      } else if (flag == "--slots") {
        slots = std::strtoull(value.c_str(), nullptr, 10);
      } else if (flag == "--passes") {
        passes = std::atoi(value.c_str());
      } else if (flag == "--only" && (value == "reads" || value == "writes")) {
        (value == "reads" ? writes : reads) = false;
      } else {
        wrong = true;
      }
    }
  }
  if (wrong || paths.size() < 2 || slots < 1 || passes < 1 || block == 0) {
    std::fprintf(stderr,
                 "usage: io_floor IN... OUT [--block BYTES] [--slots N] [--passes P] [--warm] [--threads]\n"
                 "                [--add] [--only reads|writes]\n");
    return 2;
  }
  const int mode = O_RDONLY | (warm ? 0 : O_DIRECT);
  Files files{{}, nullptr, 0, reads, !warm, add};
  bool asynchronous = !warm && !threads;
  for (size_t i = 0; i + 1 < paths.size(); i++) {
    const int input = open(paths[i].c_str(), mode);
    if (input < 0) die("open");
    files.inputs.push_back(std::make_unique<SharedFd>(input));
    asynchronous = asynchronous && FileQueue::leaves_thread_free(input);
  }
  struct stat info;
  if (fstat(files.inputs[0]->get(), &info)) die("stat");
  files.size = static_cast<size_t>(info.st_size);
  const size_t slot_bytes = files.inputs.size() * block;
  char* memory = static_cast<char*>(ring(slot_bytes * slots));
  std::vector<char*> places;
  for (size_t i = 0; i < slots; i++) places.push_back(memory + i * slot_bytes);

  const auto began = std::chrono::steady_clock::now();
  const double cpu_began = cpu_seconds();
  const int out = writes ? open(paths.back().c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0666) : -1;
  if (writes && out < 0) die("create");
  asynchronous = asynchronous && (!writes || FileQueue::leaves_thread_free(out));
  if (writes && fallocate(out, 0, 0, static_cast<off_t>(whole_pages(files.size)))) die("fallocate");
  for (int pass = 1; pass <= passes; pass++) {
    if (writes && pass == passes) files.out = std::make_unique<SharedFd>(out);
    std::atomic<size_t> next{0};
    if (std::unique_ptr<FileQueue> queue = asynchronous ? FileQueue::asynchronous() : nullptr) {
      carry(files, std::move(queue), places, block, next);
      continue;
    }
    std::vector<std::thread> lanes;
    for (char* const place : places) {
      lanes.emplace_back([&, place] { carry(files, std::make_unique<FileQueue>(), {place}, block, next); });
    }
    for (std::thread& lane : lanes) lane.join();
  }
  if (writes && (ftruncate(out, info.st_size) || fdatasync(out) || close(out))) die("finish");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf(
      "{\"seconds\":%.4f,\"cpuSeconds\":%.4f,\"bytes\":%zu,\"slots\":%zu,\"block\":%zu,\"warm\":%s,"
      "\"add\":%s}\n",
      seconds, cpu_seconds() - cpu_began, files.size, slots, block, warm ? "true" : "false",
      add ? "true" : "false");
}
