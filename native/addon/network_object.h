// Network as a JavaScript object: starts evaluations on the executor.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/runtime.h"
#include "core/host_buffer.h"
#include "network/network.h"

namespace wisemerge {

// The numbers are those of network/network_rows.h.
class NetworkObject : public Napi::ObjectWrap<NetworkObject> {
 public:
  static Napi::Function define(Napi::Env env);

  // new Network(engine, weights, numbers)
  explicit NetworkObject(const Napi::CallbackInfo& info);

 private:
  // (buffer, program, candidates, alphas) -> { promise of undefined, cancel() }; alphas are
  // [candidate][parameter].
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::shared_ptr<Runtime> runtime_;
  std::shared_ptr<HostBuffer> weights_;
  std::shared_ptr<network::Network> network_;  // null once closed; queued jobs keep theirs
};

}  // namespace wisemerge
