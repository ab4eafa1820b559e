// Threads that work off one queue.
#pragma once

#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace wisemerge {

// Starts `count` threads, each of which calls its copy of `body` with its number. Where the process may start
// no more of them fewer do the same work. Throws std::system_error where there is not a single one.
template <class Body>
void start_threads(std::vector<std::thread>& threads, size_t count, const Body& body) {
  threads.reserve(threads.size() + count);
  try {
    for (size_t i = 0; i < count; i++) threads.emplace_back(body, i);
  } catch (const std::system_error&) {
    if (threads.empty()) throw;
  }
}

}  // namespace wisemerge
