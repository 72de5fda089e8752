//===- Fault.h - faults on request ------------------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// WEIR_EMULATED_FAULT holds a list of faults, "kind:rank:n,...": the n-th
// occasion, counted from 1, of `kind` on `rank` fails as the real libraries
// would let it fail.
//
// The rank is that of the process, as its launcher says (WEIR_EMULATED_RANK,
// OMPI_COMM_WORLD_RANK, PMI_RANK, PMIX_RANK, SLURM_PROCID or RANK); without a
// launcher it is the number of the device that the call is for.
//
//   kind         occasion         what happens
//   memory       cudaMalloc       returns cudaErrorMemoryAllocation
//   library      loading a        returns cudaErrorNoKernelImageForDevice
//                library
//   launch       a launch of a    returns cudaErrorLaunchOutOfResources
//                kernel
//   kernel       running a        all later calls for the device return
//                kernel           cudaErrorIllegalAddress
//   late-event   recording an     happens 0.3 s later
//                event
//   hang         a transfer       never happens; the peer's neither
//   async-error  a transfer       never happens; ncclCommGetAsyncError says
//                                 ncclSystemError, and ncclRemoteError to peers
//   exit         a transfer       the process ends at once, as when killed
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EMULATED_FAULT_H
#define WEIR_RUNTIME_EMULATED_FAULT_H

#include <string_view>

namespace weir::emulated {

/// Counts an occasion of `kind` for a device; true if it is one to fail.
bool faultNow(std::string_view kind, int device);

/// Reads a list as above in place of all faults so far. False if it is no list
/// of faults.
bool setFaults(std::string_view list);

} // namespace weir::emulated

#endif // WEIR_RUNTIME_EMULATED_FAULT_H
