//===- CompiledCuts.cpp - one model, cut in several ways ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledCuts.h"

#include "weir/Analysis/JointGraph.h"
#include "weir/Conversion/Passes.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace weir;
using namespace weir::test;

std::unique_ptr<CompiledCuts> CompiledCuts::create(StringRef text,
                                                   MLIRContext &context) {
  std::unique_ptr<CompiledCuts> model(new CompiledCuts());
  model->joint = parseSourceString<ModuleOp>(text, &context);
  if (!model->joint)
    return nullptr;
  PassManager passes(&context);
  passes.addPass(createWeirDifferentiate());
  passes.addPass(createWeirFixRounding());
  if (failed(passes.run(*model->joint)))
    return nullptr;
  for (Operation &op : findJointGraph(*model->joint).getBody().front())
    if (auto number = op.getAttrOfType<IntegerAttr>(attr::op))
      if (!isRepeated(&op))
        model->opNumbers.push_back(number.getInt());
  return model;
}

LogicalResult CompiledCuts::add(const CompilerOptions &options) {
  OwningOpRef<ModuleOp> cut = joint->clone();
  if (failed(compileTo(*cut, Level::Stages, options)))
    return failure();
  cuts.push_back(std::move(cut));
  return success();
}

LogicalResult CompiledCuts::compile() {
  // All pipelines in one module, so that equal passes share a kernel.
  OwningOpRef<ModuleOp> all = ModuleOp::create(joint->getLoc());
  auto builder = OpBuilder::atBlockEnd(all->getBody());
  std::vector<PipelineOp> pipelines;
  for (OwningOpRef<ModuleOp> &cut : cuts)
    for (Operation &op : *cut->getBody()) {
      auto pipeline = dyn_cast<PipelineOp>(op);
      if (!pipeline && pipelines.size() > 0)
        continue;
      Operation *copy = builder.clone(op);
      if (!pipeline)
        continue;
      pipelines.push_back(cast<PipelineOp>(copy));
      pipelines.back().setSymName("cut" + std::to_string(pipelines.size()));
    }
  PassManager passes(joint->getContext());
  passes.addPass(createConvertWeirToHost());
  if (failed(passes.run(*all)))
    return failure();

  std::vector<std::string> names;
  for (auto [cut, pipeline] : llvm::zip(cuts, pipelines)) {
    pipeline.walk([&](StagePassOpInterface pass) {
      std::string name = pass.getKernelAttr().getValue().str();
      if (!llvm::is_contained(names, name))
        names.push_back(name);
    });
    PipelineOp old = getOnlyPipeline(*cut);
    pipeline.setSymNameAttr(old.getSymNameAttr());
    OpBuilder(old).clone(*pipeline);
    old.erase();
    // Says that there is nothing left to compile.
    auto end = OpBuilder::atBlockEnd(cut->getBody());
    ModuleOp::create(end, cut->getLoc(), kernelsModuleName);
  }
  llvm::SmallVector<StringRef> order(names.begin(), names.end());
  // Tables come later, one for each schedule.
  const char noTable[1] = {0};
  auto compiled = HostJit::create({getKernelsModule(*all), noTable, order},
                                  &weir_host_product);
  if (!compiled)
    return emitError(joint->getLoc()) << llvm::toString(compiled.takeError());
  jit = std::move(*compiled);
  return success();
}

weir_kernel CompiledCuts::lookup(StringRef name) const {
  return llvm::cantFail(jit->lookup(name));
}
