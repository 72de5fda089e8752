//===- weir/Emulated.h - kernels for the emulated device ---------*- C -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `convert-gpu-to-emulated` and the emulated device agree on: the image
// that takes the place of a cubin, and how a kernel that was compiled for the
// host learns which thread it is. The emulated device is for tests: it is slow
// and is never installed.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_EMULATED_H
#define WEIR_EMULATED_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Threads of a block whose linear ids (x fastest) share all but the lowest
/// bits form a warp.
#define WEIR_EMULATED_WARP_SIZE 32

/// Shared memory starts at a multiple of this many bytes.
#define WEIR_EMULATED_SHARED_ALIGNMENT 256

/// One thread of a running kernel. Coordinates are in the order x, y, z.
typedef struct weir_emulated_thread {
  int64_t thread[3], block[3], block_size[3], grid_size[3];
  /// The block's memory: `weir_emulated_kernel.shared_bytes` bytes that the
  /// kernel lays out, and behind them, aligned, what the launch asks for.
  void *shared, *dynamic_shared;
  /// The device's own.
  void *state;
} weir_emulated_thread;

/// Runs one thread. `arguments[i]` is the i-th parameter itself, which is
/// always an address.
typedef void (*weir_emulated_function)(void *const *arguments,
                                       weir_emulated_thread *thread);

/// For `weir_emulated_kernel.flags`: the kernel calls weir_emulated_barrier or
/// weir_emulated_shuffle, so that every thread needs a stack of its own. The
/// threads of other kernels run one after the other.
#define WEIR_EMULATED_COMMUNICATES 1

/// For `weir_emulated_kernel.flags`: the kernel calls weir_emulated_access for
/// whatever it reads and writes, so that races can be checked.
#define WEIR_EMULATED_REPORTS_ACCESSES 2

typedef struct weir_emulated_kernel {
  const char *name;
  weir_emulated_function function;
  int64_t num_arguments;
  int64_t shared_bytes; /* static shared memory */
  int64_t flags;        /* WEIR_EMULATED_..., added up */
} weir_emulated_kernel;

/// "WEIREMU1", read as a little-endian integer.
#define WEIR_EMULATED_MAGIC INT64_C(0x31554d4552494557)

/// What weir_cuda_module.image points to if the arch is "emulated".
typedef struct weir_emulated_image {
  int64_t magic; /* WEIR_EMULATED_MAGIC */
  int64_t num_kernels;
  const weir_emulated_kernel *kernels;
} weir_emulated_image;

/// Waits until all threads of the block have called it from the same `site`, a
/// number that tells the barriers of a kernel apart. The launch fails if a
/// thread ends or waits elsewhere meanwhile.
void weir_emulated_barrier(weir_emulated_thread *thread, int64_t site);

/// From which lane of its segment a thread takes the value, as `gpu.shuffle`.
enum weir_emulated_shuffle_mode {
  WEIR_EMULATED_SHUFFLE_XOR = 0,
  WEIR_EMULATED_SHUFFLE_DOWN = 1,
  WEIR_EMULATED_SHUFFLE_UP = 2,
  WEIR_EMULATED_SHUFFLE_IDX = 3,
};

typedef struct weir_emulated_shuffled {
  int64_t value;
  int64_t valid; /* 1 if the other lane is within the segment, else 0 */
} weir_emulated_shuffled;

/// Exchanges `value` within segments of `width` lanes, a power of two that is
/// at most the size of a warp. All threads of the warp must call it from the
/// same `site`, or the launch fails. Where the other lane is out of the
/// segment, the result is the thread's own value; where the block ends before
/// that lane, it is -1 (NaN as f32 or f64).
weir_emulated_shuffled weir_emulated_shuffle(weir_emulated_thread *thread,
                                             int64_t site, int32_t mode,
                                             int64_t value, int32_t offset,
                                             int32_t width);

/// Says that the thread is about to read or write `bytes` bytes at `address`,
/// at the place `site` of the kernel; the bytes may be 0. Does nothing unless
/// races are checked.
void weir_emulated_access(weir_emulated_thread *thread, int64_t site,
                          const void *address, int64_t bytes, int64_t write);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_EMULATED_H */
