//===- Block.h - the threads of a block -------------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block runs on one thread of the host. If its threads communicate, each has
// a stack of its own, and they take turns: one runs until it comes to a barrier
// or a shuffle or to its end. When all lanes of a warp wait for the same
// shuffle, they exchange their values; when all threads wait at the same
// barrier, they go on. If nothing can go on, they wait for different things,
// and the block fails.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EMULATED_BLOCK_H
#define WEIR_RUNTIME_EMULATED_BLOCK_H

#include "Races.h"

#include <csetjmp>
#include <memory>
#include <string>
#include <ucontext.h>
#include <vector>
#include <weir/Emulated.h>

namespace weir::emulated {

struct KernelLaunch {
  const weir_emulated_kernel *kernel;
  int64_t grid[3], block[3];
  size_t sharedBytes;
  std::vector<void *> arguments;
};

/// Runs one block after the other; used by one thread of the host.
class Block {
public:
  Block();
  Block(const Block &) = delete;
  ~Block();

  /// What the blocks have read and written in memory of devices since the last
  /// call, in no order; only if races are checked.
  std::vector<Access> takeAccesses();

  /// Runs the block of the linear index `index`, x fastest. Returns what went
  /// wrong, or "".
  std::string run(const KernelLaunch &launch, int64_t index);

  // For weir_emulated_barrier, weir_emulated_shuffle and weir_emulated_access.
  struct Fiber;
  static void barrier(Fiber &fiber, int64_t site);
  static weir_emulated_shuffled shuffle(Fiber &fiber, int64_t site,
                                        int32_t mode, int64_t value,
                                        int32_t offset, int32_t width);
  void access(int64_t site, const void *address, size_t bytes, bool write);

private:
  void prepare(const KernelLaunch &launch, int64_t index);
  std::string runFibers();
  void resume(Fiber &fiber);
  static void suspend(Fiber &fiber);
  static void main(unsigned low, unsigned high);
  bool exchange(size_t firstLane);
  bool passBarrier();
  std::string divergence() const;

  const KernelLaunch *launch = nullptr;
  std::vector<weir_emulated_thread> threads;
  std::vector<char> shared;
  /// For each site of the kernel, the accesses that follow each other.
  std::vector<Access> open;
  std::vector<Access> closed;
  std::string accessError;
  /// Kept from block to block; as many as threads, or more.
  std::vector<std::unique_ptr<Fiber>> fibers;
  /// Without a stack, for kernels that do not communicate.
  std::unique_ptr<Fiber> plain;
  std::jmp_buf scheduler;
};

} // namespace weir::emulated

#endif // WEIR_RUNTIME_EMULATED_BLOCK_H
