// The edge between the core's exceptions and JavaScript's.
#pragma once

#include <napi.h>

#include <new>
#include <stdexcept>
#include <system_error>

#include "core/status.h"

namespace wisemerge {

// An Error with a `code`, and for one about a file its `fd` and the `operation`; lib/native.ts turns it into
// a WisemergeError.
inline Napi::Error make_error(Napi::Env env, const FileError& failure) {
  Napi::Error error = Napi::Error::New(env, failure.what());
  error.Value().Set("code", Napi::String::New(env, failure.code()));
  if (failure.fd() != FileError::kNoFile) {
    error.Value().Set("fd", Napi::Number::New(env, failure.fd()));
    error.Value().Set("operation", Napi::String::New(env, failure.operation()));
  }
  return error;
}

// Runs `body`, turning the core's exceptions into JavaScript's.
template <class Body>
auto guard(Napi::Env env, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const FileError& error) {
    throw make_error(env, error);
  } catch (const Error& error) {
    throw make_error(env, error);
  } catch (const std::bad_alloc&) {
    throw make_error(env, Error("ERR_OUT_OF_MEMORY", "out of memory"));
  } catch (const std::length_error&) {
    // A container longer than any can be.
    throw make_error(env, Error("ERR_OUT_OF_MEMORY", "out of memory"));
  } catch (const std::system_error& error) {
    throw make_error(env, no_thread(error));
  }
}

// An exported function with its exceptions turned.
template <Napi::Value (*Function)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] { return Function(info); });
}

}  // namespace wisemerge
