//===- Store.cpp - values that processes share ----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Store.h"
#include "DirectoryStore.h"
#include "PortStore.h"

#include <chrono>
#include <map>
#include <mutex>
#include <thread>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

using Clock = std::chrono::steady_clock;

Status Store::get(const std::string &name, double timeout,
                  const std::string &what,
                  const std::function<bool()> &isNeeded, std::string &value) {
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout);
  auto pause = std::chrono::microseconds(100);
  while (isNeeded()) {
    std::optional<std::string> found;
    if (Status status = look(name, found); status.failed())
      return status;
    if (found) {
      value = std::move(*found);
      return {};
    }
    if (Clock::now() > deadline)
      return fail("no answer within ", timeout, " s: ", what,
                  " did not come; if it is only slow, allow more with "
                  "--timeout=SECONDS");
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::microseconds(20000));
  }
  return fail(what, " is no longer needed");
}

namespace {

class LocalStore : public Store {
public:
  Status put(const std::string &name, const std::string &value) override {
    std::lock_guard lock(mutex);
    values.try_emplace(name, value);
    return {};
  }
  Status look(const std::string &name,
              std::optional<std::string> &value) override {
    std::lock_guard lock(mutex);
    if (auto found = values.find(name); found != values.end())
      value = found->second;
    return {};
  }

private:
  std::mutex mutex;
  std::map<std::string, std::string> values;
};

} // namespace

std::unique_ptr<Store> weir::runtime::cuda::makeLocalStore() {
  return std::make_unique<LocalStore>();
}

Status weir::runtime::cuda::meet(const Meeting &meeting, int64_t process,
                                 int64_t numProcesses, double timeout,
                                 std::unique_ptr<Store> &store) {
  switch (meeting.kind) {
  case Meeting::Alone:
    store = makeLocalStore();
    return {};
  case Meeting::Directory:
    return meetInDirectory(meeting.path, process, numProcesses, timeout, store);
  case Meeting::Port:
    return meetAtPort(meeting.host, meeting.port, process, numProcesses,
                      timeout, store);
  }
  return {};
}
