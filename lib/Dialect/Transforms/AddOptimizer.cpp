//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"

#include <map>

namespace weir {
#define GEN_PASS_DEF_WEIRADDOPTIMIZER
#include "weir/Dialect/Transforms/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

/// Scalar arithmetic in the element type of a variable.
struct Scalars {
  OpBuilder &b;
  Location loc;
  FloatType type;

  Value constant(double value) {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(type, value));
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
  Value div(Value x, Value y) { return arith::DivFOp::create(b, loc, x, y); }
  /// Hyperparameters come as f32.
  Value convert(Value x) {
    return x.getType() == type ? x : arith::ExtFOp::create(b, loc, type, x);
  }
};

struct AddOptimizer : weir::impl::WeirAddOptimizerBase<AddOptimizer> {
  using WeirAddOptimizerBase::WeirAddOptimizerBase;

  void runOnOperation() override {
    if (optimizer != "adamw" && optimizer != "sgd") {
      getOperation().emitError("unknown optimizer '")
          << optimizer << "'; known are adamw and sgd";
      return signalPassFailure();
    }
    for (auto pipeline : getOperation().getOps<PipelineOp>())
      if (failed(addUpdates(pipeline)))
        return signalPassFailure();
  }

  LogicalResult addUpdates(PipelineOp pipeline);
  void addUpdate(OpBuilder &builder, VariableOp variable, int64_t uses);
};

} // namespace

LogicalResult AddOptimizer::addUpdates(PipelineOp pipeline) {
  if (!pipeline.getBody().getOps<UpdateOp>().empty())
    return pipeline.emitOpError("has updates already");
  // An accumulation by variable and use.
  llvm::StringMap<std::map<int64_t, AccumulateOp>> uses;
  pipeline.walk([&](AccumulateOp accumulate) {
    uses[accumulate.getVariable()][accumulate.getUse()] = accumulate;
  });
  for (const auto &entry : uses)
    if (auto [last, accumulate] = *entry.second.rbegin();
        last >= static_cast<int64_t>(entry.second.size()))
      return accumulate.emitOpError("is use ")
             << last << " of @" << entry.first() << ", of which there are only "
             << entry.second.size();
  OpBuilder builder(pipeline.getContext());
  builder.setInsertionPointToEnd(&pipeline.getBody().front());
  for (auto variable : getOperation().getOps<VariableOp>())
    if (int64_t count = uses.lookup(variable.getSymName()).size()) {
      Type element = getElementTypeOrSelf(variable.getType());
      if (!element.isF32() && !element.isF64())
        return variable.emitOpError(
                   "cannot be trained: updates are for f32 and "
                   "f64, not for ")
               << element;
      addUpdate(builder, variable, count);
    }
  return success();
}

