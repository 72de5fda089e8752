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

/// d times the constant `factor`.
static Value scaled(ScalarAdjointBuilder &b, Value d, double factor) {
  return b.mul(d, b.constant(d.getType(), factor));
}

/// The larger (or smaller) of two values hands its gradient to the operand it
/// equals. Two that are equal get half of it each; beside an operand without
/// gradient a tie gives none, so that the derivative of max(x, 0) at 0 is 0,
/// and only the result has to be kept.
template <typename OpT> static void attachExtremum(MLIRContext *context) {
  attach<OpT>(context, [](OpT op, Value d, ScalarAdjointBuilder &b) {
    constexpr bool isMax = std::is_same_v<OpT, arith::MaximumFOp> ||
                           std::is_same_v<OpT, arith::MaxNumFOp>;
    auto beats = isMax ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT;
    Value zero = b.constant(d.getType(), 0.0);
    Value lhs = op.getLhs(), rhs = op.getRhs();
    if (b.isActive(lhs) && b.isActive(rhs)) {
      Value tie = b.compare(arith::CmpFPredicate::OEQ, lhs, rhs);
      Value share = b.select(tie, scaled(b, d, 0.5), d);
      Value isLeft = b.compare(beats, lhs, rhs);
      Value isRight = b.compare(beats, rhs, lhs);
      b.addAdjoint(lhs, b.select(isRight, zero, share));
      b.addAdjoint(rhs, b.select(isLeft, zero, share));
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

/// erf, or erfc = 1 - erf.
template <typename OpT> static void attachErf(MLIRContext *context) {
  attach<OpT>(context, [](OpT op, Value d, ScalarAdjointBuilder &b) {
    constexpr double sign = std::is_same_v<OpT, math::ErfOp> ? 1.0 : -1.0;
    Value square = b.mul(op.getOperand(), op.getOperand());
    Value bell = b.create<math::ExpOp>(b.neg(square));
    double slope = sign * 2.0 * std::numbers::inv_sqrtpi;
    b.addAdjoint(op.getOperand(), b.mul(scaled(b, d, slope), bell));
  });
}

static void attachExponentialRules(MLIRContext *context) {
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
  attach<math::Log10Op>(context, [](auto op, Value d, auto &b) {
    b.addAdjoint(op.getOperand(),
                 b.div(scaled(b, d, std::numbers::log10e), op.getOperand()));
  });
  attach<math::Log1pOp>(context, [](auto op, Value d, auto &b) {
    Value one = b.constant(d.getType(), 1.0);
    b.addAdjoint(op.getOperand(), b.div(d, b.add(op.getOperand(), one)));
  });
  attachErf<math::ErfOp>(context);
  attachErf<math::ErfcOp>(context);
}

/// The derivative of `OpT` of one operand is `derivative`(x, result, builder).
template <typename OpT, typename Derivative>
static void attachUnary(MLIRContext *context, Derivative) {
  attach<OpT>(context, [](OpT op, Value d, ScalarAdjointBuilder &b) {
    Value x = op.getOperand();
    b.addAdjoint(x, b.mul(d, Derivative()(x, op.getResult(), b)));
  });
}

static Value square(ScalarAdjointBuilder &b, Value x) { return b.mul(x, x); }

static Value onePlusSquare(ScalarAdjointBuilder &b, Value x) {
  return b.add(square(b, x), b.constant(x.getType(), 1.0));
}

/// 1 - x * x, exact near 1.
static Value oneMinusSquare(ScalarAdjointBuilder &b, Value x) {
  Value one = b.constant(x.getType(), 1.0);
  return b.mul(b.sub(one, x), b.add(one, x));
}

static Value rsqrt(ScalarAdjointBuilder &b, Value x) {
  return b.create<math::RsqrtOp>(x);
}

static Value reciprocal(ScalarAdjointBuilder &b, Value x) {
  return b.div(b.constant(x.getType(), 1.0), x);
}

static void attachTrigonometricRules(MLIRContext *context) {
  using Builder = ScalarAdjointBuilder;
  attachUnary<math::SinOp>(context, [](Value x, Value, Builder &b) {
    return b.create<math::CosOp>(x);
  });
  attachUnary<math::CosOp>(context, [](Value x, Value, Builder &b) {
    return b.neg(b.create<math::SinOp>(x));
  });
  attachUnary<math::TanOp>(
      context, [](Value, Value y, Builder &b) { return onePlusSquare(b, y); });
  attachUnary<math::AsinOp>(context, [](Value x, Value, Builder &b) {
    return rsqrt(b, oneMinusSquare(b, x));
  });
  attachUnary<math::AcosOp>(context, [](Value x, Value, Builder &b) {
    return b.neg(rsqrt(b, oneMinusSquare(b, x)));
  });
  attachUnary<math::AtanOp>(context, [](Value x, Value, Builder &b) {
    return reciprocal(b, onePlusSquare(b, x));
  });
  attachUnary<math::SinhOp>(context, [](Value x, Value, Builder &b) {
    return b.create<math::CoshOp>(x);
  });
  attachUnary<math::CoshOp>(context, [](Value x, Value, Builder &b) {
    return b.create<math::SinhOp>(x);
  });
  attachUnary<math::TanhOp>(context, [](Value, Value y, Builder &b) {
    return b.sub(b.constant(y.getType(), 1.0), square(b, y));
  });
  // Not of x * x - 1, which has lost digits near 1.
  attachUnary<math::AcoshOp>(context, [](Value x, Value, Builder &b) {
    Value one = b.constant(x.getType(), 1.0);
    return b.mul(rsqrt(b, b.sub(x, one)), rsqrt(b, b.add(x, one)));
  });
  attachUnary<math::AtanhOp>(context, [](Value x, Value, Builder &b) {
    return reciprocal(b, oneMinusSquare(b, x));
  });
  attach<math::Atan2Op>(context, [](auto op, Value d, auto &b) {
    Value y = op.getLhs(), x = op.getRhs();
    Value share = b.div(d, b.add(square(b, x), square(b, y)));
    if (b.isActive(y))
      b.addAdjoint(y, b.mul(share, x));
    if (b.isActive(x))
      b.addAdjoint(x, b.neg(b.mul(share, y)));
  });
}

/// The value that is `value` unless `condition` holds.
static Value unless(ScalarAdjointBuilder &b, Value condition, double instead,
                    Value value) {
  return b.select(condition, b.constant(value.getType(), instead), value);
}

/// At the exponent 0 the derivative by the base is 0, also of 0^0; at the base
/// 0 the derivative by the exponent is that of a constant.
static void buildPowAdjoint(math::PowFOp op, Value d, ScalarAdjointBuilder &b) {
  Value x = op.getLhs(), p = op.getRhs();
  Value zero = b.constant(d.getType(), 0.0);
  if (b.isActive(x)) {
    // For a known exponent the constants are folded, and x^(2-1) is x.
    Value isFlat = b.compare(arith::CmpFPredicate::OEQ, p, zero);
    Value less = unless(b, isFlat, 1.0, b.sub(p, b.constant(d.getType(), 1.0)));
    Value power =
        matchPattern(less, m_OneFloat()) ? x : b.create<math::PowFOp>(x, less);
    b.addAdjoint(x, unless(b, isFlat, 0.0, b.mul(b.mul(d, p), power)));
  }
  if (b.isActive(p)) {
    Value base =
        unless(b, b.compare(arith::CmpFPredicate::OEQ, x, zero), 1.0, x);
    b.addAdjoint(p,
                 b.mul(b.mul(d, op.getResult()), b.create<math::LogOp>(base)));
  }
}

static void attachPowerRules(MLIRContext *context) {
  using Builder = ScalarAdjointBuilder;
  attach<math::PowFOp>(
      context, [](auto op, Value d, Builder &b) { buildPowAdjoint(op, d, b); });
  attach<math::SqrtOp>(context, [](auto op, Value d, Builder &b) {
    b.addAdjoint(op.getOperand(), b.div(scaled(b, d, 0.5), op.getResult()));
  });
  attach<math::CbrtOp>(context, [](auto op, Value d, Builder &b) {
    b.addAdjoint(op.getOperand(),
                 b.div(scaled(b, d, 1.0 / 3.0), square(b, op.getResult())));
  });
  attachUnary<math::RsqrtOp>(context, [](Value, Value y, Builder &b) {
    return scaled(b, b.mul(square(b, y), y), -0.5);
  });
}

/// What is linear in pieces.
static void attachPiecewiseRules(MLIRContext *context) {
  using Builder = ScalarAdjointBuilder;
  // The derivative at 0 is 1.
  attach<math::AbsFOp>(context, [](auto op, Value d, Builder &b) {
    Value x = op.getOperand(), zero = b.constant(d.getType(), 0.0);
    Value below = b.compare(arith::CmpFPredicate::OLT, x, zero);
    b.addAdjoint(x, b.select(below, b.neg(d), d));
  });
  // |x| with a sign that has no derivative.
  attach<math::CopySignOp>(context, [](auto op, Value d, Builder &b) {
    Value x = op.getLhs(), zero = b.constant(d.getType(), 0.0);
    Value kept = b.compare(arith::CmpFPredicate::OEQ, op.getResult(), x);
    Value flat = b.compare(arith::CmpFPredicate::OEQ, x, zero);
    b.addAdjoint(x, b.select(flat, zero, b.select(kept, d, b.neg(d))));
  });
  attach<math::FmaOp>(context, [](auto op, Value d, Builder &b) {
    if (b.isActive(op.getA()))
      b.addAdjoint(op.getA(), b.mul(d, op.getB()));
    if (b.isActive(op.getB()))
      b.addAdjoint(op.getB(), b.mul(d, op.getA()));
    b.addAdjoint(op.getC(), d);
  });
  // Steps are flat.
  auto flat = [](auto op, Value d, Builder &b) {};
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
        attachExponentialRules(context);
        attachTrigonometricRules(context);
        attachPowerRules(context);
        attachPiecewiseRules(context);
      });
}
