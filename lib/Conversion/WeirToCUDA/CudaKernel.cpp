//===- CudaKernel.cpp - passes that launch kernels ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaKernel.h"

#include "LoopKernel.h"

#include "../PassBodies/BufferizeBody.h"

#include "weir/Cuda.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Interfaces/ViewLikeInterface.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace weir;

/// Alignment of what products and reductions use meanwhile.
static constexpr int64_t scratchAlignment = 256;
/// Blocks among which the rows of a scattered table are shared.
static constexpr int64_t scatterShares = 64;

//===----------------------------------------------------------------------===//
// Scalars and constants
//===----------------------------------------------------------------------===//

static Value getRoot(Value memref) {
  while (auto view = memref.getDefiningOp<ViewLikeOpInterface>())
    memref = view.getViewSource();
  return memref;
}

/// Whether `op` or an op inside it uses the buffer `root` otherwise than by a
/// view or a load.
static bool mayWrite(Operation &op, Value root) {
  WalkResult result = op.walk([&](Operation *inner) {
    if (isView(*inner) || isa<memref::LoadOp>(inner))
      return WalkResult::advance();
    for (Value operand : inner->getOperands())
      if (isa<MemRefType>(operand.getType()) && getRoot(operand) == root)
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return result.wasInterrupted();
}

/// The last op of the block that needs the scalar `value`, itself or by what is
/// computed of it.
static Operation *getLastUser(Value value, Block &block) {
  Operation *last = value.getDefiningOp();
  for (Operation *user : value.getUsers()) {
    Operation *top = block.findAncestorOpInBlock(*user);
    if (top->getNumResults() == 1 &&
        !isa<MemRefType>(top->getResult(0).getType()))
      top = getLastUser(top->getResult(0), block);
    else if (isView(*top))
      top = block.getTerminator();
    if (last->isBeforeInBlock(top))
      last = top;
  }
  return last;
}

void weir::adaptToCuda(func::FuncOp function) {
  Block &block = function.getBody().front();
  OpBuilder builder(function.getContext());
  // Kernels compute scalars again, from what memory holds then.
  for (auto load : llvm::make_early_inc_range(block.getOps<memref::LoadOp>())) {
    Value root = getRoot(load.getMemRef());
    Operation *last = getLastUser(load, block);
    bool isOverwritten = false;
    for (Operation *op = load->getNextNode(); op && op != last;
         op = op->getNextNode())
      isOverwritten |= mayWrite(*op, root);
    if (!isOverwritten)
      continue;
    builder.setInsertionPoint(load);
    auto saved = memref::AllocOp::create(builder, load.getLoc(),
                                         MemRefType::get({}, load.getType()));
    builder.setInsertionPointAfter(load);
    memref::StoreOp::create(builder, load.getLoc(), load, saved, ValueRange());
    auto again = memref::LoadOp::create(builder, load.getLoc(), saved, ValueRange());
    load.getResult().replaceUsesWithIf(again, [&](OpOperand &use) {
      return use.getOwner()->getBlock() != &block ||
             again->isBeforeInBlock(use.getOwner());
    });
  }
  for (auto global :
       llvm::make_early_inc_range(block.getOps<memref::GetGlobalOp>())) {
    if (llvm::all_of(global->getUsers(), [](Operation *user) {
          return isa<linalg::GenericOp, memref::LoadOp, memref::CopyOp>(user);
        }))
      continue;
    builder.setInsertionPointAfter(global);
    MemRefType type = global.getType();
    auto copied = memref::AllocOp::create(
        builder, global.getLoc(),
        MemRefType::get(type.getShape(), type.getElementType()));
    auto copy =
        memref::CopyOp::create(builder, global.getLoc(), global, copied);
    global.getResult().replaceAllUsesExcept(copied, copy);
  }
}

//===----------------------------------------------------------------------===//
// CudaKernelEmitter
//===----------------------------------------------------------------------===//

int64_t CudaKernelEmitter::getWorkspaceBytes() const {
  return scratchBytes == 0 ? temporaryBytes
                           : temporaryBytes + scratchBytes + scratchAlignment;
}

Value CudaKernelEmitter::getScratch(int64_t bytes) {
  scratchBytes = std::max(scratchBytes, bytes);
  if (scratch)
    return scratch;
  Value workspace = getWorkspace();
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointAfterValue(workspace);
  Value end = movePointer(builder, workspace, builder.getI8Type(), Value(),
                          temporaryBytes + scratchAlignment - 1);
  Value address = LLVM::PtrToIntOp::create(builder, builder.getI64Type(), end);
  Value mask = arith::ConstantIntOp::create(builder, -scratchAlignment, 64);
  scratch = LLVM::IntToPtrOp::create(
      builder, LLVM::LLVMPointerType::get(builder.getContext()),
      arith::AndIOp::create(builder, address, mask).getResult());
  return scratch;
}

void CudaKernelEmitter::emitProduct(linalg::ContractOp op,
                                    ArrayRef<int64_t> fields, Value a, Value b,
                                    Value c) {
  SmallVector<int64_t> record(fields);
  record.push_back(WEIR_CUDA_EPILOGUE_NONE);
  record.push_back(productBytes);
  static_assert(sizeof(weir_cuda_product) ==
                sizeof(weir_product) + 2 * sizeof(int64_t));
  Value descriptor = constants.getProduct(builder, record);
  Value null = LLVM::ZeroOp::create(
      builder, LLVM::LLVMPointerType::get(builder.getContext()));
  Value workspace = productBytes > 0 ? getScratch(productBytes) : null;
  LLVM::CallOp::create(
      builder, TypeRange(), "weir_cuda_multiply",
      ValueRange{getContext(), descriptor, a, b, c, null, null, workspace});
}

void CudaKernelEmitter::emitLaunch(const Launch &launch) {
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  if (!arguments)
    arguments = createStackBuffer(pointer, WEIR_CUDA_MAX_ARGUMENTS);
  for (auto [index, argument] : llvm::enumerate(launch.arguments))
    LLVM::StoreOp::create(
        builder, argument,
        movePointer(builder, arguments, pointer, Value(), index));
  int64_t numArguments = launch.arguments.size();
  // weir_cuda_launch, field by field.
  Value descriptor = constants.getRecord(builder, "weir_launch",
                                         {launch.kernel, launch.gridX,
                                          launch.gridY, 1, blockThreads, 1, 1,
                                          /*shared_bytes=*/0, numArguments});
  static_assert(sizeof(weir_cuda_launch) == 9 * sizeof(int64_t));
  LLVM::CallOp::create(builder, TypeRange(), "weir_cuda_launch_kernel",
                       ValueRange{getContext(), descriptor, arguments});
}

LogicalResult CudaKernelEmitter::emitGeneric(linalg::GenericOp op) {
  FailureOr<SmallVector<Launch>> launches = emitLoopKernels(
      op, device, *this, [&](int64_t bytes) { return getScratch(bytes); });
  if (failed(launches))
    return failure();
  for (const Launch &launch : *launches)
    emitLaunch(launch);
  return success();
}

LogicalResult CudaKernelEmitter::emitInOneBlock(Operation &op) {
  DeviceKernel kernel(device, *this, op.getLoc(), "block");
  if (failed(kernel.emitInOneBlock(op)))
    return failure();
  FailureOr<Launch> launch = kernel.finish(1);
  if (failed(launch))
    return failure();
  emitLaunch(*launch);
  return success();
}

LogicalResult CudaKernelEmitter::emitScatter(scf::ForOp loop) {
  memref::SubViewOp table;
  loop.walk([&](linalg::GenericOp add) {
    table = add.getDpsInits()[0].getDefiningOp<memref::SubViewOp>();
  });
  ArrayRef<int64_t> shape = table.getSource().getType().getShape();
  int64_t gridX = llvm::divideCeil(shape.back(), blockThreads);
  int64_t gridY = std::min<int64_t>(scatterShares,
                                    int64_t(1) << llvm::Log2_64(shape.front()));
  DeviceKernel kernel(device, *this, loop.getLoc(), "scatter");
  if (failed(kernel.emitScatter(loop, gridX, gridY)))
    return failure();
  FailureOr<Launch> launch = kernel.finish(gridX, gridY);
  if (failed(launch))
    return failure();
  emitLaunch(*launch);
  return success();
}

LogicalResult CudaKernelEmitter::emitOp(Operation &op) {
  auto isUnknown = [&](Value operand) {
    if (isa<MemRefType>(operand.getType()))
      return !hasBuffer(operand);
    return !getScalar(operand);
  };
  bool hasUnknown = llvm::any_of(op.getOperands(), isUnknown);
  // Kernels take such a view themselves.
  if (isView(op) && hasUnknown)
    return success();
  if (isa<linalg::ContractOp, CallKernelOp>(op) && hasUnknown)
    return op.emitOpError("cannot be compiled for CUDA: it has a slice at a "
                          "position that is known on the device only");
  return KernelEmitter::emitOp(op);
}

LogicalResult CudaKernelEmitter::emitTargetOp(Operation &op) {
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return emitGeneric(generic);
  if (auto copy = dyn_cast<memref::CopyOp>(op)) {
    Value source = copy.getSource(), target = copy.getTarget();
    // A result that was computed in its destination.
    if (hasBuffer(source) && hasBuffer(target) &&
        getBuffer(source).base == getBuffer(target).base &&
        getBuffer(source).strides == getBuffer(target).strides)
      return success();
    linalg::GenericOp generic = copyAsGeneric(copy);
    LogicalResult result = emitGeneric(generic);
    generic.erase();
    return result;
  }
  if (auto global = dyn_cast<memref::GetGlobalOp>(op)) {
    if (getConstantElements(global))
      return success();
    return op.emitOpError("cannot be compiled for CUDA: the elements of a "
                          "constant must be in the module");
  }
  if (auto loop = dyn_cast<scf::ForOp>(op)) {
    if (loop->hasAttr(scatterName))
      return emitScatter(loop);
    return emitInOneBlock(op);
  }
  if (isa<memref::StoreOp>(op))
    return emitInOneBlock(op);
  // Kernels compute a scalar where they use it; slices at constant positions
  // need it here.
  if (isa<memref::LoadOp>(op))
    return success();
  if (isa<arith::ArithDialect, math::MathDialect>(op.getDialect())) {
    if (llvm::all_of(op.getOperands(),
                     [&](Value operand) { return bool(getScalar(operand)); }))
      emitScalarOp(op);
    return success();
  }
  return op.emitOpError("cannot be compiled for CUDA");
}
