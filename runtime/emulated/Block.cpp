//===- Block.cpp - the threads of a block ---------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Block.h"

#include "Device.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <sys/mman.h>
#include <utility>

using namespace weir::emulated;

static const size_t stackBytes = 64 << 10, guardBytes = 4096;

struct Block::Fiber {
  Block *block;
  size_t index;
  char *stack = nullptr;
  std::jmp_buf context;
  bool started = false;

  enum State { Runnable, AtBarrier, AtShuffle, Ended } state = Runnable;
  /// What a waiting fiber waits for.
  int64_t site;
  int32_t mode, offset, width;
  int64_t value;
  weir_emulated_shuffled result;
};

Block::Block() : plain(std::make_unique<Fiber>()) { plain->block = this; }

Block::~Block() {
  for (auto &fiber : fibers)
    munmap(fiber->stack, guardBytes + stackBytes);
}

static void *mapStack() {
  void *stack = mmap(nullptr, guardBytes + stackBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack == MAP_FAILED)
    throw std::bad_alloc();
  // A stack that is too small ends the process instead of changing its
  // neighbour.
  mprotect(stack, guardBytes, PROT_NONE);
  return stack;
}

/// Coordinates of a linear index, x fastest.
static void unravel(int64_t index, const int64_t (&size)[3],
                    int64_t (&coordinates)[3]) {
  for (int dim = 0; dim < 3; ++dim) {
    coordinates[dim] = index % size[dim];
    index /= size[dim];
  }
}

void Block::prepare(const KernelLaunch &next, int64_t index) {
  launch = &next;
  const int64_t align = WEIR_EMULATED_SHARED_ALIGNMENT;
  int64_t staticBytes = (next.kernel->shared_bytes + align - 1) / align * align;
  // Garbage, NaN as f32: what a block finds in shared memory is undefined.
  shared.assign(staticBytes + next.sharedBytes + align, char(0xff));
  auto begin = reinterpret_cast<uintptr_t>(shared.data());
  char *aligned = shared.data() + (align - begin % align) % align;

  weir_emulated_thread thread = {};
  unravel(index, next.grid, thread.block);
  std::copy_n(next.block, 3, thread.block_size);
  std::copy_n(next.grid, 3, thread.grid_size);
  thread.shared = aligned;
  thread.dynamic_shared = aligned + staticBytes;
  thread.state = plain.get();
  accessError.clear();
  threads.assign(next.block[0] * next.block[1] * next.block[2], thread);
  for (size_t i = 0; i < threads.size(); ++i)
    unravel(int64_t(i), next.block, threads[i].thread);
}

std::string Block::run(const KernelLaunch &next, int64_t index) {
  prepare(next, index);
  if (next.kernel->flags & WEIR_EMULATED_COMMUNICATES) {
    std::string error = runFibers();
    return error.empty() ? accessError : error;
  }
  for (weir_emulated_thread &thread : threads)
    next.kernel->function(next.arguments.data(), &thread);
  return accessError;
}

//===----------------------------------------------------------------------===//
// Accesses
//===----------------------------------------------------------------------===//

void Block::access(int64_t site, const void *address, size_t bytes,
                   bool write) {
  auto *at = static_cast<const char *>(address);
  if (bytes == 0 || (at >= shared.data() && at < shared.data() + shared.size()))
    return;
  if (open.size() <= size_t(site))
    open.resize(site + 1);
  // Threads that follow each other mostly touch what follows each other.
  Access &last = open[site];
  auto *begin = static_cast<const char *>(last.address);
  if (last.bytes && at >= begin && at + bytes <= begin + last.bytes)
    return;
  if (last.bytes && at == begin + last.bytes) {
    last.bytes += bytes;
    return;
  }
  if (!deviceOf(address, bytes) && accessError.empty())
    accessError = std::string(write ? "writes " : "reads ") +
                  std::to_string(bytes) + " bytes outside of memory of devices";
  if (last.bytes)
    closed.push_back(last);
  last = {address, bytes, write};
  if (closed.size() > 1 << 16)
    mergeAccesses(closed);
}

std::vector<Access> Block::takeAccesses() {
  for (const Access &access : open)
    if (access.bytes)
      closed.push_back(access);
  open.clear();
  return std::exchange(closed, {});
}

void weir_emulated_access(weir_emulated_thread *thread, int64_t site,
                          const void *address, int64_t bytes, int64_t write) {
  if (settings().checkRaces)
    static_cast<Block::Fiber *>(thread->state)
        ->block->access(site, address, size_t(bytes), write != 0);
}

//===----------------------------------------------------------------------===//
// Fibers
//===----------------------------------------------------------------------===//

// A context of its own starts each fiber once. From then on _setjmp and
// _longjmp switch: unlike swapcontext, they make no system call.

void Block::main(unsigned low, unsigned high) {
  auto *fiber = reinterpret_cast<Fiber *>(uintptr_t(high) << 32 | low);
  while (true) {
    Block &block = *fiber->block;
    block.launch->kernel->function(block.launch->arguments.data(),
                                   &block.threads[fiber->index]);
    fiber->state = Fiber::Ended;
    suspend(*fiber);
  }
}

void Block::suspend(Fiber &fiber) {
  if (_setjmp(fiber.context) == 0)
    _longjmp(fiber.block->scheduler, 1);
}

void Block::resume(Fiber &fiber) {
  if (_setjmp(scheduler))
    return;
  if (fiber.started)
    _longjmp(fiber.context, 1);
  fiber.started = true;
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = fiber.stack + guardBytes;
  context.uc_stack.ss_size = stackBytes;
  context.uc_link = nullptr;
  auto address = reinterpret_cast<uintptr_t>(&fiber);
  makecontext(&context, reinterpret_cast<void (*)()>(main), 2,
              unsigned(address), unsigned(address >> 32));
  setcontext(&context);
}

