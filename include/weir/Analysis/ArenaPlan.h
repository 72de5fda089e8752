//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Where the buffers of a program lie in the arena of its device.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_ARENAPLAN_H
#define WEIR_ANALYSIS_ARENAPLAN_H

#include "weir/Analysis/ProgramLiveness.h"

namespace weir {

/// An offset in bytes for every live buffer of a program, and the bytes of all.
/// Residents lie first, one after another.
struct ArenaPlan {
  llvm::SmallVector<LiveBuffer> buffers;
  llvm::SmallVector<int64_t> offsets;
  int64_t bytes = 0;
};

/// Plans `program` from its live ranges; offsets that it has play no part. Of
/// two heuristics the tighter one is taken, so the arena may be somewhat larger
/// than the peak of what lives at once. The second is left out where so many
/// buffers live at the same time that it would take long. Scratch counts where
/// kernels have been lowered.
ArenaPlan planArena(ProgramOp program);

} // namespace weir

#endif // WEIR_ANALYSIS_ARENAPLAN_H
