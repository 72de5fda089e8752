//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/ScalarAdjoint.h"
#include "weir/Autodiff/Activity.h"
#include "weir/Autodiff/DifferentiableOpInterface.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace weir;

ScalarAdjointBuilder::ScalarAdjointBuilder(Block &block, MLIRContext *context)
    : builder(context), loc(UnknownLoc::get(context)) {
  builder.setInsertionPointToEnd(&block);
  for (Operation &op : block)
    primal.push_back(&op);
}

void ScalarAdjointBuilder::findActiveValues() {
  auto isActiveValue = [&](Value value) { return isActive(value); };
  for (Operation *op : primal)
    if (llvm::any_of(op->getOperands(), isActiveValue) ||
        llvm::any_of(getCapturedValues(op), isActiveValue))
      for (Value result : op->getResults())
        if (isa<FloatType>(result.getType()))
          active.insert(result);
}

void ScalarAdjointBuilder::seed(Value value, Value adjoint) {
  loc = adjoint.getLoc();
  addAdjoint(value, adjoint);
}

LogicalResult ScalarAdjointBuilder::propagate() {
  for (Operation *op : llvm::reverse(primal)) {
    if (llvm::none_of(op->getResults(),
                      [&](Value result) { return getAdjoint(result); }))
      continue;
    auto rule = dyn_cast<DifferentiableScalarOpInterface>(op);
    // Not at the op: it is a copy whose operands mean nothing to the user.
    if (!rule || op->getNumResults() != 1)
      return emitError(op->getLoc())
             << "'" << op->getName()
             << "' op has no derivative rule; give it one in a rule file "
                "(DifferentiableScalarOpInterface), write the op around it as "
                "a 'weir.custom' op with a backward of its own, or put "
                "'weir.stop_gradient' there if no gradient shall flow";
    loc = op->getLoc();
    rule.buildScalarAdjoint(*this, getAdjoint(op->getResult(0)));
  }
  return success();
}

void ScalarAdjointBuilder::addAdjoint(Value value, Value contribution) {
  if (!isActive(value) || matchPattern(contribution, m_AnyZeroFloat()))
    return;
  Value &sum = adjoints[value];
  sum = sum ? add(sum, contribution) : contribution;
}

Value ScalarAdjointBuilder::constant(Type type, double value) {
  return arith::ConstantOp::create(builder, loc,
                                   builder.getFloatAttr(type, value));
}

Value ScalarAdjointBuilder::add(Value a, Value b) {
  return create<arith::AddFOp>(a, b);
}
Value ScalarAdjointBuilder::sub(Value a, Value b) {
  return create<arith::SubFOp>(a, b);
}
Value ScalarAdjointBuilder::mul(Value a, Value b) {
  return create<arith::MulFOp>(a, b);
}
Value ScalarAdjointBuilder::div(Value a, Value b) {
  return create<arith::DivFOp>(a, b);
}
Value ScalarAdjointBuilder::neg(Value a) { return create<arith::NegFOp>(a); }
Value ScalarAdjointBuilder::compare(arith::CmpFPredicate predicate, Value a,
                                    Value b) {
  return create<arith::CmpFOp>(predicate, a, b);
}
Value ScalarAdjointBuilder::select(Value condition, Value a, Value b) {
  return create<arith::SelectOp>(condition, a, b);
}
