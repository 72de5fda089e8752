//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Rules for scalar arith and math ops. Where a formula can use the result or
// the operands it uses the result, which often lives on anyway.
//
//===----------------------------------------------------------------------===//

#include "weir/Autodiff/DifferentiableOpInterface.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

#include <numbers>

using namespace mlir;
using namespace weir;

namespace {
/// A rule given as a lambda: (op, adjoint of the result, builder).
template <typename OpT, typename Rule>
struct ScalarRule
    : DifferentiableScalarOpInterface::ExternalModel<ScalarRule<OpT, Rule>,
                                                     OpT> {
  void buildScalarAdjoint(Operation *op, ScalarAdjointBuilder &builder,
                          Value adjoint) const {
    Rule()(cast<OpT>(op), adjoint, builder);
  }
};
} // namespace

template <typename OpT, typename Rule>
static void attach(MLIRContext *context, Rule) {
  OpT::template attachInterface<ScalarRule<OpT, Rule>>(*context);
}

/// The larger (or smaller) of two values hands its gradient to the operand it
/// equals. On a tie the right one gets it; beside an operand without gradient a
/// tie gives none, so that the derivative of max(x, 0) at 0 is 0, and only the
/// result has to be kept.
template <typename OpT> static void attachExtremum(MLIRContext *context) {
  attach<OpT>(context, [](OpT op, Value d, ScalarAdjointBuilder &b) {
    constexpr bool isMax = std::is_same_v<OpT, arith::MaximumFOp> ||
                           std::is_same_v<OpT, arith::MaxNumFOp>;
    auto beats = isMax ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT;
    Value zero = b.constant(d.getType(), 0.0);
    Value lhs = op.getLhs(), rhs = op.getRhs();
    if (b.isActive(lhs) && b.isActive(rhs)) {
      Value left = b.compare(beats, lhs, rhs);
      b.addAdjoint(lhs, b.select(left, d, zero));
      b.addAdjoint(rhs, b.select(left, zero, d));
      return;
    }
    Value operand = b.isActive(lhs) ? lhs : rhs;
    Value other = b.isActive(lhs) ? rhs : lhs;
    Value wins = b.compare(beats, op.getResult(), other);
    b.addAdjoint(operand, b.select(wins, d, zero));
  });
}

static void attachArithRules(MLIRContext *context) {
  attach<arith::AddFOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getLhs(), d);
    b.addAdjoint(op.getRhs(), d);
  });
  attach<arith::SubFOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getLhs(), d);
    if (b.isActive(op.getRhs()))
      b.addAdjoint(op.getRhs(), b.neg(d));
  });
  attach<arith::MulFOp>(context, [](auto op, Value d, auto &b) {
    if (b.isActive(op.getLhs()))
      b.addAdjoint(op.getLhs(), b.mul(d, op.getRhs()));
    if (b.isActive(op.getRhs()))
      b.addAdjoint(op.getRhs(), b.mul(d, op.getLhs()));
  });
  attach<arith::DivFOp>(context, [](auto op, Value d, auto &b) {
    Value quotient = b.div(d, op.getRhs());
    b.addAdjoint(op.getLhs(), quotient);
    if (b.isActive(op.getRhs()))
      b.addAdjoint(op.getRhs(), b.neg(b.mul(quotient, op.getResult())));
  });
  // a - b * trunc(a / b)
  attach<arith::RemFOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getLhs(), d);
    if (b.isActive(op.getRhs())) {
      Value whole =
          b.template create<math::TruncOp>(b.div(op.getLhs(), op.getRhs()));
      b.addAdjoint(op.getRhs(), b.neg(b.mul(d, whole)));
    }
  });
  attach<arith::NegFOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getOperand(), b.neg(d));
  });
  attachExtremum<arith::MaximumFOp>(context);
  attachExtremum<arith::MaxNumFOp>(context);
  attachExtremum<arith::MinimumFOp>(context);
  attachExtremum<arith::MinNumFOp>(context);
  attach<arith::SelectOp>(context, [](auto op, Value d, auto &b) {
    Value zero = b.constant(d.getType(), 0.0);
    if (b.isActive(op.getTrueValue()))
      b.addAdjoint(op.getTrueValue(), b.select(op.getCondition(), d, zero));
    if (b.isActive(op.getFalseValue()))
      b.addAdjoint(op.getFalseValue(), b.select(op.getCondition(), zero, d));
  });
  attach<arith::ExtFOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getIn(),
                 b.template create<arith::TruncFOp>(op.getIn().getType(), d));
  });
  attach<arith::TruncFOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getIn(),
                 b.template create<arith::ExtFOp>(op.getIn().getType(), d));
  });
}

