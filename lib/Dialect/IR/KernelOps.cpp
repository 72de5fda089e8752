//===- KernelOps.cpp - kernels of the user's and calls of them ------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelAssembly.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Support/DebugStringHelper.h"
#include "llvm/ADT/StringExtras.h"

#include <cmath>

using namespace mlir;
using namespace weir;

//===----------------------------------------------------------------------===//
// Assembly
//===----------------------------------------------------------------------===//

static ParseResult parseTypes(OpAsmParser &parser,
                              SmallVectorImpl<Type> &types) {
  return parser.parseCommaSeparatedList(OpAsmParser::Delimiter::Paren, [&] {
    return parser.parseType(types.emplace_back());
  });
}

ParseResult weir::parseKernelType(OpAsmParser &parser, TypeAttr &type,
                                  IntegerAttr &kept) {
  SmallVector<Type> inputs, results, keptTypes;
  if (parseTypes(parser, inputs) || parser.parseArrow() ||
      parseTypes(parser, results))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("keeps")) &&
      parseTypes(parser, keptTypes))
    return failure();
  llvm::append_range(results, keptTypes);
  type = TypeAttr::get(parser.getBuilder().getFunctionType(inputs, results));
  kept = parser.getBuilder().getI64IntegerAttr(keptTypes.size());
  return success();
}

void weir::printKernelType(OpAsmPrinter &printer, Operation *, TypeAttr type,
                           IntegerAttr kept) {
  auto function = cast<FunctionType>(type.getValue());
  auto print = [&](TypeRange types) {
    printer << "(";
    llvm::interleaveComma(types, printer);
    printer << ")";
  };
  size_t numKept = kept ? kept.getInt() : 0;
  print(function.getInputs());
  printer << " -> ";
  print(function.getResults().drop_back(numKept));
  if (numKept == 0)
    return;
  printer << " keeps ";
  print(function.getResults().take_back(numKept));
}

ParseResult weir::parseDerivative(OpAsmParser &parser, Region &derivative) {
  if (failed(parser.parseOptionalKeyword("derivative")))
    return success();
  SmallVector<OpAsmParser::Argument> arguments;
  return failure(parser.parseArgumentList(arguments,
                                          OpAsmParser::Delimiter::Paren,
                                          /*allowType=*/true) ||
                 parser.parseRegion(derivative, arguments));
}

void weir::printDerivative(OpAsmPrinter &printer, Operation *,
                           Region &derivative) {
  if (derivative.empty())
    return;
  printer << "derivative (";
  llvm::interleaveComma(
      derivative.getArguments(), printer,
      [&](BlockArgument argument) { printer.printRegionArgument(argument); });
  printer << ") ";
  printer.printRegion(derivative, /*printEntryBlockArgs=*/false);
}

//===----------------------------------------------------------------------===//
// KernelOp
//===----------------------------------------------------------------------===//

