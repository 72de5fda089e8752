//===- WeirDialect.cpp - types, attributes, registration ------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Dialect/IR/WeirDialect.h"

#include "KernelAssembly.h"
#include "ScheduleAssembly.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace weir;

#include "weir/Dialect/IR/WeirDialect.cpp.inc"
#include "weir/Dialect/IR/WeirEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "weir/Dialect/IR/WeirAttributes.cpp.inc"

#define GET_TYPEDEF_CLASSES
#include "weir/Dialect/IR/WeirTypes.cpp.inc"

#include "weir/Dialect/IR/WeirInterfaces.cpp.inc"

void WeirDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "weir/Dialect/IR/WeirAttributes.cpp.inc"
      >();
  addTypes<
#define GET_TYPEDEF_LIST
#include "weir/Dialect/IR/WeirTypes.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "weir/Dialect/IR/WeirOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Discardable attributes that users write
//===----------------------------------------------------------------------===//

/// Whether `attribute` counts something from 0.
static bool isNumber(Attribute attribute) {
  auto number = dyn_cast<IntegerAttr>(attribute);
  return number && number.getType().isSignlessInteger(64) &&
         number.getInt() >= 0;
}

LogicalResult WeirDialect::verifyOperationAttribute(Operation *op,
                                                    NamedAttribute attribute) {
  StringRef name = attribute.getName();
  Attribute value = attribute.getValue();
  if (name == attr::layer && !isNumber(value))
    return op->emitOpError("is marked weir.layer = ")
           << value << "; a layer is an i64, counted from 0";
  if (name == attr::stageBegin && !isa<UnitAttr>(value) && !isNumber(value))
    return op->emitOpError("is marked weir.stage_begin = ")
           << value
           << "; the stages after stage 0 begin at marks without a value or "
              "with the i64 1, 2, ...";
  return success();
}

LogicalResult WeirDialect::verifyRegionArgAttribute(Operation *op, unsigned,
                                                    unsigned argument,
                                                    NamedAttribute attribute) {
  if (attribute.getName() != attr::input ||
      isa<StringAttr>(attribute.getValue()))
    return success();
  return op->emitOpError("argument ")
         << argument << " has weir.input = " << attribute.getValue()
         << "; the name of an input is a string";
}

//===----------------------------------------------------------------------===//
// InitAttr: `<normal, 0.02>`
//===----------------------------------------------------------------------===//

Attribute InitAttr::parse(AsmParser &parser, Type) {
  StringRef keyword;
  double value = 0.0;
  SMLoc loc;
  if (parser.parseLess() || parser.getCurrentLocation(&loc) ||
      parser.parseKeyword(&keyword))
    return {};
  std::optional<InitKind> kind = symbolizeInitKind(keyword);
  if (!kind) {
    parser.emitError(loc, "unknown way to start a variable: '")
        << keyword << "'; known are constant and normal";
    return {};
  }
  if (parser.parseComma() || parser.parseFloat(value) || parser.parseGreater())
    return {};
  return InitAttr::get(
      parser.getContext(), *kind,
      FloatAttr::get(Float64Type::get(parser.getContext()), value));
}

void InitAttr::print(AsmPrinter &printer) const {
  printer << "<" << stringifyInitKind(getKind()) << ", ";
  printer.printAttributeWithoutType(getValue());
  printer << ">";
}

//===----------------------------------------------------------------------===//
// Bundles and sizes
//===----------------------------------------------------------------------===//

LogicalResult BundleType::verify(function_ref<InFlightDiagnostic()> emitError,
                                 ArrayRef<RankedTensorType> members) {
  if (members.empty())
    return emitError() << "a bundle must have members";
  for (RankedTensorType member : members) {
    if (!member.hasStaticShape())
      return emitError() << "members of a bundle must have static shapes, got "
                         << member;
    if (!isBufferTensor(member))
      return emitError() << "no buffer can hold this member of a bundle: "
                         << member;
  }
  return success();
}

LogicalResult
ReceivingType::verify(function_ref<InFlightDiagnostic()> emitError,
                      RankedTensorType tensor) {
  if (!isBufferTensor(tensor))
    return emitError() << "no buffer can hold what is received: " << tensor;
  return success();
}

/// Bytes of `type`, or nothing if it is no tensor that a buffer can hold.
static std::optional<int64_t> getBufferBytes(Type type) {
  constexpr int64_t maxBytes = int64_t(1) << 48;
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.getElementType().isIntOrIndexOrFloat())
    return std::nullopt;
  Type element = tensor.getElementType();
  int64_t bits = element.isIndex() ? 64 : element.getIntOrFloatBitWidth();
  int64_t bytes = (bits + 7) / 8;
  for (int64_t size : tensor.getShape()) {
    if (ShapedType::isDynamic(size) || size < 1 || size > maxBytes / bytes)
      return std::nullopt;
    bytes *= size;
  }
  return bytes;
}

bool weir::isBufferTensor(Type type) {
  return getBufferBytes(type).has_value();
}

int64_t weir::getTensorBytes(RankedTensorType type) {
  return getBufferBytes(type).value_or(0);
}

SmallVector<int64_t> weir::getMemberOffsets(BundleType type) {
  SmallVector<int64_t> offsets;
  int64_t offset = 0;
  for (RankedTensorType member : type.getMembers()) {
    offsets.push_back(offset);
    offset += alignBuffer(getTensorBytes(member));
  }
  return offsets;
}

int64_t weir::getValueBytes(Type type) {
  if (auto bundle = dyn_cast<BundleType>(type)) {
    int64_t bytes = 0;
    for (RankedTensorType member : bundle.getMembers())
      bytes += alignBuffer(getTensorBytes(member));
    return bytes;
  }
  return getTensorBytes(cast<RankedTensorType>(type));
}

#define GET_OP_CLASSES
#include "weir/Dialect/IR/WeirOps.cpp.inc"
