//===- weir/Runtime/Status.h - success or one line of error -----*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_STATUS_H
#define WEIR_RUNTIME_STATUS_H

#include <sstream>
#include <string>
#include <utility>

namespace weir::runtime {

/// Success, or a failure with one line that a user can act on (without a
/// newline, without "error:").
class [[nodiscard]] Status {
public:
  Status() = default;

  static Status failure(std::string message) {
    Status status;
    status.isFailure = true;
    status.text = std::move(message);
    return status;
  }

  bool failed() const { return isFailure; }
  const std::string &message() const { return text; }

private:
  bool isFailure = false;
  std::string text;
};

/// A failure whose line is the parts one after the other.
template <typename... Parts> Status fail(const Parts &...parts) {
  std::ostringstream line;
  (line << ... << parts);
  return Status::failure(line.str());
}

} // namespace weir::runtime

#endif // WEIR_RUNTIME_STATUS_H
