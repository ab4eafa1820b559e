// Errors inside the core: one exception type, converted once at the addon's edge.
#pragma once

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
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

// An error about an open file. Whoever opened it knows its name; here it is a descriptor.
class FileError : public Error {
 public:
  static constexpr int kNoFile = -1;

  FileError(const Error& error) : Error(error) {}  // NOLINT: an Error about no file
  FileError(std::string code, const std::string& message, int fd, const char* operation)
      : Error(std::move(code), message), fd_(fd), operation_(operation) {}

  int fd() const { return fd_; }
  const char* operation() const { return operation_; }  // completes "cannot ... FILE"

 private:
  int fd_ = kNoFile;
  const char* operation_ = "";
};

// The process may start no more threads.
inline Error no_thread(const std::system_error& error) {
  return Error("ERR_OUT_OF_MEMORY",
               "cannot start a thread: " + error.code().message() +
                   "; raise the limit on threads (ulimit -u, a container's limit on pids) or on memory");
}

// What a catch (...) caught, as an error to keep for whoever waits for the work.
inline FileError current_error() {
  try {
    throw;
  } catch (const FileError& error) {
    return error;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error("ERR_OUT_OF_MEMORY", "out of memory");
  } catch (const std::system_error& error) {
    return no_thread(error);
  } catch (const std::exception& error) {
    return Error("ERR_INTERNAL", error.what());
  }
}

}  // namespace wisemerge
