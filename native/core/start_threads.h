// Threads that a stream keeps for its life.
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace wisemerge {

// Threads that share their work, work(0) to work(count - 1). Fewer where the process may have no more: those
// take on what is there. Throws Error ERR_OUT_OF_MEMORY where it may have none.
std::vector<std::thread> start_threads(unsigned count, const std::function<void(unsigned)>& work);

// A thread that must be. Throws Error ERR_OUT_OF_MEMORY.
std::thread start_thread(std::function<void()> work);

}  // namespace wisemerge
