//===- BodyInterpreter.cpp - what a pass must compute ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BodyInterpreter.h"

#include "weir/Analysis/PassBuffers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

using namespace mlir;
using namespace weir;

namespace {

/// A scalar of any type, in the low bits; integers are sign-extended.
using Scalar = uint64_t;

struct Tensor {
  SmallVector<int64_t> shape;
  std::vector<Scalar> elements;
};

[[noreturn]] void fail(Operation *op) {
  throw std::runtime_error("the interpreter does not know " +
                           op->getName().getStringRef().str());
}

double toDouble(Scalar value, Type type) {
  return type.isF32() ? std::bit_cast<float>(static_cast<uint32_t>(value))
                      : std::bit_cast<double>(value);
}

Scalar fromFloat(double value, Type type) {
  return type.isF32() ? std::bit_cast<uint32_t>(static_cast<float>(value))
                      : std::bit_cast<uint64_t>(value);
}

int64_t signExtend(Scalar value, Type type) {
  if (type.isIndex() || type.getIntOrFloatBitWidth() == 64)
    return static_cast<int64_t>(value);
  unsigned shift = 64 - type.getIntOrFloatBitWidth();
  return static_cast<int64_t>(value << shift) >> shift;
}

uint64_t zeroExtend(Scalar value, Type type) {
  if (type.isIndex() || type.getIntOrFloatBitWidth() == 64)
    return value;
  unsigned shift = 64 - type.getIntOrFloatBitWidth();
  return (value << shift) >> shift;
}

/// Applies an operation of C++ to two floats of `type`.
template <typename Function>
Scalar onFloats(Type type, Scalar lhs, Scalar rhs, Function function) {
  if (type.isF32()) {
    float result = function(std::bit_cast<float>(static_cast<uint32_t>(lhs)),
                            std::bit_cast<float>(static_cast<uint32_t>(rhs)));
    return std::bit_cast<uint32_t>(result);
  }
  double result =
      function(std::bit_cast<double>(lhs), std::bit_cast<double>(rhs));
  return std::bit_cast<uint64_t>(result);
}

Scalar getConstant(Attribute attribute) {
  if (auto value = dyn_cast<FloatAttr>(attribute))
    return value.getValue().bitcastToAPInt().getZExtValue();
  return static_cast<Scalar>(
      cast<IntegerAttr>(attribute).getValue().getSExtValue());
}

bool compareFloats(arith::CmpFPredicate predicate, double a, double b) {
  using P = arith::CmpFPredicate;
  bool unordered = std::isnan(a) || std::isnan(b);
  switch (predicate) {
  case P::AlwaysFalse:
    return false;
  case P::OEQ:
    return !unordered && a == b;
  case P::OGT:
    return !unordered && a > b;
  case P::OGE:
    return !unordered && a >= b;
  case P::OLT:
    return !unordered && a < b;
  case P::OLE:
    return !unordered && a <= b;
  case P::ONE:
    return !unordered && a != b;
  case P::ORD:
    return !unordered;
  case P::UEQ:
    return unordered || a == b;
  case P::UGT:
    return unordered || a > b;
  case P::UGE:
    return unordered || a >= b;
  case P::ULT:
    return unordered || a < b;
  case P::ULE:
    return unordered || a <= b;
  case P::UNE:
    return unordered || a != b;
  case P::UNO:
    return unordered;
  case P::AlwaysTrue:
    return true;
  }
  return false;
}

bool compareInts(arith::CmpIPredicate predicate, Scalar lhs, Scalar rhs,
                 Type type) {
  using P = arith::CmpIPredicate;
  int64_t a = signExtend(lhs, type), b = signExtend(rhs, type);
  uint64_t ua = zeroExtend(lhs, type), ub = zeroExtend(rhs, type);
  switch (predicate) {
  case P::eq:
    return a == b;
  case P::ne:
    return a != b;
  case P::slt:
    return a < b;
  case P::sle:
    return a <= b;
  case P::sgt:
    return a > b;
  case P::sge:
    return a >= b;
  case P::ult:
    return ua < ub;
  case P::ule:
    return ua <= ub;
  case P::ugt:
    return ua > ub;
  case P::uge:
    return ua >= ub;
  }
  return false;
}

/// The maximum of IEEE 754-2019: NaN wins, -0 is less than +0.
template <typename Float> Float maximum(Float a, Float b) {
  if (std::isnan(a) || std::isnan(b))
    return std::numeric_limits<Float>::quiet_NaN();
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

/// The maximum that a number wins over a NaN.
template <typename Float> Float maxNum(Float a, Float b) {
  return std::isnan(a) ? b : std::isnan(b) ? a : maximum(a, b);
}

/// The quotient, rounded to -inf, or to +inf.
int64_t divide(int64_t a, int64_t b, bool up) {
  int64_t quotient = a / b;
  bool isBelow = a % b != 0 && ((a % b < 0) != (b < 0));
  if (up)
    return a % b != 0 && !isBelow ? quotient + 1 : quotient;
  return isBelow ? quotient - 1 : quotient;
}

Scalar evaluateScalar(Operation *op, ArrayRef<Scalar> in) {
  Type type = op->getResult(0).getType();
  Type from = op->getNumOperands() ? op->getOperand(0).getType() : Type();
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return getConstant(constant.getValue());
  if (isa<arith::AddFOp>(op))
    return onFloats(type, in[0], in[1], [](auto a, auto b) { return a + b; });
  if (isa<arith::SubFOp>(op))
    return onFloats(type, in[0], in[1], [](auto a, auto b) { return a - b; });
  if (isa<arith::MulFOp>(op))
    return onFloats(type, in[0], in[1], [](auto a, auto b) { return a * b; });
  if (isa<arith::DivFOp>(op))
    return onFloats(type, in[0], in[1], [](auto a, auto b) { return a / b; });
  if (isa<arith::MaximumFOp>(op))
    return onFloats(type, in[0], in[1],
                    [](auto a, auto b) { return maximum(a, b); });
  if (isa<arith::MinimumFOp>(op))
    return onFloats(type, in[0], in[1],
                    [](auto a, auto b) { return -maximum(-a, -b); });
  if (isa<arith::NegFOp>(op))
    return onFloats(type, in[0], in[0], [](auto a, auto) { return -a; });
  if (isa<arith::MaxNumFOp>(op))
    return onFloats(type, in[0], in[1],
                    [](auto a, auto b) { return maxNum(a, b); });
  if (isa<arith::MinNumFOp>(op))
    return onFloats(type, in[0], in[1],
                    [](auto a, auto b) { return -maxNum(-a, -b); });
  if (isa<math::RsqrtOp>(op))
    return onFloats(type, in[0], in[0], [](auto a, auto) {
      return static_cast<decltype(a)>(1) / std::sqrt(a);
    });
#define WEIR_UNARY(Op, function)                                               \
  if (isa<math::Op>(op))                                                       \
    return onFloats(type, in[0], in[0],                                        \
                    [](auto a, auto) { return std::function(a); });
  WEIR_UNARY(AbsFOp, fabs)
  WEIR_UNARY(AcosOp, acos)
  WEIR_UNARY(AcoshOp, acosh)
  WEIR_UNARY(AsinOp, asin)
  WEIR_UNARY(AsinhOp, asinh)
  WEIR_UNARY(AtanOp, atan)
  WEIR_UNARY(AtanhOp, atanh)
  WEIR_UNARY(CbrtOp, cbrt)
  WEIR_UNARY(CeilOp, ceil)
  WEIR_UNARY(CosOp, cos)
  WEIR_UNARY(CoshOp, cosh)
  WEIR_UNARY(ErfOp, erf)
  WEIR_UNARY(ErfcOp, erfc)
  WEIR_UNARY(ExpOp, exp)
  WEIR_UNARY(Exp2Op, exp2)
  WEIR_UNARY(ExpM1Op, expm1)
  WEIR_UNARY(FloorOp, floor)
  WEIR_UNARY(LogOp, log)
  WEIR_UNARY(Log10Op, log10)
  WEIR_UNARY(Log1pOp, log1p)
  WEIR_UNARY(Log2Op, log2)
  WEIR_UNARY(RoundOp, round)
  WEIR_UNARY(RoundEvenOp, nearbyint)
  WEIR_UNARY(SinOp, sin)
  WEIR_UNARY(SinhOp, sinh)
  WEIR_UNARY(SqrtOp, sqrt)
  WEIR_UNARY(TanOp, tan)
  WEIR_UNARY(TanhOp, tanh)
  WEIR_UNARY(TruncOp, trunc)
#undef WEIR_UNARY
#define WEIR_BINARY(Op, function)                                              \
  if (isa<Op>(op))                                                             \
    return onFloats(type, in[0], in[1],                                        \
                    [](auto a, auto b) { return std::function(a, b); });
  WEIR_BINARY(arith::RemFOp, fmod)
  WEIR_BINARY(math::Atan2Op, atan2)
  WEIR_BINARY(math::CopySignOp, copysign)
  WEIR_BINARY(math::PowFOp, pow)
#undef WEIR_BINARY
  if (isa<math::FmaOp>(op)) {
    Scalar c = in[2];
    return onFloats(type, in[0], in[1], [&](auto a, auto b) {
      if constexpr (sizeof(a) == 4)
        return std::fmaf(a, b, std::bit_cast<float>(static_cast<uint32_t>(c)));
      else
        return std::fma(a, b, std::bit_cast<double>(c));
    });
  }
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    return compareFloats(compare.getPredicate(), toDouble(in[0], from),
                         toDouble(in[1], from));
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    return compareInts(compare.getPredicate(), in[0], in[1], from);
  if (isa<arith::SelectOp>(op))
    return (in[0] & 1) ? in[1] : in[2];
  if (isa<arith::BitcastOp>(op))
    return type.isInteger(32) || type.isF32() ? zeroExtend(in[0], from) : in[0];
  if (isa<arith::FPToSIOp>(op))
    return static_cast<Scalar>(static_cast<int64_t>(toDouble(in[0], from)));
  if (isa<arith::SIToFPOp>(op))
    return type.isF32() ? std::bit_cast<uint32_t>(
                              static_cast<float>(signExtend(in[0], from)))
                        : std::bit_cast<uint64_t>(
                              static_cast<double>(signExtend(in[0], from)));
  if (isa<arith::FPToUIOp>(op))
    return static_cast<Scalar>(toDouble(in[0], from));
  if (isa<arith::IndexCastUIOp>(op))
    return zeroExtend(in[0], from);
  if (isa<arith::UIToFPOp>(op))
    return fromFloat(static_cast<double>(zeroExtend(in[0], from)), type);
  if (isa<arith::ExtFOp, arith::TruncFOp>(op))
    return fromFloat(toDouble(in[0], from), type);
  if (isa<arith::IndexCastOp, arith::ExtSIOp>(op))
    return static_cast<Scalar>(signExtend(in[0], from));
  if (isa<arith::ExtUIOp>(op))
    return zeroExtend(in[0], from);
  if (isa<arith::TruncIOp>(op))
    return in[0];
  if (isa<arith::AddIOp>(op))
    return in[0] + in[1];
  if (isa<arith::SubIOp>(op))
    return in[0] - in[1];
  if (isa<arith::MulIOp>(op))
    return in[0] * in[1];
  if (isa<arith::DivSIOp>(op))
    return static_cast<Scalar>(signExtend(in[0], type) /
                               signExtend(in[1], type));
  if (isa<arith::RemSIOp>(op))
    return static_cast<Scalar>(signExtend(in[0], type) %
                               signExtend(in[1], type));
  if (isa<arith::DivUIOp>(op))
    return zeroExtend(in[0], type) / zeroExtend(in[1], type);
  if (isa<arith::RemUIOp>(op))
    return zeroExtend(in[0], type) % zeroExtend(in[1], type);
  if (isa<arith::CeilDivUIOp>(op)) {
    uint64_t a = zeroExtend(in[0], type);
    return a == 0 ? 0 : (a - 1) / zeroExtend(in[1], type) + 1;
  }
  if (isa<arith::CeilDivSIOp, arith::FloorDivSIOp>(op))
    return divide(signExtend(in[0], type), signExtend(in[1], type),
                  isa<arith::CeilDivSIOp>(op));
  if (isa<math::AbsIOp>(op))
    return std::abs(signExtend(in[0], type));
  if (isa<arith::AndIOp>(op))
    return in[0] & in[1];
  if (isa<arith::OrIOp>(op))
    return in[0] | in[1];
  if (isa<arith::XOrIOp>(op))
    return in[0] ^ in[1];
  if (isa<arith::ShLIOp>(op))
    return in[0] << in[1];
  if (isa<arith::ShRUIOp>(op))
    return zeroExtend(in[0], type) >> in[1];
  if (isa<arith::ShRSIOp>(op))
    return signExtend(in[0], type) >> in[1];
  if (isa<arith::MaxUIOp>(op))
    return zeroExtend(in[0], type) > zeroExtend(in[1], type) ? in[0] : in[1];
  if (isa<arith::MinUIOp>(op))
    return zeroExtend(in[0], type) < zeroExtend(in[1], type) ? in[0] : in[1];
  if (isa<arith::MaxSIOp>(op))
    return signExtend(in[0], type) > signExtend(in[1], type) ? in[0] : in[1];
  if (isa<arith::MinSIOp>(op))
    return signExtend(in[0], type) < signExtend(in[1], type) ? in[0] : in[1];
  fail(op);
}

int64_t getElementSize(Type type) {
  return type.isIndex()
             ? 8
             : std::max<int64_t>(type.getIntOrFloatBitWidth() / 8, 1);
}

/// Positions of a shape in row-major order.
template <typename Function>
void forEachPosition(ArrayRef<int64_t> shape, Function function) {
  SmallVector<int64_t> position(shape.size(), 0);
  int64_t total = 1;
  for (int64_t size : shape)
    total *= size;
  for (int64_t i = 0; i < total; ++i) {
    function(ArrayRef<int64_t>(position));
    for (int64_t d = shape.size() - 1; d >= 0; --d) {
      if (++position[d] < shape[d])
        break;
      position[d] = 0;
    }
  }
}

Scalar &at(Tensor &tensor, ArrayRef<int64_t> position) {
  int64_t index = 0;
  for (auto [size, p] : llvm::zip(tensor.shape, position))
    index = index * size + p;
  return tensor.elements[index];
}

/// Positions of a slice in the tensor that it is a part of. Dims that the slice
/// drops have size 1, so the order is row-major in the slice, too.
template <typename Function>
void forEachInSlice(OffsetSizeAndStrideOpInterface slice, Function function) {
  forEachPosition(slice.getStaticSizes(), [&](ArrayRef<int64_t> position) {
    SmallVector<int64_t> at;
    for (auto [p, offset, stride] : llvm::zip(
             position, slice.getStaticOffsets(), slice.getStaticStrides()))
      at.push_back(offset + p * stride);
    function(ArrayRef<int64_t>(at));
  });
}

class Interpreter {
public:
  Interpreter(StagePassOpInterface pass, std::vector<Bytes> &buffers)
      : pass(pass), buffers(buffers), list(getPassBuffers(pass)) {
    llvm::erase_if(list, [](const PassBuffer &buffer) {
      return buffer.kind == PassBuffer::Kind::Workspace;
    });
  }

  void run() {
    using Kind = PassBuffer::Kind;
    Block &body = pass.getBodyBlock();
    bool isUpdate = isa<UpdateOp>(pass.getOperation());
    for (BlockArgument argument : body.getArguments()) {
      if (auto type = dyn_cast<RankedTensorType>(argument.getType()))
        tensors[argument] = read(argument.getArgNumber(), 0, type);
    }
    for (Operation &op : body) {
      if (auto readOp = dyn_cast<ReadOp>(op)) {
        tensors[readOp] = read(find(Kind::Parameter, 0, readOp.getVariable()),
                               0, readOp.getType());
      } else if (auto unpack = dyn_cast<UnpackOp>(op)) {
        unsigned index = cast<BlockArgument>(unpack.getBundle()).getArgNumber();
        for (auto [member, offset] :
             llvm::zip(unpack.getMembers(),
                       getMemberOffsets(unpack.getBundle().getType())))
          tensors[member] =
              read(index, offset, cast<RankedTensorType>(member.getType()));
      } else if (isa<PackOp>(op)) {
        continue;
      } else if (auto accumulate = dyn_cast<AccumulateOp>(op)) {
        add(find(Kind::Gradient, accumulate.getUse(), accumulate.getVariable()),
            accumulate.getGradient());
      } else if (auto report = dyn_cast<ReportOp>(op)) {
        add(find(Kind::Loss, 0, {}), report.getLoss());
        add(find(Kind::Count, 0, {}), report.getCount());
      } else if (auto yield = dyn_cast<YieldOp>(op)) {
        for (auto [index, value] : llvm::enumerate(yield.getValues())) {
          unsigned buffer =
              !isUpdate ? find(Kind::Result, index, {})
              : index == 0
                  ? 0
                  : find(Kind::State, index - 1,
                         cast<UpdateOp>(pass.getOperation()).getVariable());
          auto bundle = dyn_cast<BundleType>(value.getType());
          if (!bundle) {
            write(buffer, 0, value);
            continue;
          }
          auto pack = value.getDefiningOp<PackOp>();
          for (auto [member, offset] :
               llvm::zip(pack.getMembers(), getMemberOffsets(bundle)))
            write(buffer, offset, member);
        }
      } else {
        evaluate(&op);
      }
    }
  }

private:
  unsigned find(PassBuffer::Kind kind, int64_t index, StringRef variable) {
    for (auto [number, buffer] : llvm::enumerate(list))
      if (buffer.kind == kind && buffer.index == index &&
          buffer.variable == variable)
        return number;
    throw std::runtime_error("no such buffer");
  }

  Tensor read(unsigned buffer, int64_t offset, RankedTensorType type) {
    Tensor tensor{SmallVector<int64_t>(type.getShape()), {}};
    Type element = type.getElementType();
    int64_t size = getElementSize(element);
    for (int64_t i = 0; i < type.getNumElements(); ++i) {
      Scalar value = 0;
      std::memcpy(&value, buffers[buffer].data() + offset + i * size, size);
      if (element.isIntOrIndex())
        value = signExtend(value, element);
      tensor.elements.push_back(value);
    }
    return tensor;
  }

  void write(unsigned buffer, int64_t offset, Value value) {
    const Tensor &tensor = tensors.at(value);
    Type element = getElementTypeOrSelf(value.getType());
    int64_t size = getElementSize(element);
    for (auto [i, number] : llvm::enumerate(tensor.elements)) {
      Scalar bits = element.isInteger(1) ? number & 1 : number;
      std::memcpy(buffers[buffer].data() + offset + i * size, &bits, size);
    }
  }

  /// Adds a tensor to a buffer, which is on the left.
  void add(unsigned buffer, Value value) {
    Type element = getElementTypeOrSelf(value.getType());
    auto type = cast<RankedTensorType>(list[buffer].type);
    Tensor sum = read(buffer, 0, type);
    for (auto [a, b] : llvm::zip(sum.elements, tensors.at(value).elements)) {
      Scalar term =
          type.getElementType() == element
              ? b
              : fromFloat(toDouble(b, element), type.getElementType());
      a = onFloats(type.getElementType(), a, term,
                   [](auto x, auto y) { return x + y; });
    }
    int64_t size = getElementSize(type.getElementType());
    for (auto [i, number] : llvm::enumerate(sum.elements))
      std::memcpy(buffers[buffer].data() + i * size, &number, size);
  }

  Scalar getScalar(Value value, const llvm::DenseMap<Value, Scalar> &local) {
    auto it = local.find(value);
    return it != local.end() ? it->second : scalars.at(value);
  }

  void evaluate(Operation *op) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      auto dense = dyn_cast<DenseElementsAttr>(constant.getValue());
      if (!dense) {
        scalars[constant] = getConstant(constant.getValue());
        return;
      }
      Tensor tensor{SmallVector<int64_t>(dense.getType().getShape()), {}};
      for (Attribute value : dense.getValues<Attribute>())
        tensor.elements.push_back(getConstant(value));
      tensors[constant] = tensor;
      return;
    }
    if (auto empty = dyn_cast<tensor::EmptyOp>(op)) {
      tensors[empty] = make(empty.getType());
    } else if (auto fill = dyn_cast<linalg::FillOp>(op)) {
      Tensor tensor = make(cast<RankedTensorType>(fill.getType(0)));
      std::fill(tensor.elements.begin(), tensor.elements.end(),
                scalars.at(fill.value()));
      tensors[fill.getResult(0)] = tensor;
    } else if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
      Tensor tensor = tensors.at(op->getOperand(0));
      auto type = cast<RankedTensorType>(op->getResult(0).getType());
      tensor.shape.assign(type.getShape().begin(), type.getShape().end());
      tensors[op->getResult(0)] = tensor;
    } else if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op)) {
      Tensor tensor = make(slice.getType());
      Tensor &source = tensors.at(slice.getSource());
      size_t next = 0;
      forEachInSlice(slice, [&](ArrayRef<int64_t> position) {
        tensor.elements[next++] = at(source, position);
      });
      tensors[slice] = tensor;
    } else if (auto slice = dyn_cast<tensor::InsertSliceOp>(op)) {
      Tensor tensor = tensors.at(slice.getDest());
      Tensor &source = tensors.at(slice.getSource());
      size_t next = 0;
      forEachInSlice(slice, [&](ArrayRef<int64_t> position) {
        at(tensor, position) = source.elements[next++];
      });
      tensors[slice] = tensor;
    } else if (auto pad = dyn_cast<tensor::PadOp>(op)) {
      Value padding = pad.getConstantPaddingValue();
      if (!padding)
        fail(op);
      Tensor tensor = make(pad.getResultType());
      llvm::fill(tensor.elements, scalars.at(padding));
      Tensor &source = tensors.at(pad.getSource());
      size_t next = 0;
      forEachPosition(source.shape, [&](ArrayRef<int64_t> position) {
        SmallVector<int64_t> to;
        for (auto [p, low] : llvm::zip(position, pad.getStaticLow()))
          to.push_back(p + low);
        at(tensor, to) = source.elements[next++];
      });
      tensors[pad] = tensor;
    } else if (auto gather = dyn_cast<tensor::GatherOp>(op)) {
      if (gather.getGatherDims() != ArrayRef<int64_t>{0} ||
          gather.getSourceType().getRank() != 2)
        fail(op);
      Tensor tensor = make(gather.getResultType());
      Tensor &source = tensors.at(gather.getSource());
      Tensor &indices = tensors.at(gather.getIndices());
      int64_t length = source.shape[1];
      for (auto [i, index] : llvm::enumerate(indices.elements))
        for (int64_t c = 0; c < length; ++c)
          tensor.elements[i * length + c] = source.elements[index * length + c];
      tensors[gather] = tensor;
    } else if (auto scatter = dyn_cast<ScatterAddOp>(op)) {
      Tensor tensor = tensors.at(scatter.getInit());
      Tensor &updates = tensors.at(scatter.getUpdates());
      Tensor &indices = tensors.at(scatter.getIndices());
      Type element = getElementTypeOrSelf(scatter.getType());
      int64_t length = tensor.shape[1];
      for (auto [i, index] : llvm::enumerate(indices.elements))
        for (int64_t c = 0; c < length; ++c) {
          Scalar &value = tensor.elements[index * length + c];
          value = onFloats(element, value, updates.elements[i * length + c],
                           [](auto a, auto b) { return a + b; });
        }
      tensors[scatter] = tensor;
    } else if (auto contract = dyn_cast<linalg::ContractOp>(op)) {
      evaluateContract(contract);
    } else if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
      evaluateGeneric(generic);
    } else {
      fail(op);
    }
  }

  static Tensor make(RankedTensorType type) {
    return {SmallVector<int64_t>(type.getShape()),
            std::vector<Scalar>(type.getNumElements(), 0)};
  }

  void evaluateContract(linalg::ContractOp op) {
    Tensor result = tensors.at(op.getDpsInits()[0]);
    Tensor sum = result;
    std::fill(sum.elements.begin(), sum.elements.end(), 0);
    Tensor &a = tensors.at(op.getDpsInputs()[0]);
    Tensor &b = tensors.at(op.getDpsInputs()[1]);
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    Type element = getElementTypeOrSelf(op->getResult(0).getType());
    bool isInteger = element.isInteger();
    auto add = [&](Scalar x, Scalar y) {
      return isInteger ? x + y : onFloats(element, x, y, [](auto p, auto q) {
        return p + q;
      });
    };
    auto multiply = [&](Scalar x, Scalar y) {
      return isInteger ? x * y : onFloats(element, x, y, [](auto p, auto q) {
        return p * q;
      });
    };
    // Factors of another type are converted first.
    auto cast = [&](unsigned operand, Scalar value) {
      Type from = getElementTypeOrSelf(op->getOperand(operand).getType());
      if (from == element || isInteger)
        return value;
      return fromFloat(isa<FloatType>(from)
                           ? toDouble(value, from)
                           : static_cast<double>(signExtend(value, from)),
                       element);
    };
    forEachPosition(op.getStaticLoopRanges(), [&](ArrayRef<int64_t> position) {
      Scalar &slot = at(sum, maps[2].compose(position));
      slot = add(slot, multiply(cast(0, at(a, maps[0].compose(position))),
                                cast(1, at(b, maps[1].compose(position)))));
    });
    for (auto [r, s] : llvm::zip(result.elements, sum.elements))
      r = add(r, s);
    tensors[op->getResult(0)] = result;
  }

  void evaluateGeneric(linalg::GenericOp op) {
    Block &body = *op.getBody();
    SmallVector<AffineMap> maps = op.getIndexingMapsArray();
    SmallVector<int64_t> sizes = op.getStaticLoopRanges();
    SmallVector<int64_t> parallel, reduced;
    for (auto [dim, type] : llvm::enumerate(op.getIteratorTypesArray()))
      (type == utils::IteratorType::parallel ? parallel : reduced)
          .push_back(dim);
    int64_t lanes = 16;
    if (auto attribute = op->getAttrOfType<IntegerAttr>(attr::lanes))
      lanes = attribute.getInt();
    std::vector<Tensor> results;
    for (Value init : op.getDpsInits())
      results.push_back(tensors.at(init));
    auto yield = cast<linalg::YieldOp>(body.getTerminator());

    // The values of the body at a position; with `combiners` the folds are left
    // out.
    auto evaluateBody = [&](ArrayRef<int64_t> position,
                            llvm::DenseMap<Value, Scalar> &local,
                            ArrayRef<Operation *> combiners) {
      for (OpOperand *input : op.getDpsInputOperands()) {
        BlockArgument argument = op.getMatchingBlockArgument(input);
        auto it = tensors.find(input->get());
        local[argument] =
            it != tensors.end()
                ? at(it->second,
                     op.getMatchingIndexingMap(input).compose(position))
                : scalars.at(input->get());
      }
      for (OpOperand &init : op.getDpsInitsMutable())
        local[op.getMatchingBlockArgument(&init)] =
            at(results[init.getOperandNumber() - op.getNumDpsInputs()],
               op.getMatchingIndexingMap(&init).compose(position));
      for (Operation &inner : body.without_terminator()) {
        if (llvm::is_contained(combiners, &inner))
          continue;
        if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
          local[index] = position[index.getDim()];
          continue;
        }
        if (auto extract = dyn_cast<tensor::ExtractOp>(inner)) {
          SmallVector<int64_t> from;
          for (Value index : extract.getIndices())
            from.push_back(getScalar(index, local));
          local[extract] = at(tensors.at(extract.getTensor()), from);
          continue;
        }
        SmallVector<Scalar> operands;
        for (Value operand : inner.getOperands())
          operands.push_back(getScalar(operand, local));
        local[inner.getResult(0)] = evaluateScalar(&inner, operands);
      }
    };

    SmallVector<Operation *> combiners(results.size(), nullptr);
    if (!reduced.empty())
      for (auto [output, value] : llvm::enumerate(yield.getOperands())) {
        AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(output));
        if (llvm::none_of(
                reduced, [&](int64_t dim) { return map.isFunctionOfDim(dim); }))
          combiners[output] = value.getDefiningOp();
      }

    SmallVector<int64_t> outerSizes, reducedSizes;
    for (int64_t dim : parallel)
      outerSizes.push_back(sizes[dim]);
    for (int64_t dim : reduced)
      reducedSizes.push_back(sizes[dim]);
    forEachPosition(outerSizes, [&](ArrayRef<int64_t> outer) {
      SmallVector<int64_t> position(sizes.size(), 0);
      for (auto [dim, p] : llvm::zip(parallel, outer))
        position[dim] = p;
      // The elements of every fold, dealt to the lanes.
      std::vector<std::vector<Scalar>> folds(results.size(),
                                             std::vector<Scalar>(lanes, 0));
      int64_t count = 0;
      forEachPosition(reducedSizes, [&](ArrayRef<int64_t> inner) {
        for (auto [dim, p] : llvm::zip(reduced, inner))
          position[dim] = p;
        llvm::DenseMap<Value, Scalar> local;
        evaluateBody(position, local, combiners);
        for (auto [output, value] : llvm::enumerate(yield.getOperands())) {
          Operation *combiner = combiners[output];
          if (!combiner) {
            at(results[output],
               op.getMatchingIndexingMap(op.getDpsInitOperand(output))
                   .compose(position)) = getScalar(value, local);
            continue;
          }
          Value accumulator =
              op.getMatchingBlockArgument(op.getDpsInitOperand(output));
          Value element = combiner->getOperand(0) == accumulator
                              ? combiner->getOperand(1)
                              : combiner->getOperand(0);
          Scalar &lane = folds[output][count % lanes];
          Scalar number = getScalar(element, local);
          lane =
              count < lanes ? number : evaluateScalar(combiner, {lane, number});
        }
        ++count;
      });
      for (auto [output, combiner] : llvm::enumerate(combiners)) {
        if (!combiner)
          continue;
        std::vector<Scalar> &fold = folds[output];
        int64_t valid = std::min(count, lanes);
        for (int64_t half = lanes / 2; half >= 1; half /= 2) {
          for (int64_t j = 0; j < half; ++j)
            if (j + half < valid)
              fold[j] = evaluateScalar(combiner, {fold[j], fold[j + half]});
          valid = std::min(valid, half);
        }
        Scalar &slot =
            at(results[output],
               op.getMatchingIndexingMap(op.getDpsInitOperand(output))
                   .compose(position));
        slot = evaluateScalar(combiner, {slot, fold[0]});
      }
    });
    for (auto [result, tensor] : llvm::zip(op->getResults(), results))
      tensors[result] = tensor;
  }

  StagePassOpInterface pass;
  std::vector<Bytes> &buffers;
  SmallVector<PassBuffer> list;
  struct Less {
    bool operator()(Value a, Value b) const {
      return a.getAsOpaquePointer() < b.getAsOpaquePointer();
    }
  };
  std::map<Value, Tensor, Less> tensors;
  std::map<Value, Scalar, Less> scalars;
};

