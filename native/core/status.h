// Errors inside the core: one exception type, converted once at the addon's edge.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace wisemerge {

// `code` is the public string of lib/errors.ts ("ERR_..."); the message names what is at fault and the fix.
class Error : public std::runtime_error {
 public:
  Error(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

 private:
  std::string code_;
};

}  // namespace wisemerge
