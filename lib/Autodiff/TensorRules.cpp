//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace weir;

namespace {
template <typename Rule, typename OpT>
using OpRule = DifferentiableOpInterface::ExternalModel<Rule, OpT>;

struct ExpandShapeRule : OpRule<ExpandShapeRule, tensor::ExpandShapeOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto expand = cast<tensor::ExpandShapeOp>(op);
    b.addAdjoint(expand.getSrcMutable(),
                 tensor::CollapseShapeOp::create(
                     b.getBuilder(), b.getLoc(), expand.getSrcType(),
                     b.getAdjoint(expand.getResult()),
                     expand.getReassociationIndices()));
    return success();
  }
};

struct CollapseShapeRule : OpRule<CollapseShapeRule, tensor::CollapseShapeOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto collapse = cast<tensor::CollapseShapeOp>(op);
    b.addAdjoint(collapse.getSrcMutable(),
                 tensor::ExpandShapeOp::create(
                     b.getBuilder(), b.getLoc(), collapse.getSrcType(),
                     b.getAdjoint(collapse.getResult()),
                     collapse.getReassociationIndices()));
    return success();
  }
};

/// Whether a slice has only offsets, sizes and strides known now.
template <typename SliceOp> LogicalResult requireStatic(SliceOp op) {
  auto isDynamic = [](ArrayRef<int64_t> values) {
    return llvm::any_of(values, ShapedType::isDynamic);
  };
  if (isDynamic(op.getStaticOffsets()) || isDynamic(op.getStaticSizes()) ||
      isDynamic(op.getStaticStrides()))
    return op.emitOpError(
        "can be differentiated only if its offsets, sizes and "
        "strides are constants");
  return success();
}

struct ExtractSliceRule : OpRule<ExtractSliceRule, tensor::ExtractSliceOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto slice = cast<tensor::ExtractSliceOp>(op);
    if (failed(requireStatic(slice)))
      return failure();
    b.addSliceAdjoint(slice.getSourceMutable(), b.getAdjoint(slice.getResult()),
                      slice.getStaticOffsets(), slice.getStaticSizes(),
                      slice.getStaticStrides());
    return success();
  }
};

struct InsertSliceRule : OpRule<InsertSliceRule, tensor::InsertSliceOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto insert = cast<tensor::InsertSliceOp>(op);
    if (failed(requireStatic(insert)))
      return failure();
    Value adjoint = b.getAdjoint(insert.getResult());
    if (b.isActive(insert.getDestMutable())) {
      Value zeros = b.createZeros(insert.getSourceType());
      Value rest = tensor::InsertSliceOp::create(
          b.getBuilder(), b.getLoc(), zeros, adjoint, insert.getMixedOffsets(),
          insert.getMixedSizes(), insert.getMixedStrides());
      b.addAdjoint(insert.getDestMutable(), rest);
    }
    if (b.isActive(insert.getSourceMutable())) {
      Value slice = tensor::ExtractSliceOp::create(
          b.getBuilder(), b.getLoc(), insert.getSourceType(), adjoint,
          insert.getMixedOffsets(), insert.getMixedSizes(),
          insert.getMixedStrides());
      b.addAdjoint(insert.getSourceMutable(), slice);
    }
    return success();
  }
};

struct ConcatRule : OpRule<ConcatRule, tensor::ConcatOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto concat = cast<tensor::ConcatOp>(op);
    Value adjoint = b.getAdjoint(concat.getResult());
    SmallVector<int64_t> offsets(concat.getResultType().getRank(), 0);
    SmallVector<int64_t> strides(offsets.size(), 1);
    MLIRContext *context = op->getContext();
    for (OpOperand &operand : op->getOpOperands()) {
      auto type = cast<RankedTensorType>(operand.get().getType());
      if (b.isActive(operand))
        b.addAdjoint(operand,
                     tensor::ExtractSliceOp::create(
                         b.getBuilder(), b.getLoc(), type, adjoint,
                         getAsIndexOpFoldResult(context, offsets),
                         getAsIndexOpFoldResult(context, type.getShape()),
                         getAsIndexOpFoldResult(context, strides)));
      offsets[concat.getDim()] += type.getDimSize(concat.getDim());
    }
    return success();
  }
};

/// The indices without their last dimension of size 1. It is usually there only
/// because the op wants it, by a reshape that can be passed over.
Value dropLastDimension(AdjointBuilder &b, Value indices) {
  auto type = cast<RankedTensorType>(indices.getType());
  auto shape = type.getShape().drop_back();
  if (auto expand = indices.getDefiningOp<tensor::ExpandShapeOp>())
    if (expand.getSrcType().getShape() == shape)
      return expand.getSrc();
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0, e = shape.size(); i < e; ++i)
    groups.push_back({i});
  if (!groups.empty())
    groups.back().push_back(shape.size());
  return tensor::CollapseShapeOp::create(
      b.getBuilder(), b.getLoc(),
      RankedTensorType::get(shape, type.getElementType()), indices, groups);
}

struct GatherRule : OpRule<GatherRule, tensor::GatherOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto gather = cast<tensor::GatherOp>(op);
    RankedTensorType table = gather.getSourceType();
    RankedTensorType indices = gather.getIndicesType();
    if (table.getRank() != 2 || gather.getGatherDims() != ArrayRef<int64_t>{0})
      return op->emitOpError("can be differentiated only if it gathers rows of "
                             "a matrix: gather_dims([0])");
    SmallVector<int64_t> shape(indices.getShape().drop_back());
    shape.push_back(table.getDimSize(1));
    Value adjoint = b.getAdjoint(gather.getResult());
    if (gather.getResultType().getShape() != ArrayRef<int64_t>(shape)) {
      // The gathered dimension is kept with size 1, before the last.
      SmallVector<ReassociationIndices> groups;
      for (int64_t i = 0, e = shape.size(); i < e; ++i)
        groups.push_back({i});
      groups.back().push_back(shape.size());
      adjoint = tensor::CollapseShapeOp::create(
          b.getBuilder(), b.getLoc(),
          RankedTensorType::get(shape, table.getElementType()), adjoint,
          groups);
    }
    b.addAdjoint(
        gather.getSourceMutable(),
        ScatterAddOp::create(b.getBuilder(), b.getLoc(), table, adjoint,
                             b.createZeros(table),
                             dropLastDimension(b, gather.getIndices())));
    return success();
  }
};
} // namespace

void weir::registerTensorRules(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, tensor::TensorDialect *) {
    tensor::CollapseShapeOp::attachInterface<CollapseShapeRule>(*context);
    tensor::ConcatOp::attachInterface<ConcatRule>(*context);
    tensor::ExpandShapeOp::attachInterface<ExpandShapeRule>(*context);
    tensor::ExtractSliceOp::attachInterface<ExtractSliceRule>(*context);
    tensor::GatherOp::attachInterface<GatherRule>(*context);
    tensor::InsertSliceOp::attachInterface<InsertSliceRule>(*context);
  });
}
