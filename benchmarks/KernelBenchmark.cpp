// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What an element costs in the compiled bodies of a transformer where sizes
// divide by the width of a vector, and where they do not. Both are run in turn;
// `even_ns` and `odd_ns` are the fastest of all rounds, per element, and
// `ratio` is odd over even.

#include "weir/Analysis/PassBuffers.h"
#include "weir/Conversion/Passes.h"
#include "weir/Dialect/Transforms/Passes.h"
#include "weir/Program.h"
#include "weir/Target/HostTarget.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <random>

using namespace mlir;
using namespace weir;

namespace {

/// A body over `rows` x `columns` elements. In its text the types !full, !row
/// (of `columns`), !column (of `rows`), !turned and !tokens (of `rows`), the
/// maps #full, #row, #column and #turned, and the scalar %zero are defined.
struct Case {
  const char *name;
  const char *inputs;  ///< types, separated by ", "
  const char *results; ///< types
  const char *body;
  int64_t rows;
  int64_t even, odd; ///< columns
};

/// One compiled pass and its buffers.
class Kernel {
public:
  Kernel(const Case &which, int64_t columns);
  /// Seconds of one run.
  double run();

private:
  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<HostJit> jit;
  weir_kernel kernel = nullptr;
  std::vector<std::unique_ptr<char[]>> memory;
  std::vector<void *> addresses;
};

} // namespace

static std::string makeText(const Case &which, int64_t columns) {
  std::string r = std::to_string(which.rows), c = std::to_string(columns);
  std::string inputs, bindings;
  StringRef rest = which.inputs;
  for (int64_t i = 0; !rest.empty(); ++i) {
    auto [type, tail] = rest.split(", ");
    std::string number = std::to_string(i), comma = i ? ", " : "";
    inputs += comma + "%x" + number + " = \"x" + number + "\" : " + type.str();
    bindings += comma + "%a" + number + " = %x" + number + " : " + type.str();
    rest = tail;
  }
  int64_t numResults = StringRef(which.results).count(',') + 1;
  return "!full = tensor<" + r + "x" + c + "xf32>\n!row = tensor<" + c +
         "xf32>\n!column = tensor<" + r + "xf32>\n!turned = tensor<" + c + "x" +
         r + "xf32>\n!tokens = tensor<" + r + "xi32>\n" + R"(
#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
#column = affine_map<(i, j) -> (i)>
#turned = affine_map<(i, j) -> (j, i)>
weir.pipeline @p stages 1 ()" +
         inputs + ") {\n%r:" + std::to_string(numResults) +
         " = weir.forward 0 (" + bindings + ") -> (" + which.results +
         ") {\n%zero = arith.constant 0.0 : f32\n" + which.body + "\n}\n}\n";
}

/// Uniform in (0.1, 1.1); integers are 0 .. 63.
static void fill(char *memory, RankedTensorType type,
                 std::mt19937_64 &generator) {
  std::uniform_real_distribution<float> distribution(0.1f, 1.1f);
  for (int64_t i = 0; i < type.getNumElements(); ++i) {
    if (type.getElementType().isF32())
      reinterpret_cast<float *>(memory)[i] = distribution(generator);
    else
      reinterpret_cast<int32_t *>(memory)[i] = generator() % 64;
  }
}

Kernel::Kernel(const Case &which, int64_t columns) {
  context.loadDialect<WeirDialect, arith::ArithDialect, linalg::LinalgDialect,
                      math::MathDialect, tensor::TensorDialect>();
  module = parseSourceString<ModuleOp>(makeText(which, columns), &context);
  PassManager manager(&context);
  manager.addPass(createWeirFixRounding());
  manager.addPass(createConvertWeirToHost());
  if (!module || failed(manager.run(*module)))
    return;
  StagePassOpInterface pass;
  module->walk([&](StagePassOpInterface op) { pass = op; });
  StringRef name = pass.getKernelAttr().getValue();
  llvm::Expected<std::unique_ptr<HostJit>> compiled = HostJit::create(
      {getKernelsModule(*module), {}, name, {}}, &weir_host_product);
  if (!compiled) {
    llvm::errs() << llvm::toString(compiled.takeError()) << "\n";
    return;
  }
  jit = std::move(*compiled);
  kernel = llvm::cantFail(jit->lookup(name));
  std::mt19937_64 generator(1);
  for (const PassBuffer &buffer : getPassBuffers(pass)) {
    int64_t bytes = buffer.kind == PassBuffer::Kind::Workspace
                        ? pass.getWorkspaceBytes()
                        : getValueBytes(buffer.type);
    if (buffer.kind == PassBuffer::Kind::Workspace && bytes == 0)
      continue;
    memory.push_back(std::make_unique<char[]>(bytes + WEIR_ALIGNMENT));
    auto address = llvm::alignTo(
        reinterpret_cast<uintptr_t>(memory.back().get()), WEIR_ALIGNMENT);
    addresses.push_back(reinterpret_cast<void *>(address));
    if (buffer.kind != PassBuffer::Kind::Workspace)
      fill(static_cast<char *>(addresses.back()),
           cast<RankedTensorType>(buffer.type), generator);
  }
}

