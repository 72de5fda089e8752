//===- ProcessesTest.cpp - a training of several processes ----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TemporaryDirectory.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace weir::runtime::testing;

extern char **environ;

namespace {

using Strings = std::vector<std::string>;

/// A process of the training program, with its output in files.
struct Process {
  pid_t id = -1;
  std::string out, err;

  int wait() {
    int status = 0;
    while (waitpid(id, &status, 0) < 0 && errno == EINTR)
      ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
};

class ProcessesTest : public ::testing::Test {
protected:
  ProcessesTest() {
    std::string text;
    for (int i = 0; i < 600; ++i)
      text += char(i * 7 % 31);
    data = directory.write("text", text);
  }

  Process start(const Strings &options, const Strings &variables) {
    Process process;
    std::string number = std::to_string(numStarted++);
    process.out = "out" + number;
    process.err = "err" + number;
    Strings words = {"/proc/self/exe", "--train-chain", "--data=" + data,
                     "--lr=0.01"};
    words.insert(words.end(), options.begin(), options.end());
    Strings environment = variables;
    environment.insert(environment.end(),
                       {"WEIR_EMULATED_DEVICES=4", "TMPDIR=" + directory.path(),
                        "PATH=/usr/bin:/bin"});
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    for (auto [descriptor, name] :
         {std::pair(1, &process.out), std::pair(2, &process.err)})
      posix_spawn_file_actions_addopen(&files, descriptor,
                                       directory.file(*name).c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_EQ(posix_spawn(&process.id, "/proc/self/exe", &files, nullptr,
                          pointers(words).data(), pointers(environment).data()),
              0);
    posix_spawn_file_actions_destroy(&files);
    return process;
  }

  /// As Open MPI's mpirun does on one machine.
  std::vector<Process> startAll(int size, const Strings &options,
                                const Strings &variables = {}) {
    std::vector<Process> processes;
    for (int rank = 0; rank < size; ++rank) {
      Strings all = {"OMPI_COMM_WORLD_RANK=" + std::to_string(rank),
                     "OMPI_COMM_WORLD_SIZE=" + std::to_string(size),
                     "OMPI_COMM_WORLD_LOCAL_RANK=" + std::to_string(rank),
                     "OMPI_COMM_WORLD_LOCAL_SIZE=" + std::to_string(size),
                     "PMIX_NAMESPACE=job" + std::to_string(numStarted - rank)};
      all.insert(all.end(), variables.begin(), variables.end());
      processes.push_back(start(options, all));
    }
    return processes;
  }

  void expectAllGood(std::vector<Process> processes) {
    for (Process &process : processes)
      EXPECT_EQ(process.wait(), 0) << directory.read(process.err);
  }
  std::string option(const std::string &name, const std::string &file) {
    return "--" + name + "=" + directory.file(file);
  }

  TemporaryDirectory directory;
  std::string data;

private:
  static std::vector<char *> pointers(Strings &words) {
    std::vector<char *> list;
    for (std::string &word : words)
      list.push_back(word.data());
    list.push_back(nullptr);
    return list;
  }

  int numStarted = 0;
};

int64_t findPort() {
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

} // namespace

// One, two and four processes leave the same parameters and gradients, whether
// they meet in a directory or at a port.
TEST_F(ProcessesTest, AnyNumberGivesTheSameFiles) {
  expectAllGood({start(
      {"--steps=9", option("save", "p"), option("save-gradients", "g")}, {})});
  ASSERT_FALSE(directory.read("p").empty());
  ASSERT_FALSE(directory.read("g").empty());
  Strings meetings = {"auto", "file:" + directory.file("meet"),
                      "tcp:localhost:" + std::to_string(findPort())};
  int number = 0;
  for (int size : {2, 4, 4}) {
    SCOPED_TRACE(meetings[number]);
    std::string suffix = std::to_string(number);
    std::vector<Process> processes =
        startAll(size, {"--steps=9", "--bootstrap=" + meetings[number],
                        option("save", "p" + suffix),
                        option("save-gradients", "g" + suffix),
                        option("metrics", "m" + suffix)});
    expectAllGood(processes);
    EXPECT_EQ(directory.read("p" + suffix), directory.read("p"));
    EXPECT_EQ(directory.read("g" + suffix), directory.read("g"));
    std::string metrics = directory.read("m" + suffix);
    EXPECT_EQ(std::count(metrics.begin(), metrics.end(), '\n'), 9);
    // The process of the loss reports.
    EXPECT_EQ(directory.read(processes[0].err), "");
    EXPECT_NE(directory.read(processes.back().out).find("trained 9 steps in"),
              std::string::npos);
    ++number;
  }
}

// A process that dies ends the others, long before the timeout.
TEST_F(ProcessesTest, OneThatDiesEndsAll) {
  auto begin = std::chrono::steady_clock::now();
  std::vector<Process> processes =
      startAll(4,
               {"--steps=1000", "--timeout=60", "--quiet",
                "--bootstrap=tcp:localhost:" + std::to_string(findPort())},
               {"WEIR_EMULATED_FAULT=exit:2:100"});
  for (int rank : {0, 1, 3}) {
    EXPECT_EQ(processes[rank].wait(), 1) << rank;
    std::string error = directory.read(processes[rank].err);
    // Whoever notices first tells the others.
    EXPECT_TRUE(error == "error: process 2 has ended\n" ||
                error.find("device 2: ") != error.npos)
        << error;
    EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 1) << error;
  }
  EXPECT_NE(processes[2].wait(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
}

// All processes say which rank waited for what.
TEST_F(ProcessesTest, AHungTransferEndsAllWithItsName) {
  std::vector<Process> processes =
      startAll(4, {"--steps=1000", "--timeout=1.5", "--quiet"},
               {"WEIR_EMULATED_FAULT=hang:1:60"});
  for (Process &process : processes) {
    EXPECT_EQ(process.wait(), 1);
    std::string error = directory.read(process.err);
    EXPECT_NE(error.find("' of step "), std::string::npos) << error;
    EXPECT_NE(error.find("no answer within 1.5 s"), std::string::npos) << error;
    EXPECT_NE(error.find(" device "), std::string::npos) << error;
  }
}

// An interrupt of one process ends all after the same step, with the results
// saved.
TEST_F(ProcessesTest, AnInterruptOfOneEndsAll) {
  std::vector<Process> processes = startAll(
      2, {"--steps=1000000", option("save", "p"), option("metrics", "m")});
  for (int i = 0; i < 400 && directory.read("m").empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_FALSE(directory.read("m").empty());
  kill(processes[0].id, SIGINT);
  EXPECT_EQ(processes[0].wait(), 130) << directory.read(processes[0].err);
  EXPECT_EQ(processes[1].wait(), 0) << directory.read(processes[1].err);
  EXPECT_FALSE(directory.read("p").empty());
}

TEST_F(ProcessesTest, SaysWhenRanksAndProcessesDoNotFit) {
  for (Process &process : startAll(3, {"--steps=1"})) {
    EXPECT_EQ(process.wait(), 1);
    EXPECT_EQ(directory.read(process.err),
              "error: the program is for 4 devices, and 3 processes of Open "
              "MPI's mpirun with 1 rank each make 3\n");
  }
}
