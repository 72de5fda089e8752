//===- PassKernels.cpp - one kernel for equal passes ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PassKernels.h"

#include "BodyChecks.h"
#include "BodyToFunction.h"
#include "BufferizeBody.h"
#include "ElementwiseFusion.h"
#include "WorkspacePlan.h"

#include "weir/Dialect/IR/WeirDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;
using namespace weir;

/// A name that says which pass this is: f0, b0, w0, update_64x256.
static std::string getKernelName(StagePassOpInterface pass,
                                 llvm::StringMap<int64_t> &names) {
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

FailureOr<int64_t> weir::prepareBody(func::FuncOp function, StringRef name,
                                     const KernelTarget &target,
                                     llvm::function_ref<void()> adapt) {
  if (failed(generalizeBody(function, target.name)))
    return failure();
  int64_t numOps = countLoops(function);
  fuseElementwise(function);
  int64_t numLoops = countLoops(function);
  if (failed(bufferizeBody(function, target.name)))
    return failure();
  if (adapt)
    adapt();
  int64_t workspaceBytes = planWorkspace(function);
  remark::passed(function.getLoc(),
                 remark::RemarkOpts::name("fusion").category(target.category))
      << (name + ": " + Twine(numOps) +
          " elementwise ops and reductions became " + Twine(numLoops) +
          " loops; " + Twine(countProducts(function)) + " matrix products; " +
          Twine(workspaceBytes) + " bytes of temporaries")
             .str();
  return workspaceBytes;
}

LogicalResult weir::compilePasses(ModuleOp module, const KernelTarget &target,
                                  CompileBody compile) {
  // No pass may take the name of a function that is called.
  llvm::StringMap<int64_t> names;
  for (KernelOp kernel : module.getOps<KernelOp>())
    names[kernel.getFunctionName()] = 1;
  SmallVector<StagePassOpInterface> passes;
  for (PipelineOp pipeline : module.getOps<PipelineOp>())
    for (Operation &op : pipeline.getBody().front())
      if (auto pass = dyn_cast<StagePassOpInterface>(op))
        passes.push_back(pass);
  // Bodies that were compiled, by hash.
  struct Body {
    func::FuncOp function; ///< as it was before it was compiled
    std::string kernel;
    int64_t workspaceBytes;
  };
  DenseMap<llvm::hash_code, SmallVector<Body>> bodies;
  int64_t numKernels = 0;
  Builder builder(module.getContext());
  // Body functions live in a module of their own: they are never in the way.
  OwningOpRef<ModuleOp> scratch = ModuleOp::create(module.getLoc());
  for (StagePassOpInterface pass : passes) {
    if (failed(checkBody(pass, target.name)))
      return failure();
    auto atEnd = OpBuilder::atBlockEnd(scratch->getBody());
    func::FuncOp function = buildBodyFunction(pass, atEnd);
    SmallVector<Body> &candidates = bodies[hashBodyFunction(function)];
    const Body *match = llvm::find_if(candidates, [&](const Body &body) {
      return areBodyFunctionsEqual(body.function, function);
    });
    if (match == candidates.end()) {
      Body body{function, getKernelName(pass, names), 0};
      func::FuncOp clone = function.clone();
      scratch->push_back(clone);
      FailureOr<int64_t> workspaceBytes = compile(clone, body.kernel);
      if (failed(workspaceBytes))
        return failure();
      clone.erase();
      body.workspaceBytes = *workspaceBytes;
      match = &candidates.emplace_back(body);
      ++numKernels;
    } else {
      function.erase();
    }
    pass->setAttr("kernel",
                  FlatSymbolRefAttr::get(module.getContext(), match->kernel));
    if (match->workspaceBytes > 0)
      pass->setAttr("workspace",
                    builder.getI64IntegerAttr(match->workspaceBytes));
    else
      pass->removeAttr("workspace");
  }
  remark::passed(module.getLoc(),
                 remark::RemarkOpts::name("kernels").category(target.category))
      << (Twine(passes.size()) + " passes share " + Twine(numKernels) +
          " kernels")
             .str();
  return success();
}
