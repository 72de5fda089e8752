//===- DeviceKernel.cpp - kernels of a device -----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceKernel.h"

#include "LoopKernel.h"

#include "weir/Cuda.h"
#include "weir/Target/DeviceCode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// DeviceModule
//===----------------------------------------------------------------------===//

static gpu::GPUModuleOp createModule(ModuleOp kernels, StringRef arch) {
  auto builder = OpBuilder::atBlockBegin(kernels.getBody());
  SmallVector<Attribute> targets;
  if (arch.starts_with("sm_"))
    targets.push_back(NVVM::NVVMTargetAttr::get(
        kernels.getContext(), /*optLevel=*/2, "nvptx64-nvidia-cuda", arch,
        /*features=*/"+ptx88"));
  return gpu::GPUModuleOp::create(builder, kernels.getLoc(), deviceModuleName,
                                  targets);
}

DeviceModule::DeviceModule(ModuleOp kernels, StringRef arch)
    : module(createModule(kernels, arch)), constants(module) {}

gpu::GPUFuncOp DeviceModule::create(StringRef kind, Location loc) {
  auto builder = OpBuilder::atBlockEnd(module.getBody());
  auto kernel = gpu::GPUFuncOp::create(builder, loc,
                                       (kind + "_" + Twine(names.size())).str(),
                                       builder.getFunctionType({}, {}));
  kernel->setAttr(gpu::GPUDialect::getKernelFuncAttrName(),
                  builder.getUnitAttr());
  kernel.setKnownBlockSize(
      SmallVector<int32_t>{static_cast<int32_t>(blockThreads), 1, 1});
  return kernel;
}

int64_t DeviceModule::finish(gpu::GPUFuncOp kernel) {
  llvm::hash_code hash = hash_value(Type(kernel.getFunctionType()));
  kernel.getBody().walk([&](Operation *op) {
    hash = llvm::hash_combine(hash, op->getName(), op->getAttrDictionary(),
                              llvm::hash_combine_range(op->getResultTypes()));
  });
  SmallVector<Finished> &candidates = finished[hash];
  for (Finished &other : candidates)
    if (other.kernel.getFunctionType() == kernel.getFunctionType() &&
        OperationEquivalence::isRegionEquivalentTo(
            &other.kernel.getBody(), &kernel.getBody(),
            OperationEquivalence::Flags::IgnoreLocations)) {
      kernel.erase();
      return other.number;
    }
  int64_t number = names.size();
  candidates.push_back({kernel, number});
  names.push_back(StringAttr::get(kernel.getContext(), kernel.getName()));
  return number;
}

//===----------------------------------------------------------------------===//
// DeviceKernel
//===----------------------------------------------------------------------===//

DeviceKernel::DeviceKernel(DeviceModule &module, KernelEmitter &host,
                           Location loc, StringRef kind)
    : BufferEmitter(loc), module(module), host(host),
      function(module.create(kind, loc)) {
  builder.setInsertionPointToStart(&function.getBody().front());
  auto end = gpu::ReturnOp::create(builder);
  mark = arith::ConstantIndexOp::create(builder, 0);
  mark->moveBefore(end);
  builder.setInsertionPoint(end);
}

Value DeviceKernel::getParameter(Value address) {
  Value &parameter = parameters[address];
  if (!parameter) {
    unsigned number = arguments.size();
    arguments.push_back(address);
    SmallVector<Type> types(arguments.size(), address.getType());
    parameter = function.getBody().front().insertArgument(
        number, address.getType(), function.getLoc());
    function.setFunctionType(builder.getFunctionType(types, {}));
  }
  return parameter;
}

const Buffer &DeviceKernel::getBuffer(Value memref) {
  auto it = buffers.find(memref);
  if (it != buffers.end())
    return it->second;
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(mark);
  if (auto global = memref.getDefiningOp<memref::GetGlobalOp>()) {
    MemRefType type = global.getType();
    Value address =
        module.getConstants().getTensor(builder, getConstantElements(global));
    return buffers[memref] = {address, SmallVector<int64_t>(type.getShape()),
                              computeStrides(type.getShape()),
                              type.getElementType()};
  }
  if (!host.hasBuffer(memref)) {
    // A slice whose position is known on the device only.
    LogicalResult result = emitView(*memref.getDefiningOp());
    assert(succeeded(result) && "views have static layouts");
    (void)result;
    return buffers[memref];
  }
  Buffer buffer = host.getBuffer(memref);
  buffer.base = getParameter(buffer.base);
  return buffers[memref] = buffer;
}

