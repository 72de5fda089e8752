//===- WeirToHost.cpp - compile passes to functions of the host -----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Conversion/Passes.h"

#include "BodyChecks.h"
#include "BodyToFunction.h"
#include "BufferizeBody.h"
#include "ElementwiseFusion.h"
#include "KernelEmission.h"
#include "WorkspacePlan.h"

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Target/HostTarget.h"

#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MathToLibm/MathToLibm.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/UBToLLVM/UBToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Remarks.h"

namespace weir {
#define GEN_PASS_DEF_CONVERTWEIRTOHOST
#include "weir/Conversion/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

static constexpr StringLiteral remarkCategory = "convert-weir-to-host";

namespace {

/// A compiled body.
struct Kernel {
  std::string name;
  int64_t workspaceBytes = 0;
};

struct ConvertWeirToHost
    : public weir::impl::ConvertWeirToHostBase<ConvertWeirToHost> {
  void getDependentDialects(DialectRegistry &registry) const override {
    ConvertWeirToHostBase::getDependentDialects(registry);
    registerBodyBufferization(registry);
  }

  void runOnOperation() override;

private:
  std::string getKernelName(StagePassOpInterface pass);
  FailureOr<int64_t> compile(func::FuncOp function, StringRef name,
                             ModuleOp kernels, KernelConstants &constants);
  LogicalResult lowerToLLVM(ModuleOp kernels);

  llvm::StringMap<int64_t> names;
};

} // namespace

/// A name that says which pass this is: f0, b0, w0, update_64x256.
std::string ConvertWeirToHost::getKernelName(StagePassOpInterface pass) {
  std::string name;
  llvm::raw_string_ostream os(name);
  switch (pass.getPassKind()) {
  case PassKind::Forward:
    os << 'f' << pass.getStageNumber();
    break;
  case PassKind::BackwardInput:
    os << 'b' << pass.getStageNumber();
    break;
  case PassKind::BackwardWeight:
    os << 'w' << pass.getStageNumber();
    break;
  case PassKind::Backward:
    os << "backward" << pass.getStageNumber();
    break;
  case PassKind::Recompute:
    os << 'r' << pass.getStageNumber();
    break;
  case PassKind::Update:
    os << "update";
    auto type =
        cast<RankedTensorType>(pass.getBodyBlock().getArgument(0).getType());
    for (auto [index, size] : llvm::enumerate(type.getShape()))
      os << (index == 0 ? '_' : 'x') << size;
    break;
  }
  int64_t number = names[name]++;
  return number == 0 ? name : name + "_" + std::to_string(number);
}

static int64_t countLoops(func::FuncOp function) {
  return llvm::range_size(function.getOps<linalg::GenericOp>());
}

static int64_t countProducts(func::FuncOp function) {
  return llvm::range_size(function.getOps<linalg::ContractOp>());
}

/// Compiles a body function to the kernel `name` and returns the bytes of its
/// workspace.
FailureOr<int64_t> ConvertWeirToHost::compile(func::FuncOp function,
                                              StringRef name, ModuleOp kernels,
                                              KernelConstants &constants) {
  if (failed(generalizeBody(function)))
    return failure();
  int64_t numOps = countLoops(function);
  fuseElementwise(function);
  int64_t numLoops = countLoops(function);
  if (failed(bufferizeBody(function)))
    return failure();
  int64_t workspaceBytes = planWorkspace(function);
  remark::passed(function.getLoc(),
                 remark::RemarkOpts::name("fusion").category(remarkCategory))
      << (name + ": " + Twine(numOps) +
          " elementwise ops and reductions became " + Twine(numLoops) +
          " loops; " + Twine(countProducts(function)) + " matrix products; " +
          Twine(workspaceBytes) + " bytes of temporaries")
             .str();
  auto builder = OpBuilder::atBlockEnd(kernels.getBody());
  Type pointer = LLVM::LLVMPointerType::get(&getContext());
  auto kernel = LLVM::LLVMFuncOp::create(
      builder, function.getLoc(), name,
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(&getContext()),
                                  {pointer, pointer}));
  KernelEmitter emitter(kernel, constants);
  if (failed(emitter.emit(function, workspaceBytes)))
    return failure();
  return workspaceBytes;
}

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
LogicalResult ConvertWeirToHost::lowerToLLVM(ModuleOp kernels) {
  MLIRContext *context = &getContext();
  // The LLVM dialect has exp(x) - 1 for this, which is no use near 0.
  RewritePatternSet libm(context);
  populateMathToLibmConversionPatterns(libm);
  ConversionTarget exceptExpM1(*context);
  exceptExpM1.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
  exceptExpM1.addIllegalOp<math::ExpM1Op>();
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
  populateFuncToLLVMConversionPatterns(converter, patterns);
  ub::populateUBToLLVMConversionPatterns(converter, patterns);
  LLVMConversionTarget target(*context);
  target.addLegalOp<ModuleOp>();
  return applyFullConversion(kernels, target, std::move(patterns));
}

