//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The tools as functions, so that a project with dialects, rules or schedules
// of its own makes its own tools of them:
//
//   int main(int argc, char **argv) {
//     mlir::DialectRegistry registry;
//     weir::registerCompilerDialects(registry);
//     registry.insert<MyDialect>();
//     return weir::weircMain(argc, argv, registry);
//   }
//
// Schedules are added by weir::schedule::registerNamedSchedule, before.
//
// All take the arguments of `main` and return its exit status. Each is called
// at most once in a process, and none together with another.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DRIVER_TOOLMAINS_H
#define WEIR_DRIVER_TOOLMAINS_H

namespace mlir {
class DialectRegistry;
} // namespace mlir

namespace weir {

/// Everything that the tools of Weir know: all dialects of MLIR and that of
/// Weir, with their extensions, derivative rules and translations to LLVM IR.
void registerCompilerDialects(mlir::DialectRegistry &registry);

/// weirc: compiles a model that may use all dialects of `registry`.
int weircMain(int argc, char **argv, const mlir::DialectRegistry &registry);

/// weir-opt: runs passes on IR in the dialects of `registry`. Passes of the
/// caller's own have to be registered before; all of MLIR and Weir are there.
int weirOptMain(int argc, char **argv, mlir::DialectRegistry &registry);

/// weir-lsp-server: serves editors of IR in the dialects of `registry`.
int weirLspServerMain(int argc, char **argv, mlir::DialectRegistry &registry);

/// weir-reduce: makes a module in the dialects of `registry` smaller that still
/// shows a fault.
int weirReduceMain(int argc, char **argv,
                   const mlir::DialectRegistry &registry);

/// weir-run: compiles and trains at once. In the library WeirRunDriver, for it
/// brings the runtime with it.
int weirRunMain(int argc, char **argv, const mlir::DialectRegistry &registry);

/// weir-schedule: schedules without a model. In the library
/// WeirScheduleDriver, which knows nothing of MLIR.
int weirScheduleMain(int argc, char **argv);

} // namespace weir

#endif // WEIR_DRIVER_TOOLMAINS_H
