// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "IRProperty.h"

#include "weir/Driver/Compiler.h"
#include "weir/InitAll.h"
#include "weir/Target/HostTarget.h"

#include "mlir/IR/Verifier.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

#include "llvm/Support/xxhash.h"

#include <random>

using namespace mlir;
using namespace weir;
using namespace weir::test;

namespace {

/// The context of all texts, and how many errors were emitted.
class Compilation {
public:
  Compilation() : context(getRegistry(), MLIRContext::Threading::DISABLED) {
    context.getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
      if (diagnostic.getSeverity() == DiagnosticSeverity::Error) {
        ++errors;
        lastError = diagnostic.str();
      }
      return success();
    });
  }

  /// `text` ends with a zero, as files do that are read: the lexer looks one
  /// character ahead.
  OwningOpRef<ModuleOp> read(const std::string &text) {
    return parseSourceString<ModuleOp>(text, ParserConfig(&context));
  }

  /// Runs one pass, given as in a pipeline, and says what is wrong.
  std::string run(ModuleOp module, StringRef pass, bool &failedCleanly);
  /// The same with the whole compiler.
  std::string compile(ModuleOp module, const CompilerOptions &options,
                      bool &failedCleanly);

private:
  static const DialectRegistry &getRegistry();
  std::string judge(ModuleOp module, bool hasFailed, StringRef what);

  MLIRContext context;
  int64_t errors = 0;
  std::string lastError;
};

} // namespace

const DialectRegistry &Compilation::getRegistry() {
  static const DialectRegistry registry = [] {
    DialectRegistry all;
    mlir::registerAllDialects(all);
    mlir::registerAllExtensions(all);
    weir::registerAllDialects(all);
    registerHostTargetDialects(all);
    weir::registerAllPasses();
    // The compiler refuses to run passes without.
    registerPassManagerCLOptions();
    return all;
  }();
  return registry;
}

std::string Compilation::judge(ModuleOp module, bool hasFailed,
                               StringRef what) {
  if (hasFailed)
    return errors > 0 ? "" : (what + " failed without an error").str();
  if (failed(verify(module)))
    return (what + " left a module that does not verify: " + lastError).str();
  return "";
}

std::string Compilation::run(ModuleOp module, StringRef pass,
                             bool &failedCleanly) {
  PassManager passes(&context);
  passes.enableVerifier(false);
  if (failed(parsePassPipeline(pass, passes, llvm::nulls())))
    return ("cannot parse the pipeline " + pass).str();
  errors = 0;
  failedCleanly = failed(passes.run(module));
  return judge(module, failedCleanly, pass);
}

std::string Compilation::compile(ModuleOp module,
                                 const CompilerOptions &options,
                                 bool &failedCleanly) {
  errors = 0;
  failedCleanly = failed(compileTo(module, Level::Plan, options));
  return judge(module, failedCleanly, "the compiler");
}

static std::string toText(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module->print(os, OpPrintingFlags().useLocalScope());
  return text;
}

/// The passes of all levels in their order. Each refuses what is not for it.
static std::vector<std::string> choosePasses(std::mt19937 &random) {
  auto pick = [&](std::initializer_list<const char *> choices) {
    return std::string(choices.begin()[std::uniform_int_distribution<size_t>(
        0, choices.size() - 1)(random)]);
  };
  std::string stages = pick({"1", "2", "3", "4"});
  std::string placement = pick({"linear", "linear", "loop", "v"});
  std::string devices = pick({"0", "1", "2", "4"});
  return {
      "weir-differentiate",
      "weir-fix-rounding{lanes=" + pick({"1", "4", "16"}) + "}",
      "weir-estimate-costs",
      "weir-partition{stages=" + stages + " devices=" + devices +
          " placement=" + placement +
          pick({"", "", " memory-limit=2000", " memory-limit=200000"}) + "}",
      "weir-split-backward",
      "weir-outline-stages",
      "weir-add-optimizer{optimizer=" + pick({"sgd", "adamw"}) + "}",
      "convert-weir-to-host",
      "weir-schedule{devices=" + pick({"1", "2", "3", "4"}) +
          " microbatches=" + pick({"1", "2", "3", "7"}) +
          " placement=" + placement + " time-budget=0 schedule=" +
          pick({"gpipe", "1f1b", "interleaved-1f1b", "interleaved-zb", "zb-h1",
                "zb-h2", "zb-v", "v-min", "v-half", "v-zb", "gis", "dualpipe-v",
                "auto"}) +
          pick({"", "", " memory-limit=5000", " memory-limit=200000"}) + "}",
      "weir-schedule-problems{schedule=" +
          pick({"1f1b", "v-half", "zb-h1", "auto"}) + " time-budget=0}",
      "weir-check-schedules",
      "weir-verify-programs",
      "weir-plan-memory",
      "weir-verify-programs",
  };
}

/// Whether upstream's parsers and verifiers may crash on `text`, as those of
/// some ops do (LLVM 22.1): on a damaged body of a reduce or map that is not in
/// the generic form, in quotes, on a concat along a negative dimension, and on
/// a reshape with an empty group of dimensions. Nothing of this compiler has
/// run by then.
static bool mayCrashUpstream(StringRef text) {
  for (StringRef name : {"linalg.reduce", "linalg.map"})
    for (size_t at = 0; (at = text.find(name, at)) != StringRef::npos; ++at)
      if (at == 0 || text[at - 1] != '"')
        return true;
  if (text.contains("tensor.concat") &&
      (text.contains("dim = -") || text.contains("dim(-")))
    return true;
  return text.contains("_shape") &&
         (text.contains("[[]") || text.contains(", []"));
}

std::string weir::test::violatedByModule(std::string_view text,
                                         Progress &progress) {
  static Compilation compilation;
  progress = Progress::Refused;
  if (mayCrashUpstream(StringRef(text.data(), text.size())))
    return "";
  OwningOpRef<ModuleOp> module = compilation.read(std::string(text));
  if (!module)
    return "";
  progress = Progress::Read;
  std::string printed = toText(*module);
  OwningOpRef<ModuleOp> again = compilation.read(printed);
  if (!again)
    return "what was printed cannot be read";
  if (toText(*again) != printed)
    return "what was printed and read prints otherwise";

  std::mt19937 random(llvm::xxh3_64bits(StringRef(text.data(), text.size())));
  for (const std::string &pass : choosePasses(random)) {
    // A pass that has nothing to do here fails and leaves a copy behind.
    OwningOpRef<ModuleOp> copy = module->clone();
    bool failedCleanly = false;
    std::string violated = compilation.run(*copy, pass, failedCleanly);
    if (!violated.empty())
      return violated;
    if (failedCleanly)
      continue;
    module = std::move(copy);
    progress = Progress::Compiled;
  }
  CompilerOptions options;
  options.devices = 1 + random() % 4;
  options.microbatches = 1 + random() % 5;
  options.schedule = random() % 2 ? "1f1b" : "v-half";
  bool failedCleanly = false;
  return compilation.compile(*again, options, failedCleanly);
}