void ConvertWeirToHost::runOnOperation() {
  ModuleOp module = getOperation();
  names.clear();
  // No pass may take the name of a function that is called.
  for (KernelOp kernel : module.getOps<KernelOp>())
    names[kernel.getFunctionName()] = 1;
  SmallVector<StagePassOpInterface> passes;
  for (PipelineOp pipeline : module.getOps<PipelineOp>())
    for (Operation &op : pipeline.getBody().front())
      if (auto pass = dyn_cast<StagePassOpInterface>(op))
        passes.push_back(pass);
  if (ModuleOp old = getKernelsModule(module))
    old.erase();
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto kernels = ModuleOp::create(builder, module.getLoc(), kernelsModuleName);
  KernelConstants constants(kernels);
  // Bodies that were compiled, by hash.
  struct Body {
    func::FuncOp function; ///< as it was before it was compiled
    Kernel kernel;
  };
  DenseMap<llvm::hash_code, SmallVector<Body>> bodies;
  int64_t numKernels = 0;
  // Body functions live in a module of their own: they are never in the way.
  OwningOpRef<ModuleOp> scratch = ModuleOp::create(module.getLoc());
  for (StagePassOpInterface pass : passes) {
    if (failed(checkBody(pass)))
      return signalPassFailure();
    auto atEnd = OpBuilder::atBlockEnd(scratch->getBody());
    func::FuncOp function = buildBodyFunction(pass, atEnd);
    SmallVector<Body> &candidates = bodies[hashBodyFunction(function)];
    const Body *match = llvm::find_if(candidates, [&](const Body &body) {
      return areBodyFunctionsEqual(body.function, function);
    });
    if (match == candidates.end()) {
      Body body{function, {getKernelName(pass), 0}};
      func::FuncOp clone = function.clone();
      scratch->push_back(clone);
      FailureOr<int64_t> workspaceBytes =
          compile(clone, body.kernel.name, kernels, constants);
      if (failed(workspaceBytes))
        return signalPassFailure();
      clone.erase();
      body.kernel.workspaceBytes = *workspaceBytes;
      match = &candidates.emplace_back(body);
      ++numKernels;
    } else {
      function.erase();
    }
    pass->setAttr("kernel",
                  FlatSymbolRefAttr::get(&getContext(), match->kernel.name));
    if (match->kernel.workspaceBytes > 0)
      pass->setAttr("workspace",
                    builder.getI64IntegerAttr(match->kernel.workspaceBytes));
    else
      pass->removeAttr("workspace");
  }
  constants.finish();
  remark::passed(module.getLoc(),
                 remark::RemarkOpts::name("kernels").category(remarkCategory))
      << (Twine(passes.size()) + " passes share " + Twine(numKernels) +
          " kernels")
             .str();
  if (failed(lowerToLLVM(kernels)))
    return signalPassFailure();
}
