// An engine between threads, on a device of the test's own that watches how it is called.
#include "core/engine.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "core/host_buffer.h"
#include "core/status.h"
#include "error_code.h"

using namespace wisemerge;
using wisemerge::test::code_of;

namespace {

std::atomic<int> inside{0}, most_inside{0}, opened{0}, closed{0};

WmCode open_counted(const WmOpenOptions*, WmContext** context, WmError*) {
  opened++;
  *context = reinterpret_cast<WmContext*>(&opened);  // anything but null
  return WM_OK;
}
void close_counted(WmContext*) { closed++; }
WmCode lerp_slowly(WmContext*, const WmLerp*, uint32_t, WmCancelFlag, WmError*) {
  const int now = ++inside;
  if (now > most_inside) most_inside = now;
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  inside--;
  return WM_OK;
}

WmCode pinning = WM_OK;
size_t pinned = 0;
WmCode pin_or_not(WmContext*, void*, size_t, WmError*) {
  pinned += pinning == WM_OK;
  return pinning;
}
void unpin_counted(WmContext*, void*) { pinned--; }

const WmBackend& watched() {
  static const WmBackend backend = [] {
    WmBackend made{};
    made.open = open_counted;
    made.close = close_counted;
    made.lerp = lerp_slowly;
    made.pin = pin_or_not;
    made.unpin = unpin_counted;
    return made;
  }();
  opened = closed = most_inside = 0;
  return backend;
}

}  // namespace

TEST("engine: calls from several threads take turns in one context") {
  Engine engine(&watched(), {});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      for (int k = 0; k < 5; k++) engine.lerp({}, nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(most_inside.load(), 1);
  CHECK_EQ(opened.load(), 1);
}

TEST("engine: closing waits until the last user has ended") {
  const auto engine = std::make_shared<Engine>(&watched(), EngineOptions{});
  std::optional<Engine::Use> first(engine), second(engine);
  engine->close();
  CHECK_EQ(code_of([&] { Engine::Use third(engine); }), std::string("ERR_ENGINE_CLOSED"));
  first.reset();
  engine->lerp({}, nullptr);
  CHECK_EQ(closed.load(), 0);
  second.reset();
  CHECK_EQ(closed.load(), 1);
  CHECK_EQ(code_of([&] { engine->lerp({}, nullptr); }), std::string("ERR_ENGINE_CLOSED"));
}

TEST("engine: memory that cannot be pinned is used as it is") {
  Engine engine(&watched(), {});
  const auto buffer = HostBuffer::allocate(4096);
  for (const WmCode code : {WM_OUT_OF_MEMORY, WM_DEVICE_ERROR}) {
    pinning = code;
    engine.pin(buffer);
    CHECK_EQ(pinned, size_t{0});
    engine.unpin(buffer.get());  // nothing to take back
    CHECK_EQ(pinned, size_t{0});
  }
  pinning = WM_INVALID_ARGUMENT;
  CHECK_EQ(code_of([&] { engine.pin(buffer); }), std::string("ERR_INTERNAL_ARGUMENT"));
  pinning = WM_OK;
  engine.pin(buffer);
  CHECK_EQ(pinned, size_t{1});
  engine.close();
  CHECK_EQ(pinned, size_t{0});
}
