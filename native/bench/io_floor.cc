// The I/O floor of a merge: the same reads and writes as wisemerge makes, with no arithmetic and no
// JavaScript. Blocks of the input files, all as long as the first, are read and a block of the output is
// written, by threads that each do one after another, past the page cache (cold) or reading through it
// (warm); space reserved, data synced. Four threads keep as many requests in flight as Node's file threads
// do. With --passes P the inputs are read P - 1 times before that.
//
//   io_floor IN... OUT [--block BYTES] [--threads N] [--passes P] [--warm] [--add] [--only reads|writes]
//
// With --add, the blocks of the other inputs are added to the first one's as integers before it is written:
// the least that a merge can do with every byte, so that CPU seconds compare on machines of any memory.
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
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t kAlign = 4096;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

size_t round_up(size_t value) { return (value + kAlign - 1) / kAlign * kAlign; }

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

void read_block(int fd, char* into, size_t length, off_t at, size_t size) {
  const size_t wanted = std::min(length, size - static_cast<size_t>(at));
  for (size_t done = 0; done < wanted;) {
    const ssize_t got = pread(fd, into + done, length - done, at + static_cast<off_t>(done));
    if (got <= 0) die("read");
    done += static_cast<size_t>(got);
  }
}

// The compiler's vectors, the widest that the processor has.
#ifdef __x86_64__
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
void add_words(uint64_t* __restrict to, const uint64_t* __restrict from, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] += from[i];
}

void write_block(int fd, const char* from, size_t length, off_t at) {
  for (size_t done = 0; done < length;) {
    const ssize_t put = pwrite(fd, from + done, length - done, at + static_cast<off_t>(done));
    if (put <= 0) die("write");
    done += static_cast<size_t>(put);
  }
}

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](timeval t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  size_t block = size_t{4} << 20;
  int threads = 4, passes = 1;
  bool warm = false, add = false, reads = true, writes = true;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; i++) {
    const std::string flag = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--warm") {
      warm = true;
    } else if (flag == "--add") {
      add = true;
    } else if (flag.rfind("--", 0) != 0) {
      paths.push_back(flag);
    } else {
      i++;
      if (flag == "--block") {
        block = round_up(std::strtoull(value.c_str(), nullptr, 10));
      } else if (flag == "--threads") {
        threads = std::atoi(value.c_str());
      } else if (flag == "--passes") {
        passes = std::atoi(value.c_str());
      } else if (flag == "--only" && (value == "reads" || value == "writes")) {
        (value == "reads" ? writes : reads) = false;
      } else {
        threads = 0;
      }
    }
  }
  if (paths.size() < 2 || threads < 1 || passes < 1 || block == 0) {
    std::fprintf(stderr,
                 "usage: io_floor IN... OUT [--block BYTES] [--threads N] [--passes P] [--warm]\n"
                 "                [--add] [--only reads|writes]\n");
    return 2;
  }
  const int mode = O_RDONLY | (warm ? 0 : O_DIRECT);
  std::vector<int> inputs;
  for (size_t i = 0; i + 1 < paths.size(); i++) {
    inputs.push_back(open(paths[i].c_str(), mode));
    if (inputs.back() < 0) die("open");
  }
  struct stat info;
  if (fstat(inputs[0], &info)) die("stat");
  const size_t size = static_cast<size_t>(info.st_size);
  char* memory = static_cast<char*>(ring(inputs.size() * block * static_cast<size_t>(threads)));

  const auto began = std::chrono::steady_clock::now();
  const double cpu_began = cpu_seconds();
  const int out = writes ? open(paths.back().c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0666) : -1;
  if (writes && out < 0) die("create");
  if (writes && fallocate(out, 0, 0, static_cast<off_t>(round_up(size)))) die("fallocate");
  for (int pass = 1; pass <= passes; pass++) {
    const bool writing = writes && pass == passes;
    std::atomic<size_t> next{0};
    std::vector<std::thread> lanes;
    for (int t = 0; t < threads; t++) {
      lanes.emplace_back([&, t] {
        char* const own = memory + inputs.size() * block * static_cast<size_t>(t);
        for (size_t at; (at = next.fetch_add(block)) < size;) {
          const size_t length = std::min(block, round_up(size - at));
          for (size_t i = 0; reads && i < inputs.size(); i++) {
            read_block(inputs[i], own + i * block, length, static_cast<off_t>(at), size);
          }
          for (size_t i = 1; add && i < inputs.size(); i++) {
            add_words(reinterpret_cast<uint64_t*>(own), reinterpret_cast<uint64_t*>(own + i * block),
                      length / sizeof(uint64_t));
          }
          if (writing) write_block(out, own, length, static_cast<off_t>(at));
        }
      });
    }
    for (std::thread& lane : lanes) lane.join();
  }
  if (writes && (ftruncate(out, static_cast<off_t>(size)) || fdatasync(out) || close(out))) die("finish");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf(
      "{\"seconds\":%.4f,\"cpuSeconds\":%.4f,\"bytes\":%zu,\"threads\":%d,\"block\":%zu,\"warm\":%s,"
      "\"add\":%s}\n",
      seconds, cpu_seconds() - cpu_began, size, threads, block, warm ? "true" : "false",
      add ? "true" : "false");
}