Value DeviceKernel::getScalar(Value scalar) {
  if (Value known = scalars.lookupOrNull(scalar))
    return known;
  Operation *definition = scalar.getDefiningOp();
  if (!definition)
    return {};
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(mark);
  return emitScalarOp(*definition) ? scalars.lookup(scalar) : Value();
}

Value DeviceKernel::getThread(Type type) {
  Value id = gpu::ThreadIdOp::create(builder, gpu::Dimension::x);
  return arith::IndexCastOp::create(builder, type, id);
}

Value DeviceKernel::getBlock(gpu::Dimension dimension, Type type) {
  Value id = gpu::BlockIdOp::create(builder, dimension);
  return arith::IndexCastOp::create(builder, type, id);
}

void DeviceKernel::emitBarrier() { gpu::BarrierOp::create(builder); }

Value DeviceKernel::createShared(Type element, int64_t count) {
  auto space = gpu::AddressSpaceAttr::get(builder.getContext(),
                                          gpu::AddressSpace::Workgroup);
  auto type =
      MemRefType::get({count}, getStorageType(element), AffineMap(), space);
  return function.addWorkgroupAttribution(type, function.getLoc());
}

LogicalResult DeviceKernel::emitInOneBlock(Operation &op) {
  builder.setLoc(op.getLoc());
  if (isView(op))
    return emitView(op);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return emitLoop(op, [&](Block &body) -> LogicalResult {
      for (Operation &inner : body.without_terminator())
        if (failed(emitInOneBlock(inner)))
          return failure();
      return success();
    });
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    if (failed(emitLoopsInBlocks(generic, *this, /*gridX=*/1)))
      return failure();
    emitBarrier();
    return success();
  }
  if (auto copy = dyn_cast<memref::CopyOp>(op)) {
    linalg::GenericOp generic = copyAsGeneric(copy);
    LogicalResult result = emitInOneBlock(*generic);
    generic.erase();
    return result;
  }
  if (auto store = dyn_cast<memref::StoreOp>(op)) {
    // All threads store the same, so one is enough.
    Value first = arith::CmpIOp::create(
        builder, arith::CmpIPredicate::eq, getThread(builder.getI32Type()),
        arith::ConstantIntOp::create(builder, 0, 32));
    auto guarded = scf::IfOp::create(builder, first, /*withElse=*/false);
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(guarded.thenBlock());
      emitScalarOp(op);
    }
    emitBarrier();
    return success();
  }
  if (emitScalarOp(op))
    return success();
  return op.emitOpError("cannot be compiled for CUDA");
}

LogicalResult DeviceKernel::emitScatter(scf::ForOp loop, int64_t gridX,
                                        int64_t gridY) {
  return emitScatterOp(*loop, gridX, gridY);
}

LogicalResult DeviceKernel::emitScatterOp(Operation &op, int64_t gridX,
                                          int64_t gridY) {
  builder.setLoc(op.getLoc());
  if (isView(op))
    return emitView(op);
  if (isa<scf::ForOp>(op))
    return emitLoop(op, [&](Block &body) -> LogicalResult {
      for (Operation &inner : body.without_terminator())
        if (failed(emitScatterOp(inner, gridX, gridY)))
          return failure();
      return success();
    });
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic) {
    bool isScalar = emitScalarOp(op);
    assert(isScalar && "the body is a generic op and its operands");
    (void)isScalar;
    return success();
  }
  auto target = generic.getDpsInits()[0].getDefiningOp<memref::SubViewOp>();
  Value row =
      castToI64(getScalar(cast<Value>(target.getMixedOffsets().front())));
  Value mask = arith::ConstantIntOp::create(builder, gridY - 1, 64);
  Value isOwn =
      arith::CmpIOp::create(builder, arith::CmpIPredicate::eq,
                            arith::AndIOp::create(builder, row, mask),
                            getBlock(gpu::Dimension::y, builder.getI64Type()));
  auto guarded = scf::IfOp::create(builder, isOwn, /*withElse=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(guarded.thenBlock());
  return emitLoopsInBlocks(generic, *this, gridX);
}

FailureOr<Launch> DeviceKernel::finish(int64_t gridX, int64_t gridY) {
  mark->erase();
  if (arguments.size() > WEIR_CUDA_MAX_ARGUMENTS) {
    emitError(function.getLoc())
        << "becomes a kernel of " << arguments.size()
        << " buffers, where kernels take at most " << WEIR_CUDA_MAX_ARGUMENTS;
    return failure();
  }
  return Launch{module.finish(function), gridX, gridY, arguments};
}
