//===- WeirDialect.h - the dialect ------------------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DIALECT_IR_WEIRDIALECT_H
#define WEIR_DIALECT_IR_WEIRDIALECT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "weir/Schedule/Schedule.h"

namespace weir::schedule {
struct Simulation;
} // namespace weir::schedule

#include "weir/Dialect/IR/WeirDialect.h.inc"
#include "weir/Dialect/IR/WeirEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "weir/Dialect/IR/WeirAttributes.h.inc"

#define GET_TYPEDEF_CLASSES
#include "weir/Dialect/IR/WeirTypes.h.inc"

#include "weir/Dialect/IR/WeirInterfaces.h.inc"

#define GET_OP_CLASSES
#include "weir/Dialect/IR/WeirOps.h.inc"

namespace weir {

/// Names of the discardable attributes that passes leave for one another; see
/// the description of the dialect.
namespace attr {
inline constexpr llvm::StringLiteral model = "weir.model";
inline constexpr llvm::StringLiteral input = "weir.input";
inline constexpr llvm::StringLiteral stopGradient = "weir.stop_gradient";
inline constexpr llvm::StringLiteral layer = "weir.layer";
inline constexpr llvm::StringLiteral stageBegin = "weir.stage_begin";
inline constexpr llvm::StringLiteral joint = "weir.joint";
inline constexpr llvm::StringLiteral op = "weir.op";
inline constexpr llvm::StringLiteral adjointOf = "weir.adjoint_of";
inline constexpr llvm::StringLiteral activationGradient =
    "weir.activation_gradient";
inline constexpr llvm::StringLiteral stage = "weir.stage";
inline constexpr llvm::StringLiteral pass = "weir.pass";
inline constexpr llvm::StringLiteral lanes = "weir.lanes";
inline constexpr llvm::StringLiteral flops = "weir.flops";
inline constexpr llvm::StringLiteral bytes = "weir.bytes";
inline constexpr llvm::StringLiteral seconds = "weir.seconds";
} // namespace attr

/// The most lanes that a reduction may have: code is made for each of them.
inline constexpr int64_t largestLanes = 1024;

/// Whether a reduction may have that many lanes: a power of two.
inline constexpr bool isNumberOfLanes(int64_t lanes) {
  return lanes >= 1 && lanes <= largestLanes && (lanes & (lanes - 1)) == 0;
}

/// The scheduling library's name for a kind of pass and back.
schedule::PassKind toSchedule(PassKind kind);
PassKind fromSchedule(schedule::PassKind kind);

/// No pipeline has more stages than this.
inline constexpr int64_t maxStages = 1 << 16;

/// Alignment in bytes of buffers and of the members of a bundle.
inline constexpr int64_t bufferAlignment = 64;

/// Whether a buffer can hold values of `type`: a tensor of integers, indices or
/// floating-point numbers, of static shape, with at least one element and at
/// most 2^48 bytes. Sums of sizes of such tensors do not overflow.
bool isBufferTensor(mlir::Type type);

/// Bytes of a dense tensor. Elements are whole bytes; `index` counts as 8 and
/// `i1` as 1. 0 for a tensor that no buffer can hold.
int64_t getTensorBytes(mlir::RankedTensorType type);

/// Bytes of a tensor or bundle, without alignment at the end.
int64_t getValueBytes(mlir::Type type);

/// Offset in bytes of each member of a bundle.
llvm::SmallVector<int64_t> getMemberOffsets(BundleType type);

/// The next multiple of bufferAlignment.
inline int64_t alignBuffer(int64_t bytes) {
  return (bytes + bufferAlignment - 1) / bufferAlignment * bufferAlignment;
}

} // namespace weir

#endif // WEIR_DIALECT_IR_WEIRDIALECT_H