/// Whether C and the linker take `name` for a function of a user's.
static bool isFunctionName(StringRef name) {
  return !name.empty() && !llvm::isDigit(name.front()) &&
         llvm::all_of(name,
                      [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

LogicalResult KernelOp::verify() {
  StringRef name = getFunctionName();
  if (!isFunctionName(name))
    return emitOpError("calls '")
           << name
           << "', which is no name of a function in C; give one by `calls`";
  if (name == "main" || name.starts_with("weir_"))
    return emitOpError("calls '") << name << "', a name that Weir itself uses";
  if (static_cast<int64_t>(getKept()) < 0 ||
      getKept() >= getType().getNumResults())
    return emitOpError("gives nothing but what it keeps");
  auto checkTypes = [&](TypeRange types, StringRef what) -> LogicalResult {
    for (auto [index, type] : llvm::enumerate(types))
      if (!isBufferTensor(type))
        return emitOpError("has ") << what << " " << index
                                   << ", which no buffer can hold: " << type;
    return success();
  };
  if (failed(checkTypes(getType().getInputs(), "operand")) ||
      failed(checkTypes(getType().getResults(), "result")))
    return failure();
  constexpr int64_t maxWorkspace = int64_t(1) << 48;
  if (std::optional<int64_t> bytes = getWorkspace();
      bytes && (*bytes < 0 || *bytes > maxWorkspace))
    return emitOpError("has a workspace of ") << *bytes << " bytes";
  for (auto [what, count] : {std::pair(StringRef("flops"), getFlops()),
                             std::pair(StringRef("bytes"), getBytes())})
    if (count && static_cast<int64_t>(*count) < 0)
      return emitOpError("has negative ")
             << what << ": " << static_cast<int64_t>(*count);
  if (getSeconds()) {
    double seconds = getSeconds()->convertToDouble();
    if (!(seconds >= 0) || !std::isfinite(seconds))
      return emitOpError("takes ")
             << seconds << " seconds; a time is finite and not negative";
  }
  return success();
}

static bool isFloat(Type type) {
  return isa<FloatType>(getElementTypeOrSelf(type));
}

/// Checks types in the order of `expected` against what the derivative has; the
/// errors say what is meant to be there.
static LogicalResult
checkDerivativeTypes(Operation *op, TypeRange types, StringRef verb,
                     ArrayRef<std::pair<Type, std::string>> expected) {
  for (auto [type, wanted] : llvm::zip(types, expected))
    if (type != wanted.first)
      return op->emitOpError("has a derivative that ")
             << verb << " " << type << " as " << wanted.second << ", which is "
             << wanted.first;
  if (types.size() == expected.size())
    return success();
  InFlightDiagnostic diag = op->emitOpError("has a derivative that ")
                            << verb << " " << types.size()
                            << " values, but there must be " << expected.size()
                            << ": ";
  llvm::interleaveComma(expected, diag,
                        [&](const auto &wanted) { diag << wanted.second; });
  return diag;
}

LogicalResult KernelOp::verifyRegions() {
  if (getDerivative().empty())
    return success();
  SmallVector<std::pair<Type, std::string>> arguments, gradients;
  for (auto [index, type] : llvm::enumerate(getType().getInputs())) {
    arguments.push_back({type, "operand " + std::to_string(index)});
    if (isFloat(type))
      gradients.push_back(
          {type, "gradient of operand " + std::to_string(index)});
  }
  for (auto [index, type] : llvm::enumerate(getType().getResults()))
    arguments.push_back({type, "result " + std::to_string(index)});
  for (auto [index, type] : llvm::enumerate(getOutputTypes()))
    if (isFloat(type))
      arguments.push_back(
          {type, "gradient of result " + std::to_string(index)});
  Block &body = getDerivative().front();
  auto yield = body.empty() ? YieldOp() : dyn_cast<YieldOp>(body.back());
  if (!yield)
    return emitOpError("has a derivative that does not end in weir.yield");
  for (Operation &op : body)
    if (!isMemoryEffectFree(&op) || isa<ReadOp>(op))
      return op.emitOpError("has no place in the derivative of a kernel, which "
                            "depends on its arguments alone and does nothing "
                            "but give gradients");
  return success(succeeded(checkDerivativeTypes(*this, body.getArgumentTypes(),
                                                "takes", arguments)) &&
                 succeeded(checkDerivativeTypes(*this, yield.getOperandTypes(),
                                                "gives", gradients)));
}

//===----------------------------------------------------------------------===//
// CustomOp
//===----------------------------------------------------------------------===//

KernelOp CustomOp::lookupKernel() {
  return SymbolTable::lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
}

/// Checks the operands or results of a call against those of its kernel.
static LogicalResult checkCallTypes(CustomOp call, KernelOp kernel,
                                    TypeRange types, TypeRange expected,
                                    StringRef what) {
  auto error = [&](const Twine &has, const Twine &wanted) -> LogicalResult {
    InFlightDiagnostic diag = call.emitOpError("has ")
                              << has << ", but kernel " << call.getKernelAttr()
                              << " has " << wanted;
    diag.attachNote(kernel.getLoc()) << "kernel declared here";
    return diag;
  };
  if (types.size() != expected.size())
    return error(Twine(types.size()) + " " + what + "s",
                 Twine(expected.size()));
  for (auto [index, type] : llvm::enumerate(types))
    if (type != expected[index])
      return error(what + " " + Twine(index) + " of type " + debugString(type),
                   debugString(expected[index]));
  return success();
}

LogicalResult CustomOp::verifySymbolUses(SymbolTableCollection &tables) {
  auto kernel =
      tables.lookupNearestSymbolFrom<KernelOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError("names no kernel: ") << getKernelAttr();
  FunctionType type = kernel.getType();
  return success(
      succeeded(checkCallTypes(*this, kernel, getInputs().getTypes(),
                               type.getInputs(), "operand")) &&
      succeeded(checkCallTypes(*this, kernel, getOutputs().getTypes(),
                               type.getResults(), "result")));
}

//===----------------------------------------------------------------------===//
// CallKernelOp
//===----------------------------------------------------------------------===//

void CallKernelOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {
  auto add = [&](OpOperand &operand, MemoryEffects::Effect *effect) {
    if (isa<MemRefType>(operand.get().getType()))
      effects.emplace_back(effect, &operand);
  };
  for (OpOperand &input : getInputsMutable())
    add(input, MemoryEffects::Read::get());
  for (OpOperand &out : getOutsMutable())
    add(out, MemoryEffects::Write::get());
}
