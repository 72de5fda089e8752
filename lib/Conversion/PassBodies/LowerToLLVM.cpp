//===- LowerToLLVM.cpp - host code to the LLVM dialect --------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "LowerToLLVM.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MathToLibm/MathToLibm.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace weir;

namespace {

/// The larger (or smaller) of two numbers, or the one that is no NaN, by
/// maximum (or minimum): LLVM's own maxnum leaves open which of +0 and -0 it
/// takes, so that the bits would depend on the order of the operands.
template <typename NumOp, typename WithNaNOp>
struct ExpandNum : public OpRewritePattern<NumOp> {
  using OpRewritePattern<NumOp>::OpRewritePattern;
  LogicalResult matchAndRewrite(NumOp op,
                                PatternRewriter &rewriter) const override {
    Location loc = op.getLoc();
    Value lhs = op.getLhs(), rhs = op.getRhs();
    auto isNaN = [&](Value value) {
      return arith::CmpFOp::create(rewriter, loc, arith::CmpFPredicate::UNO,
                                   value, value);
    };
    Value both = WithNaNOp::create(rewriter, loc, lhs, rhs);
    Value rest = arith::SelectOp::create(rewriter, loc, isNaN(rhs), lhs, both);
    rewriter.replaceOpWithNewOp<arith::SelectOp>(op, isNaN(lhs), rhs, rest);
    return success();
  }
};

} // namespace

/// Loops, arithmetic and vectors to the LLVM dialect. No pattern here may
/// contract or reassociate.
LogicalResult weir::lowerToLLVM(ModuleOp kernels) {
  MLIRContext *context = kernels.getContext();
  // The LLVM dialect has exp(x) - 1 for this, which is no use near 0.
  RewritePatternSet libm(context);
  populateMathToLibmConversionPatterns(libm);
  ConversionTarget exceptExpM1(*context);
  exceptExpM1.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
  exceptExpM1.addIllegalOp<math::ExpM1Op>();
  exceptExpM1.addLegalOp<gpu::GPUModuleOp>();
  exceptExpM1.markOpRecursivelyLegal<gpu::GPUModuleOp>();
  if (failed(applyPartialConversion(kernels, exceptExpM1, std::move(libm))))
    return failure();
  LLVMTypeConverter converter(context);
  RewritePatternSet patterns(context);
  populateSCFToControlFlowConversionPatterns(patterns);
  cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
  arith::populateCeilFloorDivExpandOpsPatterns(patterns);
  patterns.add<ExpandNum<arith::MaxNumFOp, arith::MaximumFOp>,
               ExpandNum<arith::MinNumFOp, arith::MinimumFOp>>(context,
                                                               /*benefit=*/2);
  arith::populateArithToLLVMConversionPatterns(converter, patterns);
  populateVectorToLLVMConversionPatterns(converter, patterns);
  populateMathToLLVMConversionPatterns(converter, patterns,
                                       /*approximateLog1p=*/false);
  // Functions without an intrinsic call libm.
  populateMathToLibmConversionPatterns(patterns, /*benefit=*/0);
  populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
  populateFuncToLLVMConversionPatterns(converter, patterns);
  ub::populateUBToLLVMConversionPatterns(converter, patterns);
  LLVMConversionTarget target(*context);
  target.addLegalOp<ModuleOp, gpu::GPUModuleOp>();
  target.markOpRecursivelyLegal<gpu::GPUModuleOp>();
  return applyFullConversion(kernels, target, std::move(patterns));
}
