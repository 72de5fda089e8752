//===- WeirToCUDA.cpp - compile passes to kernels of CUDA devices ---------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Conversion/Passes.h"

#include "CudaKernel.h"

#include "../PassBodies/BufferizeBody.h"
#include "../PassBodies/LowerToLLVM.h"
#include "../PassBodies/PassKernels.h"

#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Target/DeviceCode.h"
#include "weir/Target/HostTarget.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace weir {
#define GEN_PASS_DEF_CONVERTWEIRTOCUDA
#include "weir/Conversion/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

static constexpr KernelTarget target = {"CUDA", "convert-weir-to-cuda"};

namespace {

struct ConvertWeirToCUDA
    : public weir::impl::ConvertWeirToCUDABase<ConvertWeirToCUDA> {
  using ConvertWeirToCUDABase::ConvertWeirToCUDABase;

  void getDependentDialects(DialectRegistry &registry) const override {
    ConvertWeirToCUDABase::getDependentDialects(registry);
    registerBodyBufferization(registry);
  }

  void runOnOperation() override;
};

} // namespace

void ConvertWeirToCUDA::runOnOperation() {
  ModuleOp module = getOperation();
  if (productWorkspace < 0) {
    module.emitError("product-workspace = ")
        << productWorkspace << " is negative";
    return signalPassFailure();
  }
  if (ModuleOp old = getKernelsModule(module))
    old.erase();
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto kernels = ModuleOp::create(builder, module.getLoc(), kernelsModuleName);
  DeviceModule device(kernels, arch);
  KernelConstants constants(kernels);
  constants.declareFunction("weir_cuda_launch_kernel", /*numArguments=*/3);
  constants.declareFunction("weir_cuda_multiply", /*numArguments=*/8);
  auto compile = [&](func::FuncOp function,
                     StringRef name) -> FailureOr<int64_t> {
    Biases biases;
    FailureOr<int64_t> temporaryBytes =
        prepareBody(function, name, target,
                    [&] { biases = adaptToCuda(function, fuseBias); });
    if (failed(temporaryBytes))
      return failure();
    CudaKernelEmitter emitter(createKernel(kernels, function.getLoc(), name),
                              constants, device, biases, *temporaryBytes,
                              productWorkspace);
    if (failed(emitter.emit(function)))
      return failure();
    return emitter.getWorkspaceBytes();
  };
  if (failed(compilePasses(module, target, compile)))
    return signalPassFailure();
  constants.finish(cudaProductsName);
  kernels->setAttr(deviceKernelsName, builder.getArrayAttr(device.getNames()));
  if (failed(lowerToLLVM(kernels)))
    return signalPassFailure();
}
