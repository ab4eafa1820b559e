#include "core/start_threads.h"

#include <new>
#include <system_error>
#include <utility>

#include "core/status.h"

namespace wisemerge {

std::vector<std::thread> start_threads(unsigned count, const std::function<void(unsigned)>& work) {
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (unsigned i = 0; i < count; i++) {
    try {
      threads.emplace_back(work, i);
    } catch (const std::system_error& error) {
      if (threads.empty()) throw no_thread(error);
      break;
    } catch (const std::bad_alloc&) {
      if (threads.empty()) throw;
      break;
    }
  }
  return threads;
}

std::thread start_thread(std::function<void()> work) {
  try {
    return std::thread(std::move(work));
  } catch (const std::system_error& error) {
    throw no_thread(error);
  }
}

}  // namespace wisemerge
