//===- StoreTest.cpp - processes that meet
//-----------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Store.h"
#include "TemporaryDirectory.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace weir::runtime;
using namespace weir::runtime::testing;
using namespace weir::runtime::cuda;

/// A port that nobody listens at.
static int64_t findPort() {
  int descriptor = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(descriptor, reinterpret_cast<sockaddr *>(&address), size), 0);
  getsockname(descriptor, reinterpret_cast<sockaddr *>(&address), &size);
  close(descriptor);
  return ntohs(address.sin_port);
}

namespace {

class StoreTest : public ::testing::TestWithParam<Meeting::Kind> {
protected:
  StoreTest() {
    meeting.kind = GetParam();
    meeting.path = directory.file("meet");
    meeting.host = "localhost";
    meeting.port = findPort();
  }

  /// Runs `body` as a process of its own, which must return true.
  pid_t start(int64_t process, int64_t numProcesses,
              const std::function<bool(Store &)> &body) {
    pid_t child = fork();
    if (child != 0)
      return child;
    alarm(30);
    std::unique_ptr<Store> store;
    bool isGood = !meet(meeting, process, numProcesses, 10, store).failed() &&
                  body(*store);
    store.reset();
    _exit(isGood ? 0 : 1);
  }
  static void expectGood(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }

  TemporaryDirectory directory;
  Meeting meeting;
};

} // namespace

// Each of three processes gets what the others have put; large values too.
TEST_P(StoreTest, ProcessesShareValues) {
  const std::string large(3 << 20, 'x');
  auto body = [&](int64_t process) {
    return [&, process](Store &store) {
      std::string own = std::to_string(process);
      bool isGood = !store.put("from." + own, own + large).failed();
      // A second value changes nothing.
      isGood &= !store.put("from." + own, "no").failed();
      for (int64_t other = 0; other < 3; ++other) {
        std::string value;
        isGood &=
            !store.get("from." + std::to_string(other), 10, "a value", value)
                 .failed();
        isGood &= value == std::to_string(other) + large;
      }
      // Process 0 stays until all have seen its own.
      isGood &= !store.put("seen." + own, "").failed();
      std::string ignored;
      for (int64_t other = 1; process == 0 && other < 3; ++other)
        isGood &=
            !store.get("seen." + std::to_string(other), 10, "an end", ignored)
                 .failed();
      store.leave();
      return isGood;
    };
  };
  pid_t children[3];
  for (int64_t process : {2, 0, 1})
    children[process] = start(process, 3, body(process));
  for (pid_t child : children)
    expectGood(child);
  EXPECT_FALSE(std::filesystem::exists(meeting.path));
}

// Whoever does not come is named.
TEST_P(StoreTest, SaysWhoIsMissing) {
  std::unique_ptr<Store> store;
  EXPECT_EQ(meet(meeting, 0, 2, 0.1, store).message(),
            "process 1 of 2 did not come within 0.1 s");
  store.reset();
  std::string error = meet(meeting, 1, 2, 0.1, store).message();
  EXPECT_TRUE(error.starts_with("process 0 did not come to ")) << error;
}

TEST_P(StoreTest, WaitsOnlyAsLongAsNeeded) {
  std::unique_ptr<Store> store = makeLocalStore();
  std::string value;
  EXPECT_EQ(store->get("a", 0.05, "the value", value).message(),
            "no answer within 0.05 s: the value did not come; if it is only "
            "slow, allow more with --timeout=SECONDS");
  EXPECT_EQ(store
                ->get(
                    "a", 10, "the value", [] { return false; }, value)
                .message(),
            "the value is no longer needed");
}

INSTANTIATE_TEST_SUITE_P(Kinds, StoreTest,
                         ::testing::Values(Meeting::Directory, Meeting::Port));

// What an earlier run has left behind misleads nobody.
TEST(DirectoryStoreTest, IgnoresLeftovers) {
  TemporaryDirectory directory;
  std::filesystem::create_directories(directory.file("meet/run-old"));
  directory.write("meet/current", "run-old");
  directory.write("meet/run-old/welcome", "0123456789abcdef\n");
  directory.write("meet/run-old/value", "old");
  Meeting meeting;
  meeting.kind = Meeting::Directory;
  meeting.path = directory.file("meet");
  std::unique_ptr<Store> first, second;
  std::string error;
  std::thread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    error = meet(meeting, 0, 2, 10, first).message();
  });
  EXPECT_FALSE(meet(meeting, 1, 2, 10, second).failed());
  late.join();
  EXPECT_EQ(error, "");
  ASSERT_FALSE(first->put("value", "new").failed());
  std::string value;
  ASSERT_FALSE(second->get("value", 10, "the value", value).failed());
  EXPECT_EQ(value, "new");
}

// A process that ends without a word is a failure; one that leaves is not.
TEST(PortStoreTest, NoticesAProcessThatEnds) {
  Meeting meeting;
  meeting.kind = Meeting::Port;
  meeting.host = "localhost";
  meeting.port = findPort();
  for (bool leaves : {true, false}) {
    pid_t child = fork();
    if (child == 0) {
      std::unique_ptr<Store> store;
      bool isGood = !meet(meeting, 1, 2, 10, store).failed();
      if (leaves)
        store->leave();
      _exit(isGood ? 0 : 1);
    }
    std::unique_ptr<Store> store;
    ASSERT_FALSE(meet(meeting, 0, 2, 10, store).failed());
    std::string failure;
    Status status = store->get(failureName, leaves ? 0.2 : 10, "it", failure);
    EXPECT_EQ(status.failed(), leaves);
    EXPECT_EQ(failure, leaves ? "" : "process 1 has ended");
    int ended;
    waitpid(child, &ended, 0);
  }
}