double Kernel::run() {
  auto start = std::chrono::steady_clock::now();
  kernel(nullptr, addresses.data());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

static const char layernorm[] = R"(
  %n = arith.constant dense<1.3e-3> : !column
  %eps = arith.constant dense<1.0e-5> : !column
  %ec = tensor.empty() : !column
  %ef = tensor.empty() : !full
  %fc = linalg.fill ins(%zero : f32) outs(%ec : !column) -> !column
  %s = linalg.reduce {arith.addf} ins(%a0 : !full) outs(%fc : !column) dimensions = [1]
  %mean = arith.mulf %s, %n : !column
  %q = linalg.generic {indexing_maps = [#full, #column, #column], iterator_types = ["parallel", "reduction"]}
      ins(%a0, %mean : !full, !column) outs(%fc : !column) {
  ^bb0(%x: f32, %m: f32, %acc: f32):
    %d = arith.subf %x, %m : f32
    %p = arith.mulf %d, %d : f32
    %t = arith.addf %acc, %p : f32
    linalg.yield %t : f32
  } -> !column
  %variance = arith.mulf %q, %n : !column
  %shifted = arith.addf %variance, %eps : !column
  %scale = math.rsqrt %shifted : !column
  %y = linalg.generic {indexing_maps = [#full, #column, #column, #row, #row, #full], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %mean, %scale, %a1, %a2 : !full, !column, !column, !row, !row) outs(%ef : !full) {
  ^bb0(%x: f32, %m: f32, %r: f32, %g: f32, %b: f32, %o: f32):
    %d = arith.subf %x, %m : f32
    %u = arith.mulf %d, %r : f32
    %v = arith.mulf %u, %g : f32
    %w = arith.addf %v, %b : f32
    linalg.yield %w : f32
  } -> !full
  weir.yield %y, %mean, %scale : !full, !column, !column)";

// x, dy, gain, mean, scale
static const char layernormBackward[] = R"(
  %ec = tensor.empty() : !column
  %er = tensor.empty() : !row
  %ef = tensor.empty() : !full
  %fc = linalg.fill ins(%zero : f32) outs(%ec : !column) -> !column
  %fr = linalg.fill ins(%zero : f32) outs(%er : !row) -> !row
  %n = arith.constant dense<1.3e-3> : !column
  %u = linalg.generic {indexing_maps = [#full, #column, #column, #full], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a3, %a4 : !full, !column, !column) outs(%ef : !full) {
  ^bb0(%x: f32, %m: f32, %r: f32, %o: f32):
    %d = arith.subf %x, %m : f32
    %w = arith.mulf %d, %r : f32
    linalg.yield %w : f32
  } -> !full
  %du = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
      ins(%a1, %a2 : !full, !row) outs(%ef : !full) {
  ^bb0(%d: f32, %g: f32, %o: f32):
    %w = arith.mulf %d, %g : f32
    linalg.yield %w : f32
  } -> !full
  %p = arith.mulf %du, %u : !full
  %s = linalg.reduce {arith.addf} ins(%du : !full) outs(%fc : !column) dimensions = [1]
  %t = linalg.reduce {arith.addf} ins(%p : !full) outs(%fc : !column) dimensions = [1]
  %ms = arith.mulf %s, %n : !column
  %mt = arith.mulf %t, %n : !column
  %dx = linalg.generic {indexing_maps = [#full, #full, #column, #column, #column, #full], iterator_types = ["parallel", "parallel"]}
      ins(%du, %u, %ms, %mt, %a4 : !full, !full, !column, !column, !column) outs(%ef : !full) {
  ^bb0(%d: f32, %v: f32, %c: f32, %e: f32, %r: f32, %o: f32):
    %f = arith.mulf %v, %e : f32
    %g = arith.subf %d, %c : f32
    %h = arith.subf %g, %f : f32
    %i = arith.mulf %h, %r : f32
    linalg.yield %i : f32
  } -> !full
  %gp = arith.mulf %a1, %u : !full
  %dgain = linalg.reduce {arith.addf} ins(%gp : !full) outs(%fr : !row) dimensions = [0]
  %dbias = linalg.reduce {arith.addf} ins(%a1 : !full) outs(%fr : !row) dimensions = [0]
  weir.yield %dx, %dgain, %dbias : !full, !row, !row)";

// The loss of every row and the gradient of its logits.
static const char crossEntropy[] = R"(
  %lowest = arith.constant 0xFF800000 : f32
  %ec = tensor.empty() : !column
  %ef = tensor.empty() : !full
  %fc = linalg.fill ins(%zero : f32) outs(%ec : !column) -> !column
  %fm = linalg.fill ins(%lowest : f32) outs(%ec : !column) -> !column
  %top = linalg.reduce {arith.maximumf} ins(%a0 : !full) outs(%fm : !column) dimensions = [1]
  %e = linalg.generic {indexing_maps = [#full, #column, #full], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %top : !full, !column) outs(%ef : !full) {
  ^bb0(%x: f32, %m: f32, %o: f32):
    %d = arith.subf %x, %m : f32
    %w = math.exp %d : f32
    linalg.yield %w : f32
  } -> !full
  %s = linalg.reduce {arith.addf} ins(%e : !full) outs(%fc : !column) dimensions = [1]
  %loss = math.log %s : !column
  %g = linalg.generic {indexing_maps = [#full, #column, #column, #full], iterator_types = ["parallel", "parallel"]}
      ins(%e, %s, %a1 : !full, !column, !tokens) outs(%ef : !full) {
  ^bb0(%x: f32, %t: f32, %label: i32, %o: f32):
    %one = arith.constant 1.0 : f32
    %j = linalg.index 1 : index
    %k = arith.index_cast %j : index to i32
    %is = arith.cmpi eq, %k, %label : i32
    %p = arith.divf %x, %t : f32
    %q = arith.subf %p, %one : f32
    %w = arith.select %is, %q, %p : f32
    linalg.yield %w : f32
  } -> !full
  weir.yield %loss, %g : !column, !full)";

static const char gelu[] = R"(
  %ef = tensor.empty() : !full
  %y = linalg.generic {indexing_maps = [#full, #full], iterator_types = ["parallel", "parallel"]}
      ins(%a0 : !full) outs(%ef : !full) {
  ^bb0(%x: f32, %o: f32):
    %a = arith.constant 0.044715 : f32
    %b = arith.constant 0.7978845608 : f32
    %half = arith.constant 0.5 : f32
    %one = arith.constant 1.0 : f32
    %p = arith.mulf %x, %x : f32
    %q = arith.mulf %p, %x : f32
    %r = arith.mulf %q, %a : f32
    %s = arith.addf %x, %r : f32
    %t = arith.mulf %s, %b : f32
    %u = math.tanh %t : f32
    %v = arith.addf %u, %one : f32
    %w = arith.mulf %x, %half : f32
    %z = arith.mulf %v, %w : f32
    linalg.yield %z : f32
  } -> !full
  weir.yield %y : !full)";

static const char bias[] = R"(
  %ef = tensor.empty() : !full
  %y = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a1 : !full, !row) outs(%ef : !full) {
  ^bb0(%x: f32, %b: f32, %o: f32):
    %z = arith.addf %x, %b : f32
    linalg.yield %z : f32
  } -> !full
  weir.yield %y : !full)";

static const char biasGradient[] = R"(
  %er = tensor.empty() : !row
  %fr = linalg.fill ins(%zero : f32) outs(%er : !row) -> !row
  %y = linalg.reduce {arith.addf} ins(%a0 : !full) outs(%fr : !row) dimensions = [0]
  weir.yield %y : !row)";

static const char transpose[] = R"(
  %et = tensor.empty() : !turned
  %y = linalg.transpose ins(%a0 : !full) outs(%et : !turned) permutation = [1, 0]
  weir.yield %y : !turned)";

// The tokens' rows to the table of 64.
static const char scatter[] = R"(
  %ef = tensor.empty() : !full
  %table = linalg.fill ins(%zero : f32) outs(%ef : !full) -> !full
  %y = weir.scatter_add %a0 into %table[%a1] : !full into !full[!tokens]
  weir.yield %y : !full)";

// Weight, gradient and two moments.
static const char adamw[] = R"(
  %ef = tensor.empty() : !full
  %y:3 = linalg.generic {indexing_maps = [#full, #full, #full, #full, #full, #full, #full], iterator_types = ["parallel", "parallel"]}
      ins(%a0, %a1, %a2, %a3 : !full, !full, !full, !full) outs(%ef, %ef, %ef : !full, !full, !full) {
  ^bb0(%w: f32, %g: f32, %m: f32, %v: f32, %o0: f32, %o1: f32, %o2: f32):
    %b1 = arith.constant 0.9 : f32
    %b2 = arith.constant 0.95 : f32
    %c1 = arith.constant 0.1 : f32
    %c2 = arith.constant 0.05 : f32
    %eps = arith.constant 1.0e-8 : f32
    %rate = arith.constant 1.0e-3 : f32
    %p = arith.mulf %m, %b1 : f32
    %q = arith.mulf %g, %c1 : f32
    %m1 = arith.addf %p, %q : f32
    %r = arith.mulf %v, %b2 : f32
    %s = arith.mulf %g, %g : f32
    %t = arith.mulf %s, %c2 : f32
    %v1 = arith.addf %r, %t : f32
    %u = math.sqrt %v1 : f32
    %d = arith.addf %u, %eps : f32
    %x = arith.divf %m1, %d : f32
    %z = arith.mulf %x, %rate : f32
    %w1 = arith.subf %w, %z : f32
    linalg.yield %w1, %m1, %v1 : f32, f32, f32
  } -> (!full, !full, !full)
  weir.yield %y#0, %y#1, %y#2 : !full, !full, !full)";

static const char product[] = R"(
  %es = tensor.empty() : tensor<64x64xf32>
  %fs = linalg.fill ins(%zero : f32) outs(%es : tensor<64x64xf32>) -> tensor<64x64xf32>
  %y = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%a0, %a1 : !full, !full) outs(%fs : tensor<64x64xf32>) -> tensor<64x64xf32>
  weir.yield %y : tensor<64x64xf32>)";

static const Case cases[] = {
    {"layernorm", "!full, !row, !row", "!full, !column, !column", layernorm,
     256, 768, 770},
    {"layernorm_backward", "!full, !full, !row, !column, !column",
     "!full, !row, !row", layernormBackward, 256, 768, 770},
    {"cross_entropy", "!full, !tokens", "!column, !full", crossEntropy, 8,
     50304, 50257},
    {"gelu", "!full", "!full", gelu, 256, 768, 770},
    {"bias_add_small", "!full, !row", "!full", bias, 64, 768, 770},
    {"bias_add", "!full, !row", "!full", bias, 256, 768, 770},
    {"bias_gradient", "!full", "!row", biasGradient, 256, 768, 770},
    {"bias_gradient_vocabulary", "!full", "!row", biasGradient, 8, 50304,
     50257},
    {"transpose_768", "!full", "!turned", transpose, 256, 768, 770},
    {"transpose_heads", "!full", "!turned", transpose, 64, 128, 130},
    {"scatter_add", "!full, !tokens", "!full", scatter, 64, 768, 770},
    {"adamw", "!full, !full, !full, !full", "!full, !full, !full", adamw, 64,
     768, 770},
    {"product_reduced", "!full, !full", "tensor<64x64xf32>", product, 64, 768,
     770},
    {"product_vocabulary", "!full, !full", "tensor<64x64xf32>", product, 64,
     50304, 50257},
};

static void compare(benchmark::State &state, const Case &which) {
  Kernel even(which, which.even), odd(which, which.odd);
  double evenSeconds = std::numeric_limits<double>::infinity();
  double oddSeconds = evenSeconds;
  for (auto _ : state) {
    evenSeconds = std::min(evenSeconds, even.run());
    oddSeconds = std::min(oddSeconds, odd.run());
  }
  double evenNs = evenSeconds * 1e9 / (which.rows * which.even);
  double oddNs = oddSeconds * 1e9 / (which.rows * which.odd);
  state.counters["even_ns"] = evenNs;
  state.counters["odd_ns"] = oddNs;
  state.counters["ratio"] = oddNs / evenNs;
}

int main(int argc, char **argv) {
  for (const Case &which : cases)
    benchmark::RegisterBenchmark(which.name, [&which](benchmark::State &state) {
      compare(state, which);
    })->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
