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

#include <cstring>
#include <random>
#include <stdexcept>

using namespace mlir;
using namespace weir;

static int64_t productCount = 0;

static void countProducts(weir_context *context, const weir_product *product,
                          const void *a, const void *b, void *c) {
  ++productCount;
  multiplyNaively(context, product, a, b, c);
}

int64_t CompiledPasses::numProducts() { return productCount; }

struct CompiledPasses::Parts {
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<HostJit> jit;
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
  manager.addPass(createConvertWeirToHost());
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
                             &countProducts);
  require(bool(jit), "cannot compile");
  parts->jit = std::move(*jit);
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
  std::vector<std::unique_ptr<char[]>> memory;
  std::vector<void *> addresses;
  auto place = [&](int64_t size) {
    memory.push_back(std::make_unique<char[]>(size + 2 * guard + 64));
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
  (*kernel)(nullptr, addresses.data());
  for (auto [address, size] : llvm::zip(addresses, sizes)) {
    const char *start = static_cast<const char *>(address);
    for (int64_t i = 1; i <= guard / 2; ++i)
      if (start[-i] != mark || start[size + i - 1] != mark)
        throw std::runtime_error("the pass writes outside a buffer");
  }
  for (auto [bytes, address] : llvm::zip(buffers, addresses))
    std::memcpy(bytes.data(), address, bytes.size());
}

std::string compareWithInterpreter(const std::string &text, Filling filling) {
  CompiledPasses compiled(text);
  for (size_t index = 0; index < compiled.size(); ++index) {
    std::vector<Bytes> buffers = compiled.makeBuffers(index, filling);
    std::vector<Bytes> expected = buffers;
    compiled.run(index, buffers);
    interpretPass(compiled.getPass(index), expected);
    for (size_t number = 0; number < buffers.size(); ++number)
      for (size_t i = 0; i < buffers[number].size(); ++i)
        if (buffers[number][i] != expected[number][i]) {
          float is, should;
          std::memcpy(&is, &buffers[number][i / 4 * 4], 4);
          std::memcpy(&should, &expected[number][i / 4 * 4], 4);
          return "pass " + std::to_string(index) + ", buffer " +
                 std::to_string(number) + ", byte " + std::to_string(i) + ": " +
                 std::to_string(is) + " (as f32), expected " +
                 std::to_string(should);
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
