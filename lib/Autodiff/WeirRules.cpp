//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"

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

/// The derivative of a call is the body that its kernel has for it.
struct CustomRule
    : DifferentiableOpInterface::ExternalModel<CustomRule, CustomOp> {
  LogicalResult buildAdjoint(Operation *op, AdjointBuilder &b) const {
    auto custom = cast<CustomOp>(op);
    KernelOp kernel = custom.lookupKernel();
    auto refuse = [&](const Twine &message) -> LogicalResult {
      InFlightDiagnostic diag = op->emitOpError() << message;
      diag.attachNote(kernel.getLoc()) << "kernel declared here";
      return diag;
    };
    if (kernel.getDerivative().empty())
      return refuse("needs a gradient, but its kernel has no derivative; give "
                    "it one, or mark the call 'weir.stop_gradient' if no "
                    "gradient shall flow through it");
    IRMapping mapping;
    Block &body = kernel.getDerivative().front();
    unsigned argument = 0;
    for (Value value : llvm::concat<Value>(op->getOperands(), op->getResults()))
      mapping.map(body.getArgument(argument++), value);
    for (auto [index, result] : llvm::enumerate(op->getResults())) {
      Value adjoint = b.getAdjoint(result);
      if (index >= kernel.getOutputTypes().size()) {
        if (adjoint)
          return refuse("gives result " + Twine(index) +
                        " to the loss, but its kernel keeps that for the "
                        "derivative only");
        continue;
      }
      if (!isFloatLike(result.getType()))
        continue;
      mapping.map(
          body.getArgument(argument++),
          adjoint ? adjoint
                  : b.createZeros(cast<RankedTensorType>(result.getType())));
    }
    for (Operation &inner : body.without_terminator())
      b.getBuilder().clone(inner, mapping);
    unsigned gradient = 0;
    for (OpOperand &operand : op->getOpOperands())
      if (isFloatLike(operand.get().getType()))
        b.addAdjoint(operand,
                     mapping.lookupOrDefault(
                         body.getTerminator()->getOperand(gradient++)));
    return success();
  }
};
} // namespace

void weir::registerWeirRules(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, WeirDialect *) {
    CustomOp::attachInterface<CustomRule>(*context);
    ScatterAddOp::attachInterface<ScatterAddRule>(*context);
  });
}
