//===- CudaKernel.cpp - passes that launch kernels ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaKernel.h"

#include "KernelTraffic.h"
#include "LoopKernel.h"

#include "../PassBodies/BufferizeBody.h"

#include "weir/Cuda.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
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

/// Gives scalars that are overwritten before they are used, and constants that
/// something else than a kernel reads, temporaries.
static void addTemporaries(Block &block) {
  OpBuilder builder(block.getParentOp()->getContext());
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
    auto again =
        memref::LoadOp::create(builder, load.getLoc(), saved, ValueRange());
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
// Products
//===----------------------------------------------------------------------===//

/// Whether cuBLASLt can take a matrix with these strides: one of its dimensions
/// must be dense, and rows along the other must not overlap.
static bool isMatrix(int64_t rows, int64_t rowStride, int64_t columns,
                     int64_t columnStride) {
  auto isDense = [](int64_t size, int64_t stride, int64_t otherSize,
                    int64_t otherStride) {
    return (size == 1 || stride == 1) &&
           (otherSize == 1 || otherStride >= size);
  };
  return isDense(rows, rowStride, columns, columnStride) ||
         isDense(columns, columnStride, rows, rowStride);
}

static bool fitsLibrary(const ProductPlan &plan) {
  const ProductDim &m = plan.m, &n = plan.n, &k = plan.k;
  return isMatrix(m.size, m.a, k.size, k.a) &&
         isMatrix(k.size, k.b, n.size, n.b) &&
         isMatrix(m.size, m.c, n.size, n.c);
}

/// Makes loops of a product.
static void makeLoops(linalg::ContractOp contract) {
  IRRewriter rewriter(contract);
  Type element = getElementTypeOrSelf(contract.getDpsInits()[0].getType());
  Attribute initial = rewriter.getUnitAttr();
  if (contract->hasAttr(overwriteName))
    initial = rewriter.getZeroAttr(element);
  FailureOr<linalg::GenericOp> generic =
      linalg::generalizeNamedOp(rewriter, contract);
  assert(succeeded(generic) && "a contract is a generic op");
  (*generic)->setAttr(initialValuesName, rewriter.getArrayAttr(initial));
}

/// The op that adds a row of an argument of the function to the result of
/// `contract`, if nothing else reads that; the row goes to `bias`.
static linalg::GenericOp findBias(linalg::ContractOp contract, Value &bias) {
  auto result = contract.getDpsInits()[0].getDefiningOp<memref::AllocOp>();
  if (!result || !contract->hasAttr(overwriteName) ||
      !llvm::hasNItems(result->getUses(), 2))
    return {};
  linalg::GenericOp add;
  for (Operation *user : result->getUsers())
    if (user != contract)
      add = dyn_cast<linalg::GenericOp>(user);
  if (!add || add->getBlock() != contract->getBlock() ||
      add.getNumDpsInputs() != 2 || add.getNumDpsInits() != 1 ||
      add.getNumReductionLoops() != 0 || add.getNumLoops() == 0 ||
      add.payloadUsesValueFromOperand(&add.getDpsInitsMutable()[0]))
    return {};
  bool isFirst = add.getDpsInputs()[0] == result.getResult();
  OpOperand *sum = add.getDpsInputOperand(isFirst ? 0 : 1);
  OpOperand *row = add.getDpsInputOperand(isFirst ? 1 : 0);
  if (sum->get() != result.getResult())
    return {};
  bias = row->get();
  unsigned rank = add.getNumLoops();
  auto last =
      AffineMap::get(rank, 0, getAffineDimExpr(rank - 1, add.getContext()));
  auto yield = cast<linalg::YieldOp>(add.getBody()->getTerminator());
  auto value = yield.getOperand(0).getDefiningOp<arith::AddFOp>();
  auto isOperand = [&](Value operand) {
    return operand == add.getMatchingBlockArgument(sum) ||
           operand == add.getMatchingBlockArgument(row);
  };
  if (!value || !llvm::hasSingleElement(add.getBody()->without_terminator()) ||
      value.getLhs() == value.getRhs() || !isOperand(value.getLhs()) ||
      !isOperand(value.getRhs()) ||
      !add.getMatchingIndexingMap(sum).isIdentity() ||
      !add.getMatchingIndexingMap(&add.getDpsInitsMutable()[0]).isIdentity() ||
      add.getMatchingIndexingMap(row) != last)
    return {};
  // Temporaries may share memory with what is computed later.
  return isa<BlockArgument>(getRoot(bias)) ? add : linalg::GenericOp();
}

/// Whether `op` or an op inside it uses the buffer `root`.
static bool usesBuffer(Operation &op, Value root) {
  WalkResult result = op.walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      if (isa<MemRefType>(operand.getType()) && getRoot(operand) == root)
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return result.wasInterrupted();
}

/// Makes `contract` write what `add` makes of its result, if it can.
static bool fuseBias(linalg::ContractOp contract, linalg::GenericOp add,
                     Value bias) {
  Value result = contract.getDpsInits()[0];
  Value target = add.getDpsInits()[0];
  auto type = cast<MemRefType>(target.getType());
  ProductPlan plan = planProduct(contract);
  if (type != result.getType() || !plan.batch.empty() || !plan.outer.empty() ||
      !plan.reduced.empty() || plan.n.c != 1 ||
      plan.n.size != type.getShape().back())
    return false;
  // Both buffers must be there, and nothing else may use the target or change
  // the bias, between the product and the sum.
  Value root = getRoot(target), biasRoot = getRoot(bias);
  if (root == biasRoot)
    return false;
  for (Operation *op = contract; op != add; op = op->getNextNode())
    if (usesBuffer(*op, root) || mayWrite(*op, biasRoot))
      return false;
  for (Value needed : {target, bias}) {
    Operation *definition = needed.getDefiningOp();
    if (!definition || definition->isBeforeInBlock(contract))
      continue;
    if (!isa<memref::AllocOp>(definition))
      return false;
    definition->moveBefore(contract);
  }
  contract.getDpsInitsMutable()[0].set(target);
  add.erase();
  result.getDefiningOp()->erase();
  return true;
}

Biases weir::adaptToCuda(func::FuncOp function, bool fuseBiases) {
  Block &block = function.getBody().front();
  addTemporaries(block);
  Biases biases;
  SmallVector<linalg::ContractOp> contracts(block.getOps<linalg::ContractOp>());
  for (linalg::ContractOp contract : contracts) {
    if (!fitsLibrary(planProduct(contract))) {
      makeLoops(contract);
      continue;
    }
    Value bias;
    linalg::GenericOp add =
        fuseBiases ? findBias(contract, bias) : linalg::GenericOp();
    if (add && fuseBias(contract, add, bias))
      biases[contract] = bias;
  }
  return biases;
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
  Value biasBuffer = biases.lookup(op);
  SmallVector<int64_t> record(fields);
  record.push_back(biasBuffer ? WEIR_CUDA_EPILOGUE_BIAS
                              : WEIR_CUDA_EPILOGUE_NONE);
  record.push_back(productBytes);
  static_assert(sizeof(weir_cuda_product) ==
                sizeof(weir_product) + 2 * sizeof(int64_t));
  Value descriptor = constants.getProduct(builder, record);
  Value null = LLVM::ZeroOp::create(
      builder, LLVM::LLVMPointerType::get(builder.getContext()));
  Value bias = biasBuffer ? getBuffer(biasBuffer).base : null;
  Value workspace = productBytes > 0 ? getScratch(productBytes) : null;
  LLVM::CallOp::create(
      builder, TypeRange(), "weir_cuda_multiply",
      ValueRange{getContext(), descriptor, a, b, c, bias, null, workspace});
}

void CudaKernelEmitter::emitLaunch(const Launch &launch, int64_t bytes) {
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext());
  if (!arguments)
    arguments = createStackBuffer(pointer, WEIR_CUDA_MAX_ARGUMENTS);
  for (auto [index, argument] : llvm::enumerate(launch.arguments))
    LLVM::StoreOp::create(
        builder, argument,
        movePointer(builder, arguments, pointer, Value(), index));
  int64_t numArguments = launch.arguments.size();
  // weir_cuda_launch, field by field.
  Value descriptor = constants.getRecord(
      builder, "weir_launch",
      {launch.kernel, launch.gridX, launch.gridY, 1, blockThreads, 1, 1,
       /*shared_bytes=*/0, numArguments, bytes + launch.partialBytes});
  static_assert(sizeof(weir_cuda_launch) == 10 * sizeof(int64_t));
  LLVM::CallOp::create(builder, TypeRange(), "weir_cuda_launch_kernel",
                       ValueRange{getContext(), descriptor, arguments});
}

LogicalResult CudaKernelEmitter::emitGeneric(linalg::GenericOp op) {
  FailureOr<SmallVector<Launch>> launches = emitLoopKernels(
      op, device, *this, [&](int64_t bytes) { return getScratch(bytes); });
  if (failed(launches))
    return failure();
  KernelTraffic traffic = getKernelTraffic(*op);
  for (const Launch &launch : *launches)
    emitLaunch(launch,
               (&launch == &launches->front() ? traffic.operands : 0) +
                   (&launch == &launches->back() ? traffic.results : 0));
  return success();
}

LogicalResult CudaKernelEmitter::emitInOneBlock(Operation &op) {
  DeviceKernel kernel(device, *this, op.getLoc(), "block");
  if (failed(kernel.emitInOneBlock(op)))
    return failure();
  FailureOr<Launch> launch = kernel.finish(1);
  if (failed(launch))
    return failure();
  emitLaunch(*launch, getKernelTraffic(op).getTotal());
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
  emitLaunch(*launch, getKernelTraffic(*loop).getTotal());
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
