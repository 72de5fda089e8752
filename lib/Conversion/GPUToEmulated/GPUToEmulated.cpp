//===- GPUToEmulated.cpp - kernels for the emulated device ----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each kernel becomes a function that runs one of its threads, and the ops that
// ask which thread this is become loads from a structure that the device passes
// (weir/Emulated.h). Everything else is lowered like code of the host.
//
//===----------------------------------------------------------------------===//

#include "weir/Conversion/Passes.h"

#include "../PassBodies/LowerToLLVM.h"

#include "weir/Emulated.h"

#include "mlir/Conversion/LLVMCommon/MemRefBuilder.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace weir {
#define GEN_PASS_DEF_CONVERTGPUTOEMULATED
#include "weir/Conversion/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct ConvertGPUToEmulated
    : public weir::impl::ConvertGPUToEmulatedBase<ConvertGPUToEmulated> {
  using ConvertGPUToEmulatedBase::ConvertGPUToEmulatedBase;

  void runOnOperation() override;

private:
  LogicalResult convert(gpu::GPUModuleOp device);
};

/// What the device must know of a kernel.
struct Kernel {
  std::string name;
  /// Of the function that runs one of its threads.
  std::string function;
  int64_t arguments, sharedBytes = 0;
  bool communicates = false;
};

/// Moves the body of a kernel into a function of the host.
class KernelBody {
public:
  KernelBody(gpu::GPUFuncOp source, ModuleOp into);

  LogicalResult convert();
  const Kernel &getKernel() const { return kernel; }

private:
  LogicalResult bindParameters();
  LogicalResult bindAttributions();
  LogicalResult replace(Operation *op);

  /// An i64 of a weir_emulated_thread.
  Value loadField(size_t offset);
  Value loadField(size_t offset, gpu::Dimension dimension) {
    return loadField(offset + 8 * size_t(dimension));
  }
  Value loadPointer(Value base, int64_t offset);
  Value constant(int64_t value);
  Value linearThread();
  Value toIndex(Value value);
  /// A buffer of static shape at an address.
  Value bufferAt(Value address, MemRefType type);
  Value shuffle(gpu::ShuffleOp op, Value &valid);

