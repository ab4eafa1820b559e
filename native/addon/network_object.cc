#include "addon/network_object.h"

#include <utility>

#include "addon/arguments.h"
#include "addon/buffer_object.h"
#include "addon/engine_object.h"
#include "addon/errors.h"
#include "network/network_rows.h"

namespace wisemerge {
namespace {

class NetworkJob : public PromiseJob {
 public:
  NetworkJob(std::shared_ptr<network::Network> network, std::shared_ptr<HostBuffer> weights,
             std::shared_ptr<HostBuffer> arena, network::Program program, network::Points points)
      : network_(std::move(network)),
        weights_(std::move(weights)),
        arena_(std::move(arena)),
        program_(std::move(program)),
        points_(std::move(points)) {}

  void execute() override { network_->run(program_, points_, cancel_flag()); }
  Napi::Value result(Napi::Env env) override { return env.Undefined(); }

 private:
  const std::shared_ptr<network::Network> network_;
  const std::shared_ptr<HostBuffer> weights_, arena_;
  const network::Program program_;
  const network::Points points_;
};

}  // namespace

Napi::Function NetworkObject::define(Napi::Env env) {
  return DefineClass(
      env, "Network",
      {InstanceMethod("run", &NetworkObject::run), InstanceMethod("close", &NetworkObject::close)});
}

NetworkObject::NetworkObject(const Napi::CallbackInfo& info)
    : ObjectWrap(info), runtime_(Runtime::of(info.Env()).shared_from_this()) {
  guard(info.Env(), [&] {
    const std::shared_ptr<Engine>& engine = EngineObject::argument(info, 0).engine();
    weights_ = BufferObject::argument(info, 1).memory();
    const Napi::Float64Array row = doubles_argument(info, 2, "numbers");
    network::NetworkRow parsed =
        network::parse_network(row.Data(), row.ElementLength(), weights_->data(), weights_->size());
    network_ =
        std::make_shared<network::Network>(engine, std::move(parsed.parameters), parsed.threads, parsed.way);
  });
}

Napi::Value NetworkObject::run(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    if (!network_) throw Error("ERR_INTERNAL_ARGUMENT", "this network is closed");
    const auto& arena = BufferObject::argument(info, 0).memory();
    const Napi::Float64Array row = doubles_argument(info, 1, "program");
    network::Points points{whole_argument(info, 2, "candidates"), alphas_argument(info, 3)};
    network::Program program = network::parse_program(row.Data(), row.ElementLength(), points.candidates,
                                                      arena->data(), arena->size());
    return runtime_->start(info.Env(), std::make_shared<NetworkJob>(network_, weights_, arena,
                                                                    std::move(program), std::move(points)));
  });
}

Napi::Value NetworkObject::close(const Napi::CallbackInfo& info) {
  network_.reset();
  weights_.reset();
  return info.Env().Undefined();
}

}  // namespace wisemerge
