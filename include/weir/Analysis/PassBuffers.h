//===- PassBuffers.h - the buffers of a compiled pass -----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Which buffers a compiled pass gets, and in which order. The lowering of
// passes and the emission of program tables both ask here, so they agree.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_PASSBUFFERS_H
#define WEIR_ANALYSIS_PASSBUFFERS_H

#include "weir/Dialect/IR/WeirDialect.h"

namespace weir {

/// One buffer of a pass.
struct PassBuffer {
  enum class Kind {
    Operand,      ///< operand `index` of the pass; read only
    Result,       ///< result `index` of the pass; written
    Parameter,    ///< the variable; read, by an update also written
    Gradient,     ///< accumulator of use `index` of the variable; added to by
                  ///< backward_weight, read by an update
    State,        ///< optimizer state `index` of the variable; read, written
    Loss,         ///< f32 scalar, added to
    Count,        ///< f32 scalar; added to, by an update read
    LearningRate, ///< f32 scalar, read
    Step,         ///< f32 scalar, read
    Workspace,    ///< `StagePassOpInterface::getWorkspaceBytes()` bytes
  };
  Kind kind;
  int64_t index = 0;
  mlir::StringRef variable; ///< for Parameter, Gradient, State
  mlir::Type type;          ///< tensor or bundle; null for Workspace

  /// Whether `pass`, whose buffer it is, writes it.
  bool isWritten(StagePassOpInterface pass) const;
  /// Its size; `pass` is asked for the workspace.
  int64_t getBytes(StagePassOpInterface pass) const;
  /// The kind of resident that the buffer is; nothing for operands, results and
  /// workspace.
  std::optional<ResidentKind> getResidentKind() const;
};

/// The buffers of a pass in the order of the packed calling convention:
///
///   forward, backward_input, backward_weight:
///     operands, results, parameters (by first read), gradients (by first
///     accumulate; once per variable and use), loss and count (if the pass
///     reports), workspace (if its size is not 0)
///   update:
///     parameter, gradients, states, count, learning rate, step, workspace
///
/// i.e. for an update the block arguments in order; the new values are written
/// over the parameter and the states.
llvm::SmallVector<PassBuffer> getPassBuffers(StagePassOpInterface pass);

} // namespace weir

#endif // WEIR_ANALYSIS_PASSBUFFERS_H
