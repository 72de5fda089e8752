//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"

#include "weir/Autodiff/DifferentiableOpInterface.h"
#include "weir/Dialect/IR/WeirDialect.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Verifier.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/Support/TargetSelect.h"

#include <map>

using namespace mlir;
using namespace weir;
using namespace weir::test;

Tensor Tensor::ofFloats(ArrayRef<int64_t> shape) {
  return {
      shape.vec(), std::vector<double>(ShapedType::getNumElements(shape)), {}};
}

Tensor Tensor::ofIntegers(ArrayRef<int64_t> shape) {
  return {
      shape.vec(), {}, std::vector<int32_t>(ShapedType::getNumElements(shape))};
}

MLIRContext &weir::test::getContext() {
  static MLIRContext *context = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    mlir::registerAllPasses();
    registerWeirDifferentiate();
    DialectRegistry registry;
    mlir::registerAllDialects(registry);
    mlir::registerAllExtensions(registry);
    registry.insert<WeirDialect>();
    registerDerivativeRules(registry);
    registerBuiltinDialectTranslation(registry);
    registerLLVMDialectTranslation(registry);
    return new MLIRContext(registry, MLIRContext::Threading::DISABLED);
  }();
  return *context;
}

OwningOpRef<ModuleOp> weir::test::parseModel(StringRef text) {
  return parseSourceString<ModuleOp>(text, &getContext());
}

func::FuncOp weir::test::getFunction(ModuleOp module) {
  return *module.getOps<func::FuncOp>().begin();
}

LogicalResult weir::test::runPasses(ModuleOp module, StringRef pipeline) {
  PassManager passes(module.getContext());
  if (failed(parsePassPipeline(pipeline, passes)))
    return failure();
  return passes.run(module);
}

//===----------------------------------------------------------------------===//
// From weir to ops that upstream can compile
//===----------------------------------------------------------------------===//

static Value elementAt(OpBuilder &b, Location loc, Value tensor,
                       ValueRange indices) {
  return tensor::ExtractOp::create(b, loc, tensor, indices);
}

static Value rowNumber(OpBuilder &b, Location loc, Value indices,
                       ValueRange position) {
  Value number = elementAt(b, loc, indices, position);
  if (isa<IndexType>(number.getType()))
    return number;
  return arith::IndexCastOp::create(b, loc, b.getIndexType(), number);
}

static void expandGather(tensor::GatherOp op) {
  OpBuilder b(op);
  RankedTensorType type = op.getResultType();
  int64_t leading = op.getIndicesType().getRank() - 1;
  int64_t tableRank = op.getSourceType().getRank();
  bool keepsDims = type.getRank() == leading + tableRank;
  Value empty = tensor::EmptyOp::create(b, op.getLoc(), type, ValueRange{});
  SmallVector<utils::IteratorType> iterators(type.getRank(),
                                             utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, op.getLoc(), TypeRange{type}, ValueRange{}, ValueRange{empty},
      {b.getMultiDimIdentityMap(type.getRank())}, iterators,
      [&](OpBuilder &b, Location loc, ValueRange) {
        SmallVector<Value> position, element(tableRank);
        for (int64_t i = 0; i < leading; ++i)
          position.push_back(linalg::IndexOp::create(b, loc, i));
        position.emplace_back();
        for (auto [i, dim] : llvm::enumerate(op.getGatherDims())) {
          position.back() = arith::ConstantIndexOp::create(b, loc, i);
          element[dim] = rowNumber(b, loc, op.getIndices(), position);
        }
        int64_t loop = leading;
        for (Value &coordinate : element) {
          if (!coordinate)
            coordinate = linalg::IndexOp::create(b, loc, loop++);
          else if (keepsDims)
            ++loop;
        }
        linalg::YieldOp::create(b, loc,
                                elementAt(b, loc, op.getSource(), element));
      });
  op.getResult().replaceAllUsesWith(generic.getResult(0));
  op.erase();
}

static void expandScatterAdd(ScatterAddOp op) {
  OpBuilder b(op);
  Location loc = op.getLoc();
  auto updates = cast<RankedTensorType>(op.getUpdates().getType());
  Value zero = arith::ConstantIndexOp::create(b, loc, 0);
  Value one = arith::ConstantIndexOp::create(b, loc, 1);
  SmallVector<Value> lower(updates.getRank(), zero);
  SmallVector<Value> steps(updates.getRank(), one), upper;
  for (int64_t size : updates.getShape())
    upper.push_back(arith::ConstantIndexOp::create(b, loc, size));
  scf::LoopNest nest = scf::buildLoopNest(
      b, loc, lower, upper, steps, ValueRange{op.getInit()},
      [&](OpBuilder &b, Location loc, ValueRange loops,
          ValueRange table) -> scf::ValueVector {
        Value row = rowNumber(b, loc, op.getIndices(), loops.drop_back());
        Value old = elementAt(b, loc, table[0], {row, loops.back()});
        Value update = elementAt(b, loc, op.getUpdates(), loops);
        Value sum = arith::AddFOp::create(b, loc, old, update);
        return {tensor::InsertOp::create(b, loc, sum, table[0],
                                         ValueRange{row, loops.back()})};
      });
  op.getResult().replaceAllUsesWith(nest.results.front());
  op.erase();
}

