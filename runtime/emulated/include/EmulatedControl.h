//===- EmulatedControl.h - what tests tell the emulated device ---*- C -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The emulated device reads these variables of the environment at its first
// call:
//
//   WEIR_EMULATED_DEVICES  how many devices there are, 4 by default
//   WEIR_EMULATED_MEMORY   bytes of memory of each, 1 GiB by default
//   WEIR_EMULATED_SEED     other than 0: operations of streams start late by up
//                          to 0.2 ms, and the warps of a block run in an order
//                          that both depend on the seed; 0 by default
//   WEIR_EMULATED_WORKERS  threads that share the blocks of a kernel, 2 by
//                          default
//   WEIR_EMULATED_CHECK    "races" ends the device with an error at the first
//                          two operations that touch the same memory, one of
//                          them writing, in no order
//   WEIR_EMULATED_FAULT    faults, see Fault.h
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_EMULATED_CONTROL_H
#define WEIR_EMULATED_CONTROL_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Replaces the faults so far by those of `list`, and counts their occasions
/// from now on. Returns 0 if it is no list of faults.
int weir_emulated_set_faults(const char *list);

/// Lets `stream` start no operation until it is let go: what is enqueued
/// meanwhile shows whether the rest of the program waits for it.
void weir_emulated_hold(cudaStream_t stream);
void weir_emulated_let_go(cudaStream_t stream);

/// What went wrong inside the device, for people: the first error of a kernel
/// and the like, or "" if nothing did.
const char *weir_emulated_message(int device);

/// Forgets the error that all calls for a device return after a failure on it.
void weir_emulated_reset_device(int device);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_EMULATED_CONTROL_H */