void AddOptimizer::addUpdate(OpBuilder &builder, VariableOp variable,
                             int64_t uses) {
  OpBuilder::InsertionGuard guard(builder);
  Location loc = variable.getLoc();
  bool isAdam = optimizer == "adamw";
  auto type = cast<RankedTensorType>(variable.getType());
  auto scalar = RankedTensorType::get({}, builder.getF32Type());
  SmallVector<Attribute> states;
  if (isAdam)
    states = {builder.getStringAttr("m"), builder.getStringAttr("v")};
  else
    states = {builder.getStringAttr("momentum")};

  auto update = UpdateOp::create(
      builder, loc, FlatSymbolRefAttr::get(variable.getSymNameAttr()),
      builder.getI64IntegerAttr(uses), builder.getArrayAttr(states),
      FlatSymbolRefAttr(), IntegerAttr(), FloatAttr());
  Block *body = builder.createBlock(&update.getBody());
  for (int64_t i = 0, e = 1 + uses + states.size(); i < e; ++i)
    body->addArgument(type, loc);
  for (int i = 0; i < 3; ++i)
    body->addArgument(scalar, loc);

  // One elementwise op: inputs are the gradients and the scalars, outputs the
  // variable and its states, which the body reads and replaces.
  SmallVector<Value> inputs, outputs{body->getArgument(0)};
  for (int64_t use = 0; use < uses; ++use)
    inputs.push_back(body->getArgument(1 + use));
  for (size_t state = 0; state < states.size(); ++state)
    outputs.push_back(body->getArgument(1 + uses + state));
  for (BlockArgument argument : body->getArguments().take_back(3))
    inputs.push_back(argument);

  int64_t rank = type.getRank();
  AffineMap identity = builder.getMultiDimIdentityMap(rank);
  AffineMap none = AffineMap::get(rank, 0, {}, builder.getContext());

  // The bias corrections depend on the step alone: once, not per element.
  if (isAdam) {
    AffineMap point = AffineMap::get(0, 0, {}, builder.getContext());
    for (double beta : {double(beta1), double(beta2)}) {
      Value empty = tensor::EmptyOp::create(builder, loc, ArrayRef<int64_t>{},
                                            builder.getF32Type());
      auto correction = linalg::GenericOp::create(
          builder, loc, TypeRange{scalar},
          ValueRange{body->getArguments().back()}, ValueRange{empty},
          ArrayRef<AffineMap>{point, point}, ArrayRef<utils::IteratorType>{},
          [&](OpBuilder &b, Location loc, ValueRange args) {
            Scalars s{b, loc, builder.getF32Type()};
            Value power =
                math::PowFOp::create(b, loc, s.constant(beta), args[0]);
            linalg::YieldOp::create(b, loc, s.sub(s.constant(1.0), power));
          });
      inputs.push_back(correction.getResult(0));
    }
  }
  SmallVector<AffineMap> maps(uses, identity);
  maps.append(inputs.size() - uses, none);
  maps.append(outputs.size(), identity);

  SmallVector<Type> resultTypes(outputs.size(), type);
  auto step = linalg::GenericOp::create(
      builder, loc, resultTypes, inputs, outputs, maps,
      SmallVector<utils::IteratorType>(rank, utils::IteratorType::parallel),
      [&](OpBuilder &b, Location loc, ValueRange args) {
        Scalars s{b, loc, cast<FloatType>(type.getElementType())};
        Value gradient = args[0];
        for (int64_t use = 1; use < uses; ++use)
          gradient = s.add(gradient, args[use]);
        Value count = s.convert(args[uses]);
        Value rate = s.convert(args[uses + 1]);
        // A step whose labels are all ignored has gradient zero.
        count = arith::MaximumFOp::create(b, loc, count, s.constant(1.0));
        gradient = s.div(gradient, count);
        size_t first = inputs.size();
        Value weight = args[first];
        Value direction;
        SmallVector<Value> results;
        if (isAdam) {
          Value m = s.add(s.mul(s.constant(beta1), args[first + 1]),
                          s.mul(s.constant(1.0 - beta1), gradient));
          Value v =
              s.add(s.mul(s.constant(beta2), args[first + 2]),
                    s.mul(s.constant(1.0 - beta2), s.mul(gradient, gradient)));
          Value correction1 = s.convert(args[first - 2]);
          Value correction2 = s.convert(args[first - 1]);
          Value root = math::SqrtOp::create(b, loc, s.div(v, correction2));
          direction =
              s.div(s.div(m, correction1), s.add(root, s.constant(epsilon)));
          results = {Value(), m, v};
        } else {
          Value v =
              s.add(s.mul(s.constant(momentum), args[first + 1]), gradient);
          direction = v;
          results = {Value(), v};
        }
        if (variable.getDecay() && weightDecay != 0.0)
          direction = s.add(direction, s.mul(s.constant(weightDecay), weight));
        results[0] = s.sub(weight, s.mul(rate, direction));
        linalg::YieldOp::create(b, loc, results);
      });
  YieldOp::create(builder, loc, step.getResults());
}
