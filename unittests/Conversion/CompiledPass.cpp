//===- CompiledPass.cpp - compile passes and compare their bytes ----------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include "weir/Analysis/PassBuffers.h"
#include "weir/Conversion/Passes.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Target/HostTarget.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"

#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>

using namespace mlir;
using namespace weir;

static int64_t productCount = 0;

void countProduct(weir_context *context, const weir_product *product,
                  const void *a, const void *b, void *c) {
  ++productCount;
  multiplyNaively(context, product, a, b, c);
}

int64_t CompiledPasses::numProducts() { return productCount; }

struct CompiledPasses::Parts {
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<HostJit> jit;
  std::shared_ptr<void> loaded;
};

CompiledPasses::~CompiledPasses() = default;

ModuleOp CompiledPasses::getModule() { return *parts->module; }

const weir_module &CompiledPasses::getProgram() {
  return parts->jit->getModule();
}

CompiledPasses::CompiledPasses(const std::string &text)
    : parts(std::make_unique<Parts>()) {
  MLIRContext &context = parts->context;
  context.loadDialect<WeirDialect, arith::ArithDialect, linalg::LinalgDialect,
                      math::MathDialect, tensor::TensorDialect>();
  std::string diagnostics;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    diagnostics += diagnostic.str() + "\n";
    return success();
  });
  auto require = [&](bool condition, const std::string &what) {
    if (!condition)
      throw std::runtime_error(what + ": " + diagnostics + text);
  };
  parts->module = parseSourceString<ModuleOp>(text, &context);
  require(bool(parts->module), "cannot parse");
  PassManager manager(&context);
  manager.addPass(createWeirFixRounding());
  getTarget().addConversion(manager);
  require(succeeded(manager.run(*parts->module)), "cannot convert");
  parts->module->walk(
      [&](StagePassOpInterface pass) { passes.push_back(pass); });
  std::vector<std::string> names;
  for (StagePassOpInterface pass : passes) {
    std::string name = pass.getKernelAttr().getValue().str();
    if (!llvm::is_contained(names, name))
      names.push_back(name);
  }
  std::vector<StringRef> order(names.begin(), names.end());
  const char table[] = {'t', 'a', 'b', 'l', 'e'};
  auto jit = HostJit::create({getKernelsModule(*parts->module), table, order},
                             &countProduct);
  require(bool(jit), "cannot compile");
  parts->jit = std::move(*jit);
  parts->loaded = getTarget().load(
      getKernelsModule(*parts->module), [&](const std::string &name) {
        llvm::Expected<weir_kernel> address = parts->jit->lookup(name);
        require(bool(address), "cannot find " + name);
        return reinterpret_cast<void *>(*address);
      });
}

static int64_t getElementSize(Type type) {
  return type.isIndex()
             ? 8
             : std::max<int64_t>(type.getIntOrFloatBitWidth() / 8, 1);
}

static void fill(char *memory, RankedTensorType type, Filling filling,
                 std::mt19937_64 &generator) {
  Type element = type.getElementType();
  int64_t size = getElementSize(element);
  for (int64_t i = 0; i < type.getNumElements(); ++i) {
    char *slot = memory + i * size;
    if (isa<FloatType>(element)) {
      double value =
          filling.floats == Filling::Uniform
              ? std::uniform_real_distribution<double>(-2.0, 2.0)(generator)
              : double(int64_t(generator() % 9) - 4);
      float narrow = static_cast<float>(value);
      if (element.isF32())
        std::memcpy(slot, &narrow, 4);
      else
        std::memcpy(slot, &value, 8);
      continue;
    }
    int64_t below = element.isInteger(1) ? 2 : filling.below;
    int64_t value = static_cast<int64_t>(generator() % below);
    std::memcpy(slot, &value, size);
  }
}

std::vector<Bytes> CompiledPasses::makeBuffers(size_t index, Filling filling) {
  std::mt19937_64 generator(filling.seed);
  std::vector<Bytes> buffers;
  for (const PassBuffer &buffer : getPassBuffers(passes[index])) {
    if (buffer.kind == PassBuffer::Kind::Workspace)
      continue;
    Bytes &bytes = buffers.emplace_back(getValueBytes(buffer.type), '\xff');
    if (buffer.kind == PassBuffer::Kind::Result)
      continue;
    if (auto tensor = dyn_cast<RankedTensorType>(buffer.type)) {
      fill(bytes.data(), tensor, filling, generator);
      continue;
    }
    auto bundle = cast<BundleType>(buffer.type);
    for (auto [member, offset] :
         llvm::zip(bundle.getMembers(), getMemberOffsets(bundle)))
      fill(bytes.data() + offset, member, filling, generator);
  }
  return buffers;
}

