//===- Launch.cpp - what the launcher says --------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Launch.h"
#include "weir/Runtime/Options.h"

#include <string_view>
#include <unistd.h>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

namespace {

/// The variables of a launcher; null names for those that it lacks.
struct Launcher {
  const char *name;
  const char *process, *numProcesses, *localProcess;
  const char *numLocal; /* processes on this machine, ... */
  const char *numNodes; /* ... or the number of machines */
  const char *job[2];   /* together: what tells jobs apart */
};

} // namespace

// Most specific first: torchrun and mpirun may themselves be started by srun.
static constexpr Launcher launchers[] = {
    {"Open MPI's mpirun",
     "OMPI_COMM_WORLD_RANK",
     "OMPI_COMM_WORLD_SIZE",
     "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE",
     nullptr,
     {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"}},
    {"torchrun",
     "RANK",
     "WORLD_SIZE",
     "LOCAL_RANK",
     "LOCAL_WORLD_SIZE",
     nullptr,
     {"TORCHELASTIC_RUN_ID", "MASTER_PORT"}},
    {"mpirun",
     "PMI_RANK",
     "PMI_SIZE",
     "MPI_LOCALRANKID",
     "MPI_LOCALNRANKS",
     nullptr,
     {nullptr, nullptr}},
    {"srun",
     "SLURM_PROCID",
     "SLURM_NTASKS",
     "SLURM_LOCALID",
     nullptr,
     "SLURM_STEP_NUM_NODES",
     {"SLURM_JOB_ID", "SLURM_STEP_ID"}},
};

static Status readVariable(const Environment &environment, const char *name,
                           int64_t least, int64_t most, int64_t &number) {
  const char *text = environment(name);
  if (text && readNumber(std::string_view(text), least, most, number))
    return {};
  if (!text)
    return fail("the environment variable ", name, " is not set");
  return fail("the environment variable ", name, " is '", text,
              "', which is not a number from ", least, " to ", most);
}

static constexpr int64_t mostProcesses = int64_t(1) << 20;

static Status readWith(const Launcher &launcher, const Environment &environment,
                       Launch &launch) {
  launch.launcher = launcher.name;
  Status status = readVariable(environment, launcher.numProcesses, 1,
                               mostProcesses, launch.numProcesses);
  if (!status.failed())
    status = readVariable(environment, launcher.process, 0,
                          launch.numProcesses - 1, launch.process);
  launch.localProcess = launch.process;
  if (!status.failed() && environment(launcher.localProcess))
    status = readVariable(environment, launcher.localProcess, 0,
                          launch.numProcesses - 1, launch.localProcess);
  int64_t number = 0;
  if (!status.failed() && launcher.numLocal && environment(launcher.numLocal)) {
    status =
        readVariable(environment, launcher.numLocal, 1, mostProcesses, number);
    launch.isLocal = number == launch.numProcesses;
  } else if (!status.failed() && launcher.numNodes &&
             environment(launcher.numNodes)) {
    status =
        readVariable(environment, launcher.numNodes, 1, mostProcesses, number);
    launch.isLocal = number == 1;
  } else {
    launch.isLocal = launch.numProcesses == 1;
  }
  for (const char *name : launcher.job)
    if (const char *text = name ? environment(name) : nullptr)
      launch.job += (launch.job.empty() ? "" : ".") + std::string(text);
  // Processes that one launcher starts on a machine have the same parent.
  if (launch.job.empty())
    launch.job = std::to_string(getppid());
  return status;
}

Status weir::runtime::cuda::readLaunch(const Environment &environment,
                                       Launch &launch) {
  for (const Launcher &launcher : launchers) {
    if (!environment(launcher.process) || !environment(launcher.numProcesses))
      continue;
    if (Status status = readWith(launcher, environment, launch);
        status.failed())
      return status;
    break;
  }
  if (const char *host = environment("MASTER_ADDR")) {
    launch.host = host;
    if (Status status =
            readVariable(environment, "MASTER_PORT", 1, 65535, launch.port);
        status.failed())
      return status;
    // torchrun may itself listen at its port; the next one is then ours.
    const char *agent = environment("TORCHELASTIC_USE_AGENT_STORE");
    if (agent && std::string_view(agent) == "True" && launch.port < 65535)
      ++launch.port;
  }
  return {};
}

static Status readPort(std::string_view address, Meeting &meeting) {
  size_t colon = address.rfind(':');
  if (colon == address.npos || colon == 0 ||
      !readNumber(address.substr(colon + 1), int64_t(1), int64_t(65535),
                  meeting.port))
    return fail("option --bootstrap: '", address, "' is not HOST:PORT");
  meeting.kind = Meeting::Port;
  meeting.host = address.substr(0, colon);
  return {};
}

static Status meetByLauncher(const std::string &option, const Launch &launch,
                             const Environment &environment, Meeting &meeting) {
  if (option == "mpi" && launch.launcher.empty())
    return fail("option --bootstrap: 'mpi' needs a launcher such as mpirun, "
                "and its variables are not set");
  if (launch.numProcesses == 1)
    return {};
  if (!launch.host.empty()) {
    meeting.kind = Meeting::Port;
    meeting.host = launch.host;
    meeting.port = launch.port;
    return {};
  }
  if (!launch.isLocal)
    return fail("the processes of ", launch.launcher,
                " are on several machines: say where they meet, with "
                "--bootstrap=tcp:HOST:PORT (the machine of process 0), or "
                "--bootstrap=file:PATH on a shared file system");
  const char *temporary = environment("TMPDIR");
  meeting.kind = Meeting::Directory;
  meeting.path = std::string(temporary ? temporary : "/tmp") + "/weir-" +
                 std::to_string(getuid()) + "-";
  for (char c : launch.job)
    meeting.path += c == '/' ? '_' : c;
  return {};
}

Status weir::runtime::cuda::chooseMeeting(const std::string &option,
                                          const Launch &launch,
                                          const Environment &environment,
                                          Meeting &meeting) {
  meeting = {};
  std::string_view text = option;
  if (text == "auto" || text == "mpi")
    return meetByLauncher(option, launch, environment, meeting);
  if (launch.numProcesses == 1)
    return {};
  if (text.starts_with("tcp:"))
    return readPort(text.substr(4), meeting);
  if (text.starts_with("file:") && text.size() > 5) {
    meeting.kind = Meeting::Directory;
    meeting.path = text.substr(5);
    return {};
  }
  return fail("option --bootstrap: '", option,
              "' is none of auto, mpi, file:PATH and tcp:HOST:PORT");
}