template <typename Float>
void multiply(const weir_product *p, const Float *a, const Float *b, Float *c) {
  int64_t sizes[WEIR_PRODUCT_MAX_BATCH] = {1, 1, 1, 1};
  std::copy(p->batch_size, p->batch_size + p->batch_rank, sizes);
  forEachPosition(sizes, [&](ArrayRef<int64_t> batch) {
    const Float *ab = a, *bb = b;
    Float *cb = c;
    for (int64_t d = 0; d < p->batch_rank; ++d) {
      ab += batch[d] * p->a_stride_batch[d];
      bb += batch[d] * p->b_stride_batch[d];
      cb += batch[d] * p->c_stride_batch[d];
    }
    for (int64_t m = 0; m < p->m; ++m)
      for (int64_t n = 0; n < p->n; ++n) {
        Float sum = 0;
        for (int64_t k = 0; k < p->k; ++k) {
          Float product = ab[m * p->a_stride_m + k * p->a_stride_k] *
                          bb[k * p->b_stride_k + n * p->b_stride_n];
          sum += product;
        }
        Float &slot = cb[m * p->c_stride_m + n * p->c_stride_n];
        slot = p->accumulate ? slot + sum : sum;
      }
  });
}

} // namespace

void interpretPass(StagePassOpInterface pass, std::vector<Bytes> &buffers) {
  Interpreter(pass, buffers).run();
}

void multiplyNaively(weir_context *, const weir_product *product, const void *a,
                     const void *b, void *c) {
  if (product->element_type == WEIR_F32)
    multiply(product, static_cast<const float *>(a),
             static_cast<const float *>(b), static_cast<float *>(c));
  else
    multiply(product, static_cast<const double *>(a),
             static_cast<const double *>(b), static_cast<double *>(c));
}
