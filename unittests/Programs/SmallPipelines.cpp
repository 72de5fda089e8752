//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SmallPipelines.h"

#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Dialect/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

using namespace mlir;
using namespace weir;

void weir::loadDialects(MLIRContext &context) {
  context.loadDialect<WeirDialect, arith::ArithDialect>();
  context.disableMultithreading();
}

/// T is a tensor, B the bundle of two, # the stage, ~ and ^ its neighbours.
static std::string fillIn(StringRef text, int stage) {
  std::string filled;
  for (char c : text) {
    if (c == 'T')
      filled += "tensor<16xf32>";
    else if (c == 'B')
      filled += "!weir.bundle<tensor<16xf32>, tensor<16xf32>>";
    else if (c == '#')
      filled += std::to_string(stage);
    else if (c == '~')
      filled += stage == 0 ? "_in" : std::to_string(stage - 1);
    else if (c == '^')
      filled += std::to_string(stage + 1);
    else
      filled += c;
  }
  return filled;
}

static std::string makeForward(int stage, bool isLast) {
  std::string text =
      isLast ? "%k# = weir.forward # (%x = %y~ : T) -> B "
             : "%y#, %k# = weir.forward # (%x = %y~ : T) -> (T, B) ";
  text += "attributes {workspace = 100 : i64} {\n"
          "%w = weir.read @w# : T\n%z = arith.addf %x, %w : T\n";
  if (stage == 0 || isLast)
    text += "%t = weir.read @tied : T\n";
  text += "%b = weir.pack %x, %z : (T, T) -> B\n";
  std::string filled = fillIn(text, stage);
  if (isLast)
    filled += "%one = arith.constant dense<1.0> : tensor<f32>\n"
              "weir.report %one, %one : tensor<f32>, tensor<f32>\n";
  return filled + fillIn(isLast ? "weir.yield %b : B\n}\n"
                                : "weir.yield %z, %b : T, B\n}\n",
                         stage);
}

static std::string makeBackward(int stage, bool isLast) {
  std::string constant = "%d = arith.constant dense<1.0> : T\n";
  std::string text;
  if (stage > 0) {
    text = isLast ? "%g#, %l# = weir.backward_input # (%b = %k# : B) -> (T, B) "
                  : "%g#, %l# = weir.backward_input # (%a = %g^ : T, %b = %k# "
                    ": B) -> (T, B) ";
    text += "attributes {workspace = 200 : i64} {\n" + constant +
            "%c = weir.pack %d, %d : (T, T) -> B\nweir.yield %d, %c : T, B\n}\n"
            "weir.backward_weight # (%b = %k# : B, %c = %l# : B) {\n";
  } else {
    text = "weir.backward_weight # (%a = %g^ : T, %b = %k# : B) {\n";
  }
  text += constant + "weir.accumulate @w# use 0, %d : T\n";
  if (stage == 0)
    text += "weir.accumulate @tied use 0, %d : T\n";
  else if (isLast)
    text += "weir.accumulate @tied use 1, %d : T\n";
  return fillIn(text + "}\n", stage);
}

static std::string makeUpdate(std::string variable, int uses) {
  std::string text = "weir.update @" + variable + " uses " +
                     std::to_string(uses) + " states [\"m\"] (%w: T";
  for (int use = 0; use < uses; ++use)
    text += ", %u" + std::to_string(use) + ": T";
  return fillIn(text + ", %m: T, ", 0) +
         "%n: tensor<f32>, %r: tensor<f32>, %s: tensor<f32>) {\n" +
         fillIn("weir.yield %w, %m : T, T\n}\n", 0);
}

static std::string makePipeline(int stages) {
  std::string variables =
      "weir.variable @tied <normal, 0.02> : tensor<16xf32>\n";
  std::string passes, updates = makeUpdate("tied", 2);
  for (int stage = 0; stage < stages; ++stage) {
    std::string name = "w" + std::to_string(stage);
    variables +=
        "weir.variable @" + name + " <normal, 0.02> : tensor<16xf32>\n";
    passes += makeForward(stage, stage == stages - 1);
    updates += makeUpdate(name, 1);
  }
  for (int stage = stages; stage-- > 0;)
    passes += makeBackward(stage, stage == stages - 1);
  return variables + "weir.pipeline @p stages " + std::to_string(stages) +
         " (%y_in = \"x\" : tensor<16xf32>) {\n" + passes + updates + "}\n";
}

OwningOpRef<ModuleOp> weir::makePrograms(MLIRContext &context,
                                         const SmallCase &parameters) {
  std::string text = makePipeline(parameters.stages);
  auto module = parseSourceString<ModuleOp>(text, &context);
  if (!module)
    return nullptr;
  WeirScheduleOptions options;
  options.schedule = parameters.schedule;
  options.devices = parameters.devices;
  options.microbatches = parameters.microbatches;
  PassManager passes(&context);
  passes.addPass(createWeirSchedule(options));
  if (failed(passes.run(*module)))
    return nullptr;
  return module;
}

bool weir::runPass(ModuleOp module, StringRef pass, std::string &errors) {
  ScopedDiagnosticHandler handler(module.getContext(),
                                  [&](Diagnostic &diagnostic) {
                                    errors += diagnostic.str() + "\n";
                                    return success();
                                  });
  PassManager passes(module.getContext());
  passes.addPass(pass == "weir-plan-memory" ? createWeirPlanMemory()
                                            : createWeirVerifyPrograms());
  return succeeded(passes.run(module));
}

SmallVector<ProgramOp> weir::getPrograms(ModuleOp module) {
  return getPrograms(*module.getOps<PipelineOp>().begin());
}
