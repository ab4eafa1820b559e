// What a body throws.
#pragma once

#include <string>

#include "core/status.h"

namespace wisemerge::test {

// Code of the Error that `body` throws; "none" where it throws nothing.
template <class Body>
std::string code_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return "none";
}

}  // namespace wisemerge::test