/// d times the constant `factor`.
static Value scaled(ScalarAdjointBuilder &b, Value d, double factor) {
  return b.mul(d, b.constant(d.getType(), factor));
}

static void attachMathRules(MLIRContext *context) {
  attach<math::ExpOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getOperand(), b.mul(d, op.getResult()));
  });
  attach<math::Exp2Op>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getOperand(),
                 b.mul(scaled(b, d, std::numbers::ln2), op.getResult()));
  });
  attach<math::ExpM1Op>(context, [](auto op, Value d, auto &b) {
    Value one = b.constant(d.getType(), 1.0);
    b.addAdjoint(op.getOperand(), b.mul(d, b.add(op.getResult(), one)));
  });
  attach<math::LogOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getOperand(), b.div(d, op.getOperand()));
  });
  attach<math::Log2Op>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getOperand(),
                 b.div(scaled(b, d, std::numbers::log2e), op.getOperand()));
  });
  attach<math::Log1pOp>(context, [](auto op, Value d, auto &b) {
    Value one = b.constant(d.getType(), 1.0);
    b.addAdjoint(op.getOperand(), b.div(d, b.add(op.getOperand(), one)));
  });
  attach<math::TanhOp>(context, [](auto op, Value d, auto &b) {
    Value one = b.constant(d.getType(), 1.0);
    Value square = b.mul(op.getResult(), op.getResult());
    b.addAdjoint(op.getOperand(), b.mul(d, b.sub(one, square)));
  });
  attach<math::ErfOp>(context, [](auto op, Value d, auto &b) {
    Value square = b.mul(op.getOperand(), op.getOperand());
    Value bell = b.template create<math::ExpOp>(b.neg(square));
    b.addAdjoint(op.getOperand(),
                 b.mul(scaled(b, d, 2.0 * std::numbers::inv_sqrtpi), bell));
  });
  attach<math::SqrtOp>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getOperand(), b.div(scaled(b, d, 0.5), op.getResult()));
  });
  attach<math::RsqrtOp>(context, [](auto op, Value d, auto &b) {
    Value square = b.mul(op.getResult(), op.getResult());
    Value cube = b.mul(square, op.getResult());
    b.addAdjoint(op.getOperand(), b.mul(scaled(b, d, -0.5), cube));
  });
  // The derivative at 0 is 0.
  attach<math::AbsFOp>(context, [](auto op, Value d, auto &b) {
    Value x = op.getOperand(), zero = b.constant(d.getType(), 0.0);
    Value above = b.compare(arith::CmpFPredicate::OGT, x, zero);
    Value below = b.compare(arith::CmpFPredicate::OLT, x, zero);
    b.addAdjoint(x, b.select(above, d, b.select(below, b.neg(d), zero)));
  });
  attach<math::PowFOp>(context, [](auto op, Value d, auto &b) {
    Value x = op.getLhs(), p = op.getRhs();
    if (b.isActive(x)) {
      // For a known exponent the constants are folded, and x^(2-1) is x.
      Value less = b.sub(p, b.constant(d.getType(), 1.0));
      Value power = matchPattern(less, m_OneFloat())
                        ? x
                        : b.template create<math::PowFOp>(x, less);
      b.addAdjoint(x, b.mul(b.mul(d, p), power));
    }
    if (b.isActive(p))
      b.addAdjoint(p, b.mul(b.mul(d, op.getResult()),
                            b.template create<math::LogOp>(x)));
  });
  attach<math::SinOp>(context, [](auto op, Value d, auto &b) {
    Value x = op.getOperand();
    b.addAdjoint(x, b.mul(d, b.template create<math::CosOp>(x)));
  });
  attach<math::CosOp>(context, [](auto op, Value d, auto &b) {
    Value x = op.getOperand();
    b.addAdjoint(x, b.neg(b.mul(d, b.template create<math::SinOp>(x))));
  });
  attach<math::FmaOp>(context, [](auto op, Value d, auto &b) {
    if (b.isActive(op.getA()))
      b.addAdjoint(op.getA(), b.mul(d, op.getB()));
    if (b.isActive(op.getB()))
      b.addAdjoint(op.getB(), b.mul(d, op.getA()));
    b.addAdjoint(op.getC(), d);
  });
  // Steps are flat.
  auto flat = [](auto op, Value d, auto &b) {};
  attach<math::FloorOp>(context, flat);
  attach<math::CeilOp>(context, flat);
  attach<math::RoundOp>(context, flat);
  attach<math::RoundEvenOp>(context, flat);
  attach<math::TruncOp>(context, flat);
}

void weir::registerArithRules(DialectRegistry &registry) {
  registry.addExtension(
      +[](MLIRContext *context, arith::ArithDialect *, math::MathDialect *) {
        attachArithRules(context);
        attachMathRules(context);
      });
}
