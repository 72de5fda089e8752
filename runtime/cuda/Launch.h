//===- Launch.h - what the launcher says -------------------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CUDA_LAUNCH_H
#define WEIR_RUNTIME_CUDA_LAUNCH_H

#include "weir/Runtime/Status.h"

#include <cstdint>
#include <functional>
#include <string>

namespace weir::runtime::cuda {

/// Looks up an environment variable; null if it is not set.
using Environment = std::function<const char *(const char *)>;

/// One of the processes that a launcher has started.
struct Launch {
  int64_t process = 0, numProcesses = 1;
  int64_t localProcess = 0; /* of those on this machine */
  /// Whether all processes are on this machine.
  bool isLocal = true;
  /// The launcher by name, and what tells its jobs apart on a machine; empty
  /// without a launcher.
  std::string launcher, job;
  /// Where the launcher says that processes may meet; empty if it does not.
  std::string host;
  int64_t port = 0;
};

/// Reads the variables of mpirun (Open MPI; MPICH and its kin), srun and
/// torchrun; they are what these document:
///
///   Open MPI  OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE,
///             PMIX_NAMESPACE or OMPI_MCA_ess_base_jobid
///   torchrun  RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR,
///             MASTER_PORT
///   srun      SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_STEP_NUM_NODES,
///             SLURM_JOB_ID, SLURM_STEP_ID
///   MPICH     PMI_RANK, PMI_SIZE, MPI_LOCALRANKID, MPI_LOCALNRANKS
///
/// MASTER_ADDR and MASTER_PORT count with every launcher.
Status readLaunch(const Environment &environment, Launch &launch);

/// How processes meet, as --bootstrap says.
struct Meeting {
  enum Kind {
    /// There is one process.
    Alone,
    /// A directory that all of them see.
    Directory,
    /// A port of the machine of process 0.
    Port,
  } kind = Alone;
  std::string path; /* Directory */
  std::string host; /* Port */
  int64_t port = 0;
};

/// `option` is "auto", "mpi", "file:PATH" or "tcp:HOST:PORT". "auto" takes the
/// address of the launcher or, where all processes are on one machine, a
/// directory named by its job; "mpi" is the same and insists on a launcher.
Status chooseMeeting(const std::string &option, const Launch &launch,
                     const Environment &environment, Meeting &meeting);

} // namespace weir::runtime::cuda

#endif // WEIR_RUNTIME_CUDA_LAUNCH_H