  gpu::GPUFuncOp source;
  ModuleOp into;
  ImplicitLocOpBuilder b;
  Kernel kernel;
  Value arguments, thread;
  Type pointer, i64;
  int64_t sites = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// Bodies of kernels
//===----------------------------------------------------------------------===//

KernelBody::KernelBody(gpu::GPUFuncOp source, ModuleOp into)
    : source(source), into(into), b(source.getLoc(), source.getContext()),
      pointer(LLVM::LLVMPointerType::get(source.getContext())),
      i64(b.getI64Type()) {
  kernel.name = source.getName().str();
  kernel.function = (source->getParentOfType<gpu::GPUModuleOp>().getName() +
                     "_" + source.getName())
                        .str();
  kernel.arguments = source.getNumArguments();
}

Value KernelBody::constant(int64_t value) {
  return LLVM::ConstantOp::create(b, i64, b.getI64IntegerAttr(value));
}

Value KernelBody::loadPointer(Value base, int64_t offset) {
  Value at = LLVM::GEPOp::create(b, pointer, b.getI8Type(), base,
                                 ArrayRef<LLVM::GEPArg>{int32_t(offset)});
  return LLVM::LoadOp::create(b, pointer, at);
}

Value KernelBody::loadField(size_t offset) {
  Value at = LLVM::GEPOp::create(b, pointer, b.getI8Type(), thread,
                                 ArrayRef<LLVM::GEPArg>{int32_t(offset)});
  return LLVM::LoadOp::create(b, i64, at);
}

Value KernelBody::toIndex(Value value) {
  return arith::IndexCastOp::create(b, b.getIndexType(), value);
}

/// x fastest, as warps are made.
Value KernelBody::linearThread() {
  const size_t at = offsetof(weir_emulated_thread, thread),
               size = offsetof(weir_emulated_thread, block_size);
  Value z = loadField(at, gpu::Dimension::z);
  Value zy = arith::AddIOp::create(
      b, arith::MulIOp::create(b, z, loadField(size, gpu::Dimension::y)),
      loadField(at, gpu::Dimension::y));
  return arith::AddIOp::create(
      b, arith::MulIOp::create(b, zy, loadField(size, gpu::Dimension::x)),
      loadField(at, gpu::Dimension::x));
}

Value KernelBody::bufferAt(Value address, MemRefType type) {
  LLVMTypeConverter converter(b.getContext());
  Value descriptor = MemRefDescriptor::fromStaticShape(b, b.getLoc(), converter,
                                                       type, address);
  return UnrealizedConversionCastOp::create(b, type, descriptor).getResult(0);
}

LogicalResult KernelBody::bindParameters() {
  // What follows them are attributions.
  auto parameters = source.getArguments().take_front(kernel.arguments);
  for (auto [index, parameter] : llvm::enumerate(parameters)) {
    Value address = loadPointer(arguments, 8 * int64_t(index));
    if (auto type = dyn_cast<MemRefType>(parameter.getType())) {
      if (!type.hasStaticShape() || !type.getLayout().isIdentity())
        return source.emitOpError("parameter ")
               << index << " is no dense buffer of static shape";
      parameter.replaceAllUsesWith(bufferAt(address, type));
    } else if (isa<LLVM::LLVMPointerType>(parameter.getType())) {
      parameter.replaceAllUsesWith(address);
    } else {
      return source.emitOpError("parameter ")
             << index << " is no address, as all parameters of kernels are";
    }
  }
  return success();
}

LogicalResult KernelBody::bindAttributions() {
  DataLayout layout = DataLayout::closest(source);
  for (BlockArgument attribution : source.getWorkgroupAttributions()) {
    auto type = cast<MemRefType>(attribution.getType());
    if (!type.hasStaticShape() || !type.getLayout().isIdentity())
      return source.emitOpError("shared memory of no static shape");
    int64_t element = int64_t(layout.getTypeSize(type.getElementType()));
    // As aligned as anything needs.
    kernel.sharedBytes = llvm::alignTo(kernel.sharedBytes, 64);
    Value shared = loadPointer(thread, offsetof(weir_emulated_thread, shared));
    Value address = LLVM::GEPOp::create(
        b, pointer, b.getI8Type(), shared,
        ArrayRef<LLVM::GEPArg>{int32_t(kernel.sharedBytes)});
    kernel.sharedBytes += type.getNumElements() * element;
    attribution.replaceAllUsesWith(bufferAt(address, type));
  }
  for (BlockArgument attribution : source.getPrivateAttributions())
    attribution.replaceAllUsesWith(memref::AllocaOp::create(
        b, cast<MemRefType>(attribution.getType()), b.getI64IntegerAttr(64)));
  return success();
}

/// The op exchanges bits.
Value KernelBody::shuffle(gpu::ShuffleOp op, Value &valid) {
  Type type = op.getValue().getType();
  unsigned width = type.getIntOrFloatBitWidth();
  Type bits = b.getIntegerType(width);
  Value value = op.getValue();
  if (isa<FloatType>(type))
    value = arith::BitcastOp::create(b, bits, value);
  if (width < 64)
    value = arith::ExtUIOp::create(b, i64, value);
  int32_t mode = WEIR_EMULATED_SHUFFLE_XOR;
  switch (op.getMode()) {
  case gpu::ShuffleMode::XOR:
    break;
  case gpu::ShuffleMode::DOWN:
    mode = WEIR_EMULATED_SHUFFLE_DOWN;
    break;
  case gpu::ShuffleMode::UP:
    mode = WEIR_EMULATED_SHUFFLE_UP;
    break;
  case gpu::ShuffleMode::IDX:
    mode = WEIR_EMULATED_SHUFFLE_IDX;
    break;
  }
  // weir_emulated_shuffled comes back in two registers.
  auto resultType =
      LLVM::LLVMStructType::getLiteral(b.getContext(), {i64, i64});
  Value modeValue =
      LLVM::ConstantOp::create(b, b.getI32Type(), b.getI32IntegerAttr(mode));
  Value result =
      LLVM::CallOp::create(b, TypeRange{resultType}, "weir_emulated_shuffle",
                           ValueRange{thread, constant(sites++), modeValue,
                                      value, op.getOffset(), op.getWidth()})
          .getResult();
  valid = arith::TruncIOp::create(b, b.getI1Type(),
                                  LLVM::ExtractValueOp::create(b, result, 1));
  value = LLVM::ExtractValueOp::create(b, result, 0);
  if (width < 64)
    value = arith::TruncIOp::create(b, bits, value);
  if (isa<FloatType>(type))
    value = arith::BitcastOp::create(b, type, value);
  return value;
}

LogicalResult KernelBody::replace(Operation *op) {
  b.setInsertionPoint(op);
  b.setLoc(op->getLoc());
  auto replaceBy = [&](ValueRange values) {
    op->replaceAllUsesWith(values);
    op->erase();
    return success();
  };
  auto replaceByField = [&](size_t offset, gpu::Dimension dimension) {
    return replaceBy(toIndex(loadField(offset, dimension)));
  };
  const size_t blockOffset = offsetof(weir_emulated_thread, block);
  const size_t threadOffset = offsetof(weir_emulated_thread, thread);
  const size_t sizeOffset = offsetof(weir_emulated_thread, block_size);
  const size_t gridOffset = offsetof(weir_emulated_thread, grid_size);
  const int64_t warp = WEIR_EMULATED_WARP_SIZE;

  return TypeSwitch<Operation *, LogicalResult>(op)
      .Case([&](gpu::ThreadIdOp id) {
        return replaceByField(threadOffset, id.getDimension());
      })
      .Case([&](gpu::BlockIdOp id) {
        return replaceByField(blockOffset, id.getDimension());
      })
      .Case([&](gpu::BlockDimOp size) {
        return replaceByField(sizeOffset, size.getDimension());
      })
      .Case([&](gpu::GridDimOp size) {
        return replaceByField(gridOffset, size.getDimension());
      })
      .Case([&](gpu::GlobalIdOp id) {
        gpu::Dimension dimension = id.getDimension();
        Value first =
            arith::MulIOp::create(b, loadField(blockOffset, dimension),
                                  loadField(sizeOffset, dimension));
        return replaceBy(toIndex(arith::AddIOp::create(
            b, first, loadField(threadOffset, dimension))));
      })
      .Case([&](gpu::LaneIdOp) {
        return replaceBy(
            toIndex(arith::RemUIOp::create(b, linearThread(), constant(warp))));
      })
      .Case([&](gpu::SubgroupIdOp) {
        return replaceBy(
            toIndex(arith::DivUIOp::create(b, linearThread(), constant(warp))));
      })
      .Case([&](gpu::SubgroupSizeOp) {
        return replaceBy(toIndex(constant(warp)));
      })
      .Case([&](gpu::NumSubgroupsOp) {
        Value threads = arith::MulIOp::create(
            b, loadField(sizeOffset, gpu::Dimension::x),
            arith::MulIOp::create(b, loadField(sizeOffset, gpu::Dimension::y),
                                  loadField(sizeOffset, gpu::Dimension::z)));
        return replaceBy(
            toIndex(arith::CeilDivUIOp::create(b, threads, constant(warp))));
      })
      .Case([&](gpu::BarrierOp) {
        kernel.communicates = true;
        LLVM::CallOp::create(b, TypeRange{}, "weir_emulated_barrier",
                             ValueRange{thread, constant(sites++)});
        return replaceBy({});
      })
      .Case([&](gpu::ShuffleOp shuffleOp) -> LogicalResult {
        if (!shuffleOp.getValue().getType().isIntOrFloat())
          return op->emitOpError("of a vector: shuffle its elements");
        kernel.communicates = true;
        Value valid, value = shuffle(shuffleOp, valid);
        return replaceBy({value, valid});
      })
      .Case([&](gpu::ReturnOp) {
        func::ReturnOp::create(b);
        op->erase();
        return success();
      })
      // All memory is of one kind here.
      .Case<memref::MemorySpaceCastOp, LLVM::AddrSpaceCastOp>(
          [&](Operation *cast) { return replaceBy(cast->getOperands()); })
      .Default([&](Operation *other) -> LogicalResult {
        if (isa<gpu::GPUDialect, NVVM::NVVMDialect>(other->getDialect()))
          return other->emitOpError(
              "has no form on the emulated device; lower it to other ops "
              "before convert-gpu-to-emulated");
        return success();
      });
}

LogicalResult KernelBody::convert() {
  if (source.getNumResults() != 0)
    return source.emitOpError("returns values, which no kernel does");
  b.setInsertionPointToEnd(into.getBody());
  auto function = func::FuncOp::create(
      b, kernel.function, b.getFunctionType({pointer, pointer}, {}));
  Block *entry = function.addEntryBlock();
  arguments = entry->getArgument(0);
  thread = entry->getArgument(1);
  b.setInsertionPointToStart(entry);
  if (failed(bindParameters()) || failed(bindAttributions()))
    return failure();

  Block &first = source.getBody().front();
  first.eraseArguments(0, first.getNumArguments());
  cf::BranchOp::create(b, &first);
  function.getBody().getBlocks().splice(function.getBody().end(),
                                        source.getBody().getBlocks());
  WalkResult result = function.walk([&](Operation *op) {
    return failed(replace(op)) ? WalkResult::interrupt()
                               : WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

//===----------------------------------------------------------------------===//
// Modules
//===----------------------------------------------------------------------===//

/// Buffers and addresses of every memory space become those of the host's.
static void forgetMemorySpaces(gpu::GPUModuleOp device) {
  AttrTypeReplacer replacer;
  replacer.addReplacement([](MemRefType type) -> std::optional<Type> {
    return MemRefType(MemRefType::Builder(type).setMemorySpace(Attribute()));
  });
  replacer.addReplacement(
      [](LLVM::LLVMPointerType type) -> std::optional<Type> {
        return LLVM::LLVMPointerType::get(type.getContext());
      });
  replacer.recursivelyReplaceElementsIn(device, /*replaceAttrs=*/true,
                                        /*replaceLocs=*/false,
                                        /*replaceTypes=*/true);
  device.walk([](LLVM::GlobalOp global) { global.setAddrSpace(0); });
}

static void declareDevice(ModuleOp host) {
  auto b = ImplicitLocOpBuilder::atBlockBegin(host.getLoc(), host.getBody());
  Type pointer = LLVM::LLVMPointerType::get(b.getContext());
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  auto declare = [&](StringRef name, Type result, ArrayRef<Type> parameters) {
    LLVM::LLVMFuncOp::create(b, name,
                             LLVM::LLVMFunctionType::get(result, parameters));
  };
  declare("weir_emulated_barrier", LLVM::LLVMVoidType::get(b.getContext()),
          {pointer, i64});
  declare("weir_emulated_access", LLVM::LLVMVoidType::get(b.getContext()),
          {pointer, i64, pointer, i64, i64});
  declare("weir_emulated_shuffle",
          LLVM::LLVMStructType::getLiteral(b.getContext(), {i64, i64}),
          {pointer, i64, i32, i64, i32, i32});
}

/// Whether an address may be in memory of a device: not on the stack, no
/// constant, and not what the device passes to the thread.
static bool mayBeOnDevice(Value address, LLVM::LLVMFuncOp function) {
  while (auto moved = address.getDefiningOp<LLVM::GEPOp>())
    address = moved.getBase();
  return !llvm::is_contained(function.getArguments(), address) &&
         !isa_and_present<LLVM::AllocaOp, LLVM::AddressOfOp>(
             address.getDefiningOp());
}

namespace {

/// Adds a call of weir_emulated_access in front of each op that touches memory.
class AccessReports {
public:
  explicit AccessReports(LLVM::LLVMFuncOp function)
      : function(function), b(function.getLoc(), function.getContext()),
        layout(DataLayout::closest(function)) {}

  void add() {
    function.walk([&](Operation *op) {
      b.setInsertionPoint(op);
      b.setLoc(op->getLoc());
      TypeSwitch<Operation *>(op)
          .Case([&](LLVM::LoadOp load) {
            report(load.getAddr(), bytesOf(load.getType()), false);
          })
          .Case([&](LLVM::StoreOp store) {
            report(store.getAddr(), bytesOf(store.getValue().getType()), true);
          })
          .Case([&](LLVM::AtomicRMWOp update) {
            report(update.getPtr(), bytesOf(update.getType()), true);
          })
          .Case([&](LLVM::MaskedLoadOp load) {
            reportLanes(load.getData(), load.getMask(),
                        load->getResult(0).getType(), false);
          })
          .Case([&](LLVM::MaskedStoreOp store) {
            reportLanes(store.getData(), store.getMask(),
                        store.getValue().getType(), true);
          })
          .Case<LLVM::MemcpyOp, LLVM::MemmoveOp>([&](auto copy) {
            report(copy.getSrc(), copy.getLen(), false);
            report(copy.getDst(), copy.getLen(), true);
          })
          .Case([&](LLVM::MemsetOp set) {
            report(set.getDst(), set.getLen(), true);
          });
    });
  }

private:
  Value constant(int64_t value) {
    return LLVM::ConstantOp::create(b, b.getI64Type(),
                                    b.getI64IntegerAttr(value));
  }
  int64_t bytesOf(Type type) { return int64_t(layout.getTypeSize(type)); }

  void report(Value address, int64_t bytes, bool write) {
    if (mayBeOnDevice(address, function))
      report(address, constant(bytes), write);
  }

  void report(Value address, Value bytes, bool write) {
    if (!mayBeOnDevice(address, function))
      return;
    if (bytes.getType() != b.getI64Type())
      bytes = LLVM::ZExtOp::create(b, b.getI64Type(), bytes);
    LLVM::CallOp::create(b, TypeRange{}, "weir_emulated_access",
                         ValueRange{function.getArgument(1), constant(sites++),
                                    address, bytes, constant(write)});
  }

  /// Lanes that are masked out touch 0 bytes.
  void reportLanes(Value address, Value mask, Type vector, bool write) {
    auto type = cast<VectorType>(vector);
    Value bytes = constant(bytesOf(type.getElementType()));
    Value none = constant(0);
    for (int64_t lane = 0; lane < type.getNumElements(); ++lane) {
      Value at =
          LLVM::GEPOp::create(b, address.getType(), type.getElementType(),
                              address, ArrayRef<LLVM::GEPArg>{int32_t(lane)});
      Value active = LLVM::ExtractElementOp::create(b, mask, constant(lane));
      report(at, LLVM::SelectOp::create(b, active, bytes, none), write);
    }
  }

  LLVM::LLVMFuncOp function;
  ImplicitLocOpBuilder b;
  DataLayout layout;
  int64_t sites = 0;
};

} // namespace

/// A constant whose value is computed by `build`.
static LLVM::GlobalOp createConstant(ImplicitLocOpBuilder &b, Type type,
                                     StringRef name, LLVM::Linkage linkage,
                                     function_ref<Value()> build) {
  auto global = LLVM::GlobalOp::create(b, type, /*isConstant=*/true, linkage,
                                       name, Attribute(), /*alignment=*/8);
  OpBuilder::InsertionGuard guard(b);
  b.createBlock(&global.getInitializerRegion());
  LLVM::ReturnOp::create(b, build());
  return global;
}

/// The weir_emulated_image of the kernels.
static void createImage(ImplicitLocOpBuilder &b, StringRef deviceName,
                        ArrayRef<Kernel> kernels, bool reportsAccesses) {
  MLIRContext *context = b.getContext();
  Type pointer = LLVM::LLVMPointerType::get(context), i64 = b.getI64Type();
  auto number = [&](int64_t value) -> Value {
    return LLVM::ConstantOp::create(b, i64, b.getI64IntegerAttr(value));
  };
  auto address = [&](const Twine &symbol) -> Value {
    SmallString<64> storage;
    return LLVM::AddressOfOp::create(b, pointer, symbol.toStringRef(storage));
  };
  auto insert = [&](Value into, ArrayRef<Value> values,
                    ArrayRef<int64_t> prefix) {
    for (auto [field, value] : llvm::enumerate(values)) {
      SmallVector<int64_t> position(prefix);
      position.push_back(int64_t(field));
      into = LLVM::InsertValueOp::create(b, into, value, position);
    }
    return into;
  };

  for (const Kernel &kernel : kernels) {
    std::string name = kernel.name + '\0';
    LLVM::GlobalOp::create(b,
                           LLVM::LLVMArrayType::get(b.getI8Type(), name.size()),
                           /*isConstant=*/true, LLVM::Linkage::Internal,
                           kernel.function + "_name", b.getStringAttr(name));
  }
  auto record = LLVM::LLVMStructType::getLiteral(
      context, {pointer, pointer, i64, i64, i64});
  auto table = LLVM::LLVMArrayType::get(record, kernels.size());
  createConstant(
      b, table, (deviceName + "_kernels").str(), LLVM::Linkage::Internal, [&] {
        Value value = LLVM::PoisonOp::create(b, table);
        for (auto [index, kernel] : llvm::enumerate(kernels))
          value = insert(
              value,
              {address(kernel.function + "_name"), address(kernel.function),
               number(kernel.arguments), number(kernel.sharedBytes),
               number((kernel.communicates ? WEIR_EMULATED_COMMUNICATES : 0) +
                      (reportsAccesses ? WEIR_EMULATED_REPORTS_ACCESSES : 0))},
              {int64_t(index)});
        return value;
      });
  auto image = LLVM::LLVMStructType::getLiteral(context, {i64, i64, pointer});
  createConstant(b, image, (deviceName + "_image").str(),
                 LLVM::Linkage::External, [&] {
                   return insert(LLVM::PoisonOp::create(b, image),
                                 {number(WEIR_EMULATED_MAGIC),
                                  number(int64_t(kernels.size())),
                                  address(deviceName + "_kernels")},
                                 {});
                 });
}

/// Moves what `from` holds in front of `before`. Declarations that are there
/// already are left out.
static LogicalResult moveContents(ModuleOp from, Operation *before) {
  auto host = before->getParentOfType<ModuleOp>();
  SymbolTable symbols(host);
  for (Operation &op : llvm::make_early_inc_range(*from.getBody())) {
    auto name = SymbolTable::getSymbolName(&op);
    if (Operation *other = symbols.lookup(name)) {
      auto function = dyn_cast<LLVM::LLVMFuncOp>(op);
      if (function && function.isExternal() && isa<LLVM::LLVMFuncOp>(other)) {
        op.erase();
        continue;
      }
      return op.emitOpError("has the name of another symbol of the host")
                 .attachNote(other->getLoc())
             << "the other symbol";
    }
    op.moveBefore(before);
    symbols.insert(&op);
  }
  return success();
}

LogicalResult ConvertGPUToEmulated::convert(gpu::GPUModuleOp device) {
  forgetMemorySpaces(device);
  // All but kernels, such as constants, moves along.
  OpBuilder builder(device);
  auto lowered = ModuleOp::create(builder, device.getLoc());
  declareDevice(lowered);
  SmallVector<Kernel> kernels;
  for (Operation &op : llvm::make_early_inc_range(*device.getBody())) {
    auto function = dyn_cast<gpu::GPUFuncOp>(op);
    if (!function) {
      op.moveBefore(lowered.getBody(), lowered.getBody()->end());
      continue;
    }
    KernelBody body(function, lowered);
    if (failed(body.convert()))
      return failure();
    kernels.push_back(body.getKernel());
  }

  OpPassManager simplify(ModuleOp::getOperationName());
  simplify.addPass(createConvertVectorToSCFPass());
  simplify.addPass(memref::createExpandStridedMetadataPass());
  simplify.addPass(createLowerAffinePass());
  // Masks, transposes and the like in terms of simpler ops first.
  simplify.addPass(createConvertVectorToLLVMPass());
  OpPassManager reconcile(ModuleOp::getOperationName());
  reconcile.addPass(createReconcileUnrealizedCastsPass());
  // So that addresses lead straight to where they come from.
  reconcile.addPass(createCanonicalizerPass());
  if (failed(runPipeline(simplify, lowered)) || failed(lowerToLLVM(lowered)) ||
      failed(runPipeline(reconcile, lowered)))
    return failure();
  auto b = ImplicitLocOpBuilder::atBlockEnd(device.getLoc(), lowered.getBody());
  createImage(b, device.getName(), kernels, reportAccesses);
  for (const Kernel &kernel : kernels) {
    auto function = lowered.lookupSymbol<LLVM::LLVMFuncOp>(kernel.function);
    function.setLinkage(LLVM::Linkage::Internal);
    if (reportAccesses)
      AccessReports(function).add();
  }
  if (failed(moveContents(lowered, device)))
    return failure();
  lowered.erase();
  device.erase();
  return success();
}

void ConvertGPUToEmulated::runOnOperation() {
  SmallVector<gpu::GPUModuleOp> devices;
  getOperation().walk(
      [&](gpu::GPUModuleOp device) { devices.push_back(device); });
  for (gpu::GPUModuleOp device : devices)
    if (failed(convert(device)))
      return signalPassFailure();
}
