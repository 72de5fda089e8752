//===- LaunchTest.cpp - launchers and where processes meet
//-------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Launch.h"
#include "Kernels.h"
#include "ProcessGroup.h"

#include <gtest/gtest.h>
#include <map>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

namespace {

using Variables = std::map<std::string, std::string>;

Environment environmentOf(const Variables &variables) {
  return [&](const char *name) {
    auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

} // namespace

TEST(LaunchTest, NeedsNoLauncher) {
  Variables none;
  Launch launch;
  ASSERT_FALSE(readLaunch(environmentOf(none), launch).failed());
  EXPECT_EQ(launch.numProcesses, 1);
  EXPECT_EQ(launch.launcher, "");
  Meeting meeting;
  for (const char *option : {"auto", "file:/x", "tcp:a:1"})
    EXPECT_FALSE(
        chooseMeeting(option, launch, environmentOf(none), meeting).failed());
  EXPECT_EQ(meeting.kind, Meeting::Alone);
  EXPECT_EQ(
      chooseMeeting("mpi", launch, environmentOf(none), meeting).message(),
      "option --bootstrap: 'mpi' needs a launcher such as mpirun, and its "
      "variables are not set");
}

// On one machine the job names a directory, on several there must be an
// address.
TEST(LaunchTest, ReadsOpenMpi) {
  Variables variables = {
      {"OMPI_COMM_WORLD_RANK", "5"},       {"OMPI_COMM_WORLD_SIZE", "8"},
      {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "8"},
      {"PMIX_NAMESPACE", "job/17"},        {"TMPDIR", "/scratch"}};
  Launch launch;
  ASSERT_FALSE(readLaunch(environmentOf(variables), launch).failed());
  EXPECT_EQ(launch.process, 5);
  EXPECT_EQ(launch.numProcesses, 8);
  EXPECT_EQ(launch.localProcess, 1);
  EXPECT_TRUE(launch.isLocal);
  Meeting meeting;
  ASSERT_FALSE(chooseMeeting("auto", launch, environmentOf(variables), meeting)
                   .failed());
  EXPECT_EQ(meeting.kind, Meeting::Directory);
  EXPECT_TRUE(meeting.path.starts_with("/scratch/weir-")) << meeting.path;
  EXPECT_TRUE(meeting.path.ends_with("-job_17")) << meeting.path;

  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "4";
  launch = {};
  ASSERT_FALSE(readLaunch(environmentOf(variables), launch).failed());
  EXPECT_FALSE(launch.isLocal);
  std::string error =
      chooseMeeting("mpi", launch, environmentOf(variables), meeting).message();
  EXPECT_NE(error.find("are on several machines: say where they meet, with "
                       "--bootstrap=tcp:HOST:PORT"),
            std::string::npos)
      << error;
  ASSERT_FALSE(
      chooseMeeting("tcp:node1:5000", launch, environmentOf(variables), meeting)
          .failed());
  EXPECT_EQ(meeting.host, "node1");
  EXPECT_EQ(meeting.port, 5000);
}

TEST(LaunchTest, ReadsTorchrunAndItsAgent) {
  Variables variables = {{"RANK", "1"},           {"WORLD_SIZE", "4"},
                         {"LOCAL_RANK", "1"},     {"LOCAL_WORLD_SIZE", "2"},
                         {"MASTER_ADDR", "head"}, {"MASTER_PORT", "29500"}};
  Launch launch;
  Meeting meeting;
  ASSERT_FALSE(readLaunch(environmentOf(variables), launch).failed());
  ASSERT_FALSE(chooseMeeting("auto", launch, environmentOf(variables), meeting)
                   .failed());
  EXPECT_EQ(meeting.kind, Meeting::Port);
  EXPECT_EQ(meeting.host, "head");
  EXPECT_EQ(meeting.port, 29500);
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  ASSERT_FALSE(readLaunch(environmentOf(variables), launch).failed());
  EXPECT_EQ(launch.port, 29501);
}

TEST(LaunchTest, ReadsSlurm) {
  Variables variables = {{"SLURM_PROCID", "2"},         {"SLURM_NTASKS", "4"},
                         {"SLURM_LOCALID", "2"},        {"SLURM_JOB_ID", "9"},
                         {"SLURM_STEP_NUM_NODES", "1"}, {"SLURM_STEP_ID", "0"}};
  Launch launch;
  ASSERT_FALSE(readLaunch(environmentOf(variables), launch).failed());
  EXPECT_EQ(launch.launcher, "srun");
  EXPECT_EQ(launch.job, "9.0");
  EXPECT_TRUE(launch.isLocal);
}

TEST(LaunchTest, RefusesWhatMakesNoSense) {
  Variables variables = {{"RANK", "4"}, {"WORLD_SIZE", "4"}};
  Launch launch;
  EXPECT_EQ(readLaunch(environmentOf(variables), launch).message(),
            "the environment variable RANK is '4', which is not a number from "
            "0 to 3");
  variables = {{"MASTER_ADDR", "head"}};
  EXPECT_EQ(readLaunch(environmentOf(variables), launch).message(),
            "the environment variable MASTER_PORT is not set");
  launch = {};
  launch.numProcesses = 2;
  Meeting meeting;
  for (const char *address : {"tcp:host", "tcp::1", "tcp:host:0", "tcp:h:x"})
    EXPECT_TRUE(
        chooseMeeting(address, launch, environmentOf(variables), meeting)
            .failed())
        << address;
}

// Ranks are dealt to processes in order.
TEST(LaunchTest, DealsRanksToProcesses) {
  Launch launch;
  Placement placement;
  ASSERT_FALSE(place(4, launch, 0, placement).failed());
  EXPECT_EQ(placement.ranksPerProcess, 4);
  launch.numProcesses = 2;
  launch.process = 1;
  ASSERT_FALSE(place(4, launch, 0, placement).failed());
  EXPECT_EQ(placement.ranksPerProcess, 2);
  EXPECT_FALSE(placement.isHere(1));
  EXPECT_TRUE(placement.isHere(2));
  launch.launcher = "srun";
  EXPECT_EQ(place(4, launch, 1, placement).message(),
            "the program is for 4 devices, and 2 processes of srun with 1 rank "
            "each make 2");
  launch.numProcesses = 8;
  EXPECT_TRUE(place(4, launch, 0, placement).failed());
}

// Code for an architecture with a letter runs on that alone.
TEST(LaunchTest, ComparesArchitectures) {
  EXPECT_FALSE(checkArch("sm_80", 8, 0, "device 0").failed());
  EXPECT_FALSE(checkArch("sm_80", 8, 9, "device 0").failed());
  EXPECT_FALSE(checkArch("sm_90a", 9, 0, "device 0").failed());
  EXPECT_FALSE(checkArch("sm_120", 12, 0, "device 0").failed());
  EXPECT_FALSE(checkArch("emulated", 0, 0, "device 0").failed());
  EXPECT_TRUE(checkArch("sm_86", 8, 0, "device 0").failed());
  EXPECT_TRUE(checkArch("sm_100a", 10, 3, "device 0").failed());
  EXPECT_EQ(checkArch("sm_90a", 8, 0, "device 0 (NVIDIA A100)").message(),
            "this program was compiled for sm_90a, and device 0 (NVIDIA A100) "
            "is an sm_80; compile with --arch=sm_80");
}
