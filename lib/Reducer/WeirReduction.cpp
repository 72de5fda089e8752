//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Reduction.h"
#include "weir/Analysis/ProgramLiveness.h"
#include "weir/Reducer/Passes.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Reducer/Tester.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Program.h"

namespace weir {
#define GEN_PASS_DEF_WEIRREDUCTION
#include "weir/Reducer/Passes.h.inc"
} // namespace weir

using namespace mlir;
using namespace weir;

namespace {

struct WeirReduction : weir::impl::WeirReductionBase<WeirReduction> {
  using WeirReductionBase::WeirReductionBase;

  void runOnOperation() override {
    if (failed(checkOptions()))
      return signalPassFailure();
    std::vector<std::string> arguments(testArguments.begin(),
                                       testArguments.end());
    Tester tester(test, arguments);
    if (!isInteresting(getOperation(), tester)) {
      getOperation().emitError("the test does not end with status 1 on the "
                               "module as it is, so there is nothing to keep");
      return signalPassFailure();
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (const Reduction &reduction : getReductions())
        if (only.empty() || llvm::is_contained(only, reduction.name))
          changed |= apply(reduction, tester);
    }
  }

private:
  /// Finer parts are for when less is left.
  static constexpr size_t mostParts = 1 << 14;

  LogicalResult checkOptions() {
    for (const std::string &name : only) {
      if (llvm::any_of(getReductions(), [&](const Reduction &reduction) {
            return reduction.name == name;
          }))
        continue;
      std::string known;
      for (const Reduction &reduction : getReductions())
        known += (known.empty() ? "" : ", ") + reduction.name.str();
      return getOperation().emitError("unknown '")
             << name << "' in only; known are " << known;
    }
    if (test.empty())
      return getOperation().emitError("needs a test: test=PROGRAM");
    if (!llvm::sys::fs::can_execute(test))
      return getOperation().emitError("cannot run the test '") << test << "'";
    return success();
  }

  bool isInteresting(ModuleOp module, const Tester &tester) {
    ++numTests;
    return tester.isInteresting(module).first == Tester::Interestingness::True;
  }

  /// Leaves out what it can; whether that was anything.
  bool apply(const Reduction &reduction, const Tester &tester) {
    ModuleOp module = getOperation();
    bool changed = false;
    size_t count = reduction.count(module), least = count / mostParts + 1;
    for (size_t part = count; part >= least; part /= 2)
      for (size_t end = reduction.count(module); end > 0;) {
        size_t begin = end > part ? end - part : 0;
        if (tryWithout(reduction, begin, end, tester))
          changed = true;
        end = std::min(begin, reduction.count(module));
      }
    return changed;
  }

  /// Arenas shrink by what their buffers do: one that has the right size keeps
  /// it.
  void fitArenas(ModuleOp smaller) {
    for (auto program : smaller.getOps<ProgramOp>()) {
      auto before =
          getOperation().lookupSymbol<ProgramOp>(program.getSymName());
      if (!before || !before.getArena() || !program.getArena())
        continue;
      int64_t excess = *before.getArena() - getUsedBytes(before);
      program.setArena(std::max<int64_t>(0, getUsedBytes(program) + excess));
    }
  }

  bool tryWithout(const Reduction &reduction, size_t begin, size_t end,
                  const Tester &tester) {
    OwningOpRef<ModuleOp> smaller = getOperation().clone();
    {
      ScopedDiagnosticHandler quiet(&getContext(),
                                    [](Diagnostic &) { return success(); });
      if (failed(reduction.remove(*smaller, begin, end)) ||
          failed(verify(*smaller)))
        return false;
      fitArenas(*smaller);
    }
    if (!isInteresting(*smaller, tester))
      return false;
    getOperation().getBodyRegion().takeBody(smaller->getBodyRegion());
    return true;
  }
};

} // namespace