std::string Block::runFibers() {
  while (fibers.size() < threads.size()) {
    Fiber &fiber = *fibers.emplace_back(std::make_unique<Fiber>());
    fiber.block = this;
    fiber.index = fibers.size() - 1;
    fiber.stack = static_cast<char *>(mapStack());
  }
  for (size_t i = 0; i < threads.size(); ++i) {
    // After a block that failed, some wait for ever: they begin anew.
    fibers[i]->started &= fibers[i]->state == Fiber::Ended;
    fibers[i]->state = Fiber::Runnable;
    threads[i].state = fibers[i].get();
  }

  const size_t warp = WEIR_EMULATED_WARP_SIZE;
  size_t warps = (threads.size() + warp - 1) / warp;
  for (uint64_t round = 0;; ++round) {
    // Any order is as good as another; which one depends on the seed.
    size_t first = 0;
    bool backwards = false;
    if (settings().seed) {
      uint64_t drawn = random(round, threads[0].block[0], warps);
      first = drawn % warps;
      backwards = drawn >> 63;
    }
    for (size_t i = 0; i < warps; ++i) {
      size_t at = backwards ? warps - 1 - i : i;
      size_t lane = (first + at) % warps * warp;
      size_t end = std::min(lane + warp, threads.size());
      do {
        for (size_t j = lane; j < end; ++j) {
          Fiber &fiber = *fibers[backwards ? end - 1 - (j - lane) : j];
          if (fiber.state == Fiber::Runnable)
            resume(fiber);
        }
      } while (exchange(lane));
    }
    bool ended = std::all_of(
        fibers.begin(), fibers.begin() + threads.size(),
        [](const auto &fiber) { return fiber->state == Fiber::Ended; });
    if (ended)
      return {};
    if (!passBarrier())
      return divergence();
  }
}

bool Block::passBarrier() {
  for (size_t i = 0; i < threads.size(); ++i)
    if (fibers[i]->state != Fiber::AtBarrier ||
        fibers[i]->site != fibers[0]->site)
      return false;
  for (size_t i = 0; i < threads.size(); ++i)
    fibers[i]->state = Fiber::Runnable;
  return true;
}

/// The lane of the segment that `lane` takes the value from, or -1.
static int32_t sourceLane(int32_t lane, int32_t mode, int32_t offset,
                          int32_t width) {
  int32_t source = lane;
  switch (mode) {
  case WEIR_EMULATED_SHUFFLE_XOR:
    source = lane ^ offset;
    break;
  case WEIR_EMULATED_SHUFFLE_DOWN:
    source = lane + offset;
    break;
  case WEIR_EMULATED_SHUFFLE_UP:
    source = lane - offset;
    break;
  case WEIR_EMULATED_SHUFFLE_IDX:
    source = lane / width * width + offset;
    break;
  }
  return source / width == lane / width && source >= 0 ? source : -1;
}

bool Block::exchange(size_t firstLane) {
  size_t lanes =
      std::min(threads.size() - firstLane, size_t(WEIR_EMULATED_WARP_SIZE));
  auto at = [&](size_t lane) -> Fiber & { return *fibers[firstLane + lane]; };
  for (size_t i = 0; i < lanes; ++i)
    if (at(i).state != Fiber::AtShuffle || at(i).site != at(0).site ||
        at(i).mode != at(0).mode || at(i).width != at(0).width)
      return false;
  for (size_t i = 0; i < lanes; ++i) {
    Fiber &fiber = at(i);
    int32_t source =
        sourceLane(int32_t(i), fiber.mode, fiber.offset, fiber.width);
    if (source < 0)
      fiber.result = {fiber.value, 0};
    else
      fiber.result = {size_t(source) < lanes ? at(source).value : -1, 1};
  }
  for (size_t i = 0; i < lanes; ++i)
    at(i).state = Fiber::Runnable;
  return true;
}

std::string Block::divergence() const {
  auto describe = [](const Fiber &fiber) -> std::string {
    switch (fiber.state) {
    case Fiber::AtBarrier:
      return "waits at barrier " + std::to_string(fiber.site);
    case Fiber::AtShuffle:
      return "waits at shuffle " + std::to_string(fiber.site);
    default:
      return "has ended";
    }
  };
  std::string first = describe(*fibers[0]);
  for (size_t i = 1; i < threads.size(); ++i)
    if (std::string other = describe(*fibers[i]); other != first)
      return "thread 0 " + first + " while thread " + std::to_string(i) + " " +
             other;
  return "threads of a warp shuffle in different ways";
}

void Block::barrier(Fiber &fiber, int64_t site) {
  fiber.site = site;
  fiber.state = Fiber::AtBarrier;
  suspend(fiber);
}

weir_emulated_shuffled Block::shuffle(Fiber &fiber, int64_t site, int32_t mode,
                                      int64_t value, int32_t offset,
                                      int32_t width) {
  fiber.site = site;
  fiber.mode = mode;
  fiber.value = value;
  fiber.offset = offset;
  fiber.width = width;
  fiber.state = Fiber::AtShuffle;
  suspend(fiber);
  return fiber.result;
}

void weir_emulated_barrier(weir_emulated_thread *thread, int64_t site) {
  Block::barrier(*static_cast<Block::Fiber *>(thread->state), site);
}

weir_emulated_shuffled weir_emulated_shuffle(weir_emulated_thread *thread,
                                             int64_t site, int32_t mode,
                                             int64_t value, int32_t offset,
                                             int32_t width) {
  return Block::shuffle(*static_cast<Block::Fiber *>(thread->state), site, mode,
                        value, offset, width);
}
