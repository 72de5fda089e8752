//===- WeirToHost.cpp - compile passes to functions of the host -----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Conversion/Passes.h"

#include "HostKernel.h"

#include "../PassBodies/BufferizeBody.h"
#include "../PassBodies/LowerToLLVM.h"
#include "../PassBodies/PassKernels.h"

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Target/HostTarget.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {
#define GEN_PASS_DEF_CONVERTWEIRTOHOST
#include "weir/Conversion/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

static constexpr KernelTarget target = {"the host", "convert-weir-to-host"};

namespace {

struct ConvertWeirToHost
    : public weir::impl::ConvertWeirToHostBase<ConvertWeirToHost> {
  void getDependentDialects(DialectRegistry &registry) const override {
    ConvertWeirToHostBase::getDependentDialects(registry);
    registerBodyBufferization(registry);
  }

  void runOnOperation() override;
};

} // namespace

void ConvertWeirToHost::runOnOperation() {
  ModuleOp module = getOperation();
  if (ModuleOp old = getKernelsModule(module))
    old.erase();
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto kernels = ModuleOp::create(builder, module.getLoc(), kernelsModuleName);
  KernelConstants constants(kernels);
  constants.declareFunction("weir_host_product", /*numArguments=*/5);
  auto compile = [&](func::FuncOp function,
                     StringRef name) -> FailureOr<int64_t> {
    FailureOr<int64_t> workspaceBytes = prepareBody(function, name, target);
    if (failed(workspaceBytes))
      return failure();
    HostKernelEmitter emitter(createKernel(kernels, function.getLoc(), name),
                              constants);
    if (failed(emitter.emit(function)))
      return failure();
    return workspaceBytes;
  };
  if (failed(compilePasses(module, target, compile)))
    return signalPassFailure();
  constants.finish(productsName);
  if (failed(lowerToLLVM(kernels)))
    return signalPassFailure();
}
