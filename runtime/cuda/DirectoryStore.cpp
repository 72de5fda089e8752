//===- DirectoryStore.cpp - processes that meet in a directory ------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DirectoryStore.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

static std::string drawNumber() {
  std::random_device device;
  char text[17];
  std::snprintf(text, sizeof(text), "%08x%08x", device(), device());
  return text;
}

/// Reads a file that others give its name once it is whole.
static std::optional<std::string> readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return std::nullopt;
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad())
    return std::nullopt;
  return text;
}

/// Gives a file its name once it is whole. `replace`: else the first one stays.
static Status writeFile(const std::string &path, const std::string &text,
                        bool replace) {
  std::string temporary = path + ".new-" + drawNumber();
  {
    std::ofstream file(temporary, std::ios::binary);
    file << text;
    file.close();
    if (!file)
      return fail("cannot write '", temporary, "': ", std::strerror(errno));
  }
  if (replace) {
    if (std::rename(temporary.c_str(), path.c_str()) == 0)
      return {};
    int error = errno;
    unlink(temporary.c_str());
    return fail("cannot write '", path, "': ", std::strerror(error));
  }
  bool isThere = link(temporary.c_str(), path.c_str()) == 0 || errno == EEXIST;
  int error = errno;
  unlink(temporary.c_str());
  if (!isThere)
    return fail("cannot write '", path, "': ", std::strerror(error));
  return {};
}

namespace {

class DirectoryStore : public Store {
public:
  DirectoryStore(std::string path, std::string run, bool isOwner)
      : path(std::move(path)), run(std::move(run)), isOwner(isOwner) {}

  ~DirectoryStore() override {
    if (!isOwner)
      return;
    std::error_code ignored;
    fs::remove_all(path + "/" + run, ignored);
    if (readFile(path + "/current") == run)
      fs::remove(path + "/current", ignored);
    // Not if there is anything of others in it.
    fs::remove(path, ignored);
  }

  Status put(const std::string &name, const std::string &value) override {
    return writeFile(path + "/" + run + "/" + name, value, false);
  }

  Status look(const std::string &name,
              std::optional<std::string> &value) override {
    value = readFile(path + "/" + run + "/" + name);
    std::error_code ignored;
    if (!value && !isOwner && !fs::exists(path + "/" + run, ignored))
      return fail("process 0 has ended");
    return {};
  }

private:
  const std::string path, run;
  const bool isOwner;
};

} // namespace

static Status welcomeAll(Store &store, int64_t numProcesses, double timeout) {
  std::string numbers;
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout);
  for (int64_t p = 1; p < numProcesses; ++p) {
    double left =
        std::chrono::duration<double>(deadline - Clock::now()).count();
    std::string number;
    if (Status status =
            store.get("hello." + std::to_string(p), std::max(left, 0.0),
                      "process " + std::to_string(p), number);
        status.failed())
      return fail("process ", p, " of ", numProcesses, " did not come within ",
                  timeout, " s");
    numbers += number + "\n";
  }
  return store.put("welcome", numbers);
}

static Status findRun(const std::string &path, int64_t process, double timeout,
                      std::string &run) {
  const std::string number = drawNumber();
  std::string tried;
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout);
  while (Clock::now() < deadline) {
    std::string current = readFile(path + "/current").value_or("");
    if (!current.empty()) {
      DirectoryStore store(path, current, /*isOwner=*/false);
      // Leftovers may be removed at any moment; then there will be another.
      if (current != tried)
        (void)store.put("hello." + std::to_string(process), number);
      tried = current;
      std::optional<std::string> welcome;
      (void)store.look("welcome", welcome);
      if (welcome && welcome->find(number) != welcome->npos) {
        run = current;
        return {};
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return fail("process 0 did not come to '", path, "' within ", timeout, " s");
}

Status weir::runtime::cuda::meetInDirectory(const std::string &path,
                                            int64_t process,
                                            int64_t numProcesses,
                                            double timeout,
                                            std::unique_ptr<Store> &store) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error)
    return fail("cannot make the directory '", path,
                "' for processes to meet: ", error.message());
  std::string run;
  if (process != 0) {
    if (Status status = findRun(path, process, timeout, run); status.failed())
      return status;
    store = std::make_unique<DirectoryStore>(path, run, /*isOwner=*/false);
    return {};
  }
  run = "run-" + drawNumber();
  fs::create_directory(path + "/" + run, error);
  if (error)
    return fail("cannot write in '", path, "': ", error.message());
  store = std::make_unique<DirectoryStore>(path, run, /*isOwner=*/true);
  if (Status status = writeFile(path + "/current", run, /*replace=*/true);
      status.failed())
    return status;
  return welcomeAll(*store, numProcesses, timeout);
}
