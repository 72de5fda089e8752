//===- BodyChecks.cpp - what passes may be made of ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BodyChecks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace weir;

static bool isElementType(Type type) {
  return type.isF32() || type.isF64() || type.isIndex() ||
         (type.isSignlessInteger() &&
          llvm::is_contained({1u, 8u, 16u, 32u, 64u},
                             type.getIntOrFloatBitWidth()));
}

static bool isKnownType(Type type) {
  if (isa<BundleType>(type))
    return true;
  if (isa<RankedTensorType>(type))
    return isBufferTensor(type) && isElementType(getElementTypeOrSelf(type));
  return isElementType(type);
}

/// Scalar ops, which may be on tensors too, elementwise. Those that are left
/// out have several results or an order of roundings that is not defined.
static bool isKnownScalarOp(Operation *op) {
  if (isa<math::FPowIOp, math::IPowIOp, math::SincosOp>(op))
    return false;
  return op->getNumResults() == 1 && op->getNumRegions() == 0 &&
         isa<arith::ArithDialect, math::MathDialect>(op->getDialect());
}

static bool isKnownOp(Operation *op) {
  if (isa<WeirDialect>(op->getDialect()))
    return true;
  if (isa<linalg::LinalgOp, linalg::YieldOp, linalg::IndexOp>(op))
    return true;
  if (isa<tensor::BitcastOp, tensor::CastOp, tensor::CollapseShapeOp,
          tensor::ConcatOp, tensor::EmptyOp, tensor::ExpandShapeOp,
          tensor::ExtractOp, tensor::ExtractSliceOp, tensor::FromElementsOp,
          tensor::GatherOp, tensor::GenerateOp, tensor::InsertOp,
          tensor::InsertSliceOp, tensor::PadOp, tensor::SplatOp,
          tensor::YieldOp>(op))
    return true;
  return isKnownScalarOp(op);
}

static LogicalResult checkOp(Operation *op, StringRef target) {
  if (!isKnownOp(op))
    return op->emitOpError("cannot be compiled for ") << target;
  auto isUnknown = [](Type type) { return !isKnownType(type); };
  SmallVector<Type> types(op->getOperandTypes());
  llvm::append_range(types, op->getResultTypes());
  const Type *unknown = llvm::find_if(types, isUnknown);
  if (unknown != types.end())
    return op->emitOpError("cannot be compiled for ")
           << target << ": it has a value of type " << *unknown
           << ", where kernels take f32, f64, index and integers of 1, 8, 16, "
              "32 or 64 bits, and tensors of these of static shape with at "
              "least one element and at most 2^48 bytes";
  return success();
}

LogicalResult weir::checkBody(StagePassOpInterface pass, StringRef target) {
  WalkResult result = WalkResult::advance();
  for (Operation &op : pass.getBodyBlock()) {
    result = op.walk<WalkOrder::PreOrder>(
        [&](Operation *inner) { return WalkResult(checkOp(inner, target)); });
    if (result.wasInterrupted())
      return failure();
  }
  return success();
}
