// What has threads of its own and must end them before the environment it belongs to.
#pragma once

namespace wisemerge {

class Stoppable {
 public:
  virtual ~Stoppable() = default;
  // Fails what is queued, waits for what is running and joins. Idempotent; called from one thread.
  virtual void shutdown() = 0;
};

}  // namespace wisemerge
