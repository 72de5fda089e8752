//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// A test that no wrong gradient fails would be worth nothing: here each op of
// the backward is made wrong in turn, by one percent, and must be noticed.
//
//===----------------------------------------------------------------------===//

#include "GradientCheck.h"
#include "Models.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace weir::test;

static OwningOpRef<ModuleOp> tinyMlp() {
  weir::model::Sizes sizes;
  sizes.layers = 1;
  sizes.hidden = 3;
  sizes.context = 2;
  sizes.vocab = 4;
  sizes.batch = 2;
  sizes.element = "f64";
  std::string text;
  llvm::raw_string_ostream os(text);
  weir::model::writeMlp(os, sizes);
  return parseModel(text);
}

/// The ops of the backward that compute something.
static SmallVector<Operation *> getAdjointOps(ModuleOp module) {
  SmallVector<Operation *> ops;
  for (Operation &op : getFunction(module).getBody().front())
    if (op.hasAttr(weir::attr::adjointOf) && op.getNumResults() == 1)
      ops.push_back(&op);
  return ops;
}

static void scaleResult(Operation *op, double factor) {
  OpBuilder b(op);
  b.setInsertionPointAfter(op);
  Value result = op->getResult(0);
  auto type = cast<RankedTensorType>(result.getType());
  Value factors = arith::ConstantOp::create(
      b, op->getLoc(), DenseElementsAttr::get(type, b.getF64FloatAttr(factor)));
  Value scaled = arith::MulFOp::create(b, op->getLoc(), result, factors);
  result.replaceAllUsesExcept(scaled, scaled.getDefiningOp());
}

TEST(WrongRules, AreNoticed) {
  OwningOpRef<ModuleOp> probe = tinyMlp();
  ASSERT_TRUE(succeeded(runPasses(*probe, "weir-differentiate")));
  size_t ops = getAdjointOps(*probe).size();
  ASSERT_GT(ops, 8u);
  for (size_t i = 0; i < ops; ++i) {
    std::string name;
    auto check = GradientCheck::create(tinyMlp(), [&](ModuleOp joint) {
      Operation *op = getAdjointOps(joint)[i];
      name = op->getName().getStringRef().str();
      scaleResult(op, 1.01);
    });
    ASSERT_TRUE(check);
    check->randomize(3, -1.0, 1.0, /*below=*/4);
    EXPECT_GT(check->elementError(), 1e-3) << "op " << i << ": " << name;
  }
}