void CompiledPasses::run(size_t index, std::vector<Bytes> &buffers) {
  StagePassOpInterface pass = passes[index];
  llvm::Expected<weir_kernel> kernel =
      parts->jit->lookup(pass.getKernelAttr().getValue());
  if (!kernel)
    throw std::runtime_error(llvm::toString(kernel.takeError()));
  // Each buffer lies between guards that must stay as they are.
  constexpr int64_t guard = 128;
  constexpr char mark = '\x5a';
  using Release = void (*)(char *);
  std::vector<std::unique_ptr<char, Release>> memory;
  std::vector<void *> addresses;
  auto place = [&](int64_t size) {
    memory.emplace_back(getTarget().allocate(size + 2 * guard + 64),
                        getTarget().release);
    char *start = memory.back().get();
    std::memset(start, mark, size + 2 * guard + 64);
    auto address = reinterpret_cast<uintptr_t>(start) + guard;
    address = (address + 63) / 64 * 64;
    addresses.push_back(reinterpret_cast<void *>(address));
  };
  for (const Bytes &bytes : buffers) {
    place(bytes.size());
    std::memcpy(addresses.back(), bytes.data(), bytes.size());
  }
  std::vector<int64_t> sizes;
  for (const Bytes &bytes : buffers)
    sizes.push_back(bytes.size());
  if (int64_t bytes = pass.getWorkspaceBytes()) {
    place(bytes);
    std::memset(addresses.back(), '\xff', bytes);
    sizes.push_back(bytes);
  }
  (*kernel)(static_cast<weir_context *>(parts->loaded.get()), addresses.data());
  getTarget().wait();
  for (auto [address, size] : llvm::zip(addresses, sizes)) {
    const char *start = static_cast<const char *>(address);
    for (int64_t i = 1; i <= guard / 2; ++i)
      if (start[-i] != mark || start[size + i - 1] != mark)
        throw std::runtime_error("the pass writes outside a buffer");
  }
  for (auto [bytes, address] : llvm::zip(buffers, addresses))
    std::memcpy(bytes.data(), address, bytes.size());
}

/// Whether two elements are the same, or numbers that are near enough.
static bool areNear(Type element, const char *is, const char *should) {
  if (std::memcmp(is, should, getElementSize(element)) == 0)
    return true;
  double tolerance = getTarget().tolerance;
  if (tolerance == 0 || !isa<FloatType>(element))
    return false;
  auto read = [&](const char *memory) -> double {
    if (element.isF32()) {
      float value;
      std::memcpy(&value, memory, sizeof(value));
      return value;
    }
    double value;
    std::memcpy(&value, memory, sizeof(value));
    return value;
  };
  double a = read(is), b = read(should);
  if (std::isnan(a) || std::isnan(b))
    return std::isnan(a) && std::isnan(b);
  return a == b || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

/// The number of the first byte of a buffer that is wrong, or -1.
static int64_t findDifference(Type type, const Bytes &is, const Bytes &should) {
  auto find = [&](RankedTensorType tensor, int64_t from) -> int64_t {
    int64_t size = getElementSize(tensor.getElementType());
    for (int64_t i = 0; i < tensor.getNumElements(); ++i)
      if (!areNear(tensor.getElementType(), is.data() + from + i * size,
                   should.data() + from + i * size))
        return from + i * size;
    return -1;
  };
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    return find(tensor, 0);
  auto bundle = cast<BundleType>(type);
  for (auto [member, offset] :
       llvm::zip(bundle.getMembers(), getMemberOffsets(bundle)))
    if (int64_t byte = find(member, offset); byte >= 0)
      return byte;
  // Padding stays as it was.
  for (size_t i = 0; getTarget().tolerance == 0 && i < is.size(); ++i)
    if (is[i] != should[i])
      return i;
  return -1;
}

std::string compareWithInterpreter(const std::string &text, Filling filling) {
  CompiledPasses compiled(text);
  for (size_t index = 0; index < compiled.size(); ++index) {
    std::vector<Bytes> buffers = compiled.makeBuffers(index, filling);
    std::vector<Bytes> expected = buffers;
    compiled.run(index, buffers);
    interpretPass(compiled.getPass(index), expected);
    size_t number = 0;
    for (const PassBuffer &buffer : getPassBuffers(compiled.getPass(index))) {
      if (buffer.kind == PassBuffer::Kind::Workspace)
        continue;
      const Bytes &is = buffers[number], &should = expected[number];
      int64_t i = findDifference(buffer.type, is, should);
      if (i >= 0) {
        float wrong, right;
        std::memcpy(&wrong, &is[i / 4 * 4], 4);
        std::memcpy(&right, &should[i / 4 * 4], 4);
        return "pass " + std::to_string(index) + ", buffer " +
               std::to_string(number) + ", byte " + std::to_string(i) + ": " +
               std::to_string(wrong) + " (as f32), expected " +
               std::to_string(right);
      }
      ++number;
    }
  }
  return "";
}

std::string makeForward(const std::vector<std::string> &inputs,
                        const std::string &results, const std::string &body) {
  std::string arguments, bindings;
  for (size_t i = 0; i < inputs.size(); ++i) {
    std::string number = std::to_string(i), comma = i ? ", " : "";
    arguments +=
        comma + "%x" + number + " = \"x" + number + "\" : " + inputs[i];
    bindings += comma + "%a" + number + " = %x" + number + " : " + inputs[i];
  }
  // Results of tensors: one comma per further tensor outside of brackets.
  int64_t numResults = 1, depth = 0;
  for (char c : results) {
    depth += c == '<' ? 1 : c == '>' ? -1 : 0;
    numResults += c == ',' && depth == 0;
  }
  return "weir.pipeline @p stages 1 (" + arguments +
         ") {\n  %r:" + std::to_string(numResults) + " = weir.forward 0 (" +
         bindings + ") -> (" + results + ") {\n" + body + "\n  }\n}\n";
}
