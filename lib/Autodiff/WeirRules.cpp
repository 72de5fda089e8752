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
struct ScatterAddRule
    : DifferentiableOpInterface::ExternalModel<ScatterAddRule, ScatterAddOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto scatter = cast<ScatterAddOp>(op);
    Value adjoint = b.getAdjoint(scatter.getResult());
    b.addAdjoint(scatter.getInitMutable(), adjoint);
    if (!b.isActive(scatter.getUpdatesMutable()))
      return success();

    // tensor.gather wants the coordinates in a dimension of their own.
    auto indices = cast<RankedTensorType>(scatter.getIndices().getType());
    SmallVector<int64_t> shape(indices.getShape());
    shape.push_back(1);
    SmallVector<ReassociationIndices> groups;
    for (int64_t i = 0, e = indices.getRank(); i < e; ++i)
      groups.push_back({i});
    if (!groups.empty())
      groups.back().push_back(indices.getRank());
    Value coordinates = tensor::ExpandShapeOp::create(
        b.getBuilder(), b.getLoc(),
        RankedTensorType::get(shape, indices.getElementType()),
        scatter.getIndices(), groups);
    b.addAdjoint(scatter.getUpdatesMutable(),
                 tensor::GatherOp::create(
                     b.getBuilder(), b.getLoc(), scatter.getUpdates().getType(),
                     adjoint, coordinates, ArrayRef<int64_t>{0}));
    return success();
  }
};
} // namespace

void weir::registerWeirRules(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, WeirDialect *) {
    ScatterAddOp::attachInterface<ScatterAddRule>(*context);
  });
}
