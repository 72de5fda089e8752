//===- weir/Custom.h - kernels of one's own ----------------------*- C -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a function must be that a model declares by `weir.kernel` and calls by
// `weir.custom`. It has the calling convention of compiled passes (weir_kernel in
// weir/Program.h):
//
//   void name(weir_context *context, void *const *buffers);
//
// `buffers` holds one address for each operand, then for each result, then for
// each result behind `keeps`, each in the order of the declaration, and at last
// the workspace, if the declaration asks for one. For example,
//
//   weir.kernel @norm (tensor<8x4xf32>, tensor<4xf32>) -> (tensor<8x4xf32>)
//       keeps (tensor<8xf32>) workspace 256
//
// is called with buffers[0], [1] for the operands, [2] for the result, [3] for
// what is kept and [4] for 256 bytes of workspace.
//
// The caller promises:
//   - Every buffer starts at a multiple of WEIR_ALIGNMENT bytes and holds a dense,
//     row-major tensor of the declared shape; an element of type i1 is a byte that
//     is 0 or 1, one of type index an int64_t.
//   - No result and no workspace overlaps another buffer. Operands may be the same
//     buffer where the model uses a value twice.
//   - `context` is valid during the call; a kernel has no use for it but to pass
//     it on.
//
// The function promises:
//   - It writes every element of every result. Results and workspace hold anything
//     before, NaN with --poison. It does not write to operands: others read them,
//     before and after.
//   - It depends on its operands alone and gives the same bits whenever it gets
//     the same operands. Then, and only then, weights do not depend on how a model
//     is cut and scheduled. So: no state between calls, no random numbers but those
//     that follow from operands, no sums in the order in which threads finish.
//   - It may be called by several threads at once: every device of a program runs
//     on a thread of its own. The call itself has one thread; a function that
//     starts more splits its work in a way that does not depend on how many it
//     gets, and ends them before it returns.
//   - It allocates nothing that lives after the call, and should allocate nothing
//     at all: the memory that a program needs is planned, and the workspace is
//     part of the plan.
//   - It returns: by no exception, no longjmp and no exit. It leaves the rounding
//     mode and the other floating-point settings of the thread as they were.
//
// Its name is its own: one that a library of the system has may be taken for that
// where the file that defines it is forgotten.
//
// Shapes and other constants come as operands: a constant tensor of the sizes, say,
// lets one function serve declarations for several shapes.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_CUSTOM_H
#define WEIR_CUSTOM_H

#include "weir/Program.h"

#ifdef __cplusplus
/// Before the definition of a kernel in C++.
#define WEIR_CUSTOM_KERNEL extern "C"
#else
#define WEIR_CUSTOM_KERNEL
#endif

#endif /* WEIR_CUSTOM_H */
