//===- Store.h - values that processes share ---------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// How processes tell each other what is not worth a transfer between devices:
// the id of the communicators, failures, the end of training, parameters to be
// saved. Values are put once under a name and asked for by the others.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_STORE_H
#define WEIR_RUNTIME_CUDA_STORE_H

#include "Launch.h"
#include "weir/Runtime/Status.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace weir::runtime::cuda {

/// The names under which the first failure is put, and that a process needs the
/// others no more.
inline constexpr const char *failureName = "failure";
inline std::string leftName(int64_t process) {
  return "left." + std::to_string(process);
}

/// Any thread may use it. Names are made of letters, digits, '-' and '.'.
class Store {
public:
  virtual ~Store() = default;

  /// The first value of a name stays.
  virtual Status put(const std::string &name, const std::string &value) = 0;
  /// Looks once.
  virtual Status look(const std::string &name,
                      std::optional<std::string> &value) = 0;
  /// Looks until the value is there: at most `timeout` seconds, and while
  /// `isNeeded`. `what` is for the error: "the parameters of process 1".
  Status get(const std::string &name, double timeout, const std::string &what,
             const std::function<bool()> &isNeeded, std::string &value);
  Status get(const std::string &name, double timeout, const std::string &what,
             std::string &value) {
    return get(
        name, timeout, what, [] { return true; }, value);
  }

  /// Says that this process is done: from here on its end is no failure.
  virtual void leave() {}
};

/// Between the threads of one process.
std::unique_ptr<Store> makeLocalStore();

/// Meets the other processes: comes back when all of them are there, or fails
/// after `timeout` seconds with a line that says who is missing. `process` 0
/// keeps the values, so it must be the last to go.
Status meet(const Meeting &meeting, int64_t process, int64_t numProcesses,
            double timeout, std::unique_ptr<Store> &store);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_STORE_H