/// Makes variables arguments, and gradients results.
static void makeFunctional(ModuleOp module) {
  func::FuncOp function = getFunction(module);
  Block &body = function.getBody().front();
  std::map<std::string, Value> values;
  std::map<std::string, std::map<int64_t, Value>> gradients;
  SmallVector<VariableOp> variables(module.getOps<VariableOp>());
  for (VariableOp variable : variables)
    values[variable.getSymName().str()] =
        body.addArgument(variable.getType(), variable.getLoc());

  SmallVector<Value> results(body.getTerminator()->getOperands());
  for (Operation &op : llvm::make_early_inc_range(body)) {
    if (auto read = dyn_cast<ReadOp>(op)) {
      read.replaceAllUsesWith(values[read.getVariable().str()]);
      op.erase();
    } else if (auto accumulate = dyn_cast<AccumulateOp>(op)) {
      gradients[accumulate.getVariable().str()][accumulate.getUse()] =
          accumulate.getGradient();
      op.erase();
    } else if (auto report = dyn_cast<ReportOp>(op)) {
      results = {report.getLoss(), report.getCount()};
      op.erase();
    } else if (auto gather = dyn_cast<tensor::GatherOp>(op)) {
      expandGather(gather);
    } else if (auto scatter = dyn_cast<ScatterAddOp>(op)) {
      expandScatterAdd(scatter);
    }
  }

  Operation *terminator = body.getTerminator();
  OpBuilder b(terminator);
  bool joint = function->hasAttr(attr::joint);
  for (VariableOp variable : variables) {
    Value sum;
    for (auto [use, gradient] : gradients[variable.getSymName().str()])
      sum = sum ? arith::AddFOp::create(b, variable.getLoc(), sum, gradient)
                      .getResult()
                : gradient;
    if (joint && !sum)
      sum = arith::ConstantOp::create(b, variable.getLoc(),
                                      b.getZeroAttr(variable.getType()));
    if (joint)
      results.push_back(sum);
    variable.erase();
  }
  terminator->setOperands(results);

  function.removeArgAttrsAttr();
  function->removeAttr(attr::model);
  function->removeAttr(attr::joint);
  function.setFunctionType(b.getFunctionType(body.getArgumentTypes(),
                                             ValueRange(results).getTypes()));
  // The test calls the function again with the same arguments.
  for (unsigned i = 0; i < body.getNumArguments(); ++i)
    function.setArgAttr(i, "bufferization.writable", b.getBoolAttr(false));
  function->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(),
                    b.getUnitAttr());
}

static constexpr StringLiteral lowering = R"(
  convert-elementwise-to-linalg,
  func.func(linalg-generalize-named-ops),
  empty-tensor-to-alloc-tensor,
  one-shot-bufferize{bufferize-function-boundaries
                     function-boundary-type-conversion=identity-layout-map},
  buffer-results-to-out-params{modify-public-functions=true},
  buffer-deallocation-pipeline,
  func.func(convert-linalg-to-loops),
  expand-strided-metadata,
  lower-affine,
  convert-scf-to-cf,
  convert-math-to-llvm,
  convert-math-to-libm,
  finalize-memref-to-llvm,
  convert-arith-to-llvm,
  convert-index-to-llvm,
  convert-func-to-llvm,
  convert-cf-to-llvm,
  reconcile-unrealized-casts)";

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

std::unique_ptr<CompiledModel>
CompiledModel::compile(OwningOpRef<ModuleOp> module) {
  makeFunctional(*module);
  func::FuncOp function = getFunction(*module);
  auto model = std::make_unique<CompiledModel>();
  for (Type type : function.getArgumentTypes())
    model->inputs.push_back(cast<RankedTensorType>(type));
  for (Type type : function.getResultTypes())
    model->outputs.push_back(cast<RankedTensorType>(type));
  model->name = "_mlir_ciface_" + function.getName().str();
  if (failed(verify(*module)) || failed(runPasses(*module, lowering)))
    return nullptr;

  ExecutionEngineOptions options;
  auto optimize = makeOptimizingTransformer(/*optLevel=*/1, /*sizeLevel=*/0,
                                            /*targetMachine=*/nullptr);
  options.transformer = optimize;
  // For copies between memrefs that are not dense.
  const StringRef libraries[] = {WEIR_MLIR_C_RUNNER_UTILS};
  options.sharedLibPaths = libraries;
  auto engine = ExecutionEngine::create(*module, options);
  if (!engine) {
    llvm::errs() << "cannot compile: " << llvm::toString(engine.takeError())
                 << "\n";
    return nullptr;
  }
  model->engine = std::move(*engine);
  return model;
}

/// A memref descriptor: two pointers, the offset, sizes and strides.
static std::vector<int64_t> describe(Tensor &tensor) {
  void *data = tensor.floats.empty()
                   ? static_cast<void *>(tensor.integers.data())
                   : tensor.floats.data();
  std::vector<int64_t> descriptor(3 + 2 * tensor.shape.size());
  descriptor[0] = descriptor[1] = reinterpret_cast<int64_t>(data);
  int64_t stride = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    descriptor[3 + i] = tensor.shape[i];
    descriptor[3 + tensor.shape.size() + i] = stride;
    stride *= tensor.shape[i];
  }
  return descriptor;
}

std::vector<Tensor> CompiledModel::run(std::vector<Tensor> &arguments) {
  std::vector<Tensor> results;
  for (RankedTensorType type : outputs)
    results.push_back(Tensor::ofFloats(type.getShape()));
  std::vector<std::vector<int64_t>> descriptors;
  for (Tensor &tensor : arguments)
    descriptors.push_back(describe(tensor));
  for (Tensor &tensor : results)
    descriptors.push_back(describe(tensor));
  std::vector<void *> pointers;
  for (std::vector<int64_t> &descriptor : descriptors)
    pointers.push_back(descriptor.data());
  std::vector<void *> packed;
  for (void *&pointer : pointers)
    packed.push_back(&pointer);
  if (llvm::Error error = engine->invokePacked(name, packed))
    llvm::report_fatal_error(std::move(error));
  return results;
}
