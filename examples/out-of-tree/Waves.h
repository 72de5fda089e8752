// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A schedule: gpipe in waves of a few microbatches.

#ifndef WAVES_H
#define WAVES_H

/// Makes the schedule "waves" known, or "waves:size=N". Ends the process with a
/// message if the name is taken.
void registerWaves();

#endif // WAVES_H
