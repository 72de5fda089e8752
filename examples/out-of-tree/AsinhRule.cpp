// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// y = asinh(x), dy/dx = 1 / sqrt(x^2 + 1).

#include "AsinhRule.h"

#include "weir/Autodiff/DifferentiableOpInterface.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace {

/// An op on scalars, as they are in the body of linalg.generic, has this
/// interface; an op on whole tensors has DifferentiableOpInterface.
struct AsinhRule
    : weir::DifferentiableScalarOpInterface::ExternalModel<AsinhRule,
                                                           math::AsinhOp> {
  void buildScalarAdjoint(Operation *op, weir::ScalarAdjointBuilder &builder,
                          Value adjoint) const {
    Value x = cast<math::AsinhOp>(op).getOperand();
    Value one = builder.constant(x.getType(), 1.0);
    Value sum = builder.add(builder.mul(x, x), one);
    Value slope = builder.create<math::RsqrtOp>(sum);
    builder.addAdjoint(x, builder.mul(adjoint, slope));
  }
};

} // namespace

void registerAsinhRule(DialectRegistry &registry) {
  // Runs when the dialect of the op is loaded.
  registry.addExtension(+[](MLIRContext *context, math::MathDialect *) {
    math::AsinhOp::attachInterface<AsinhRule>(*context);
  });
}
