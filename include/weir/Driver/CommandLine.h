//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The command line that weirc and weir-run share.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DRIVER_COMMANDLINE_H
#define WEIR_DRIVER_COMMANDLINE_H

#include "weir/Driver/Compiler.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"

namespace weir {

/// The category of the options of the tools; others are hidden from --help.
llvm::cl::OptionCategory &getToolCategory();

/// Makes the options known to llvm::cl. Call once, before parsing.
void registerCompilerCommandLine();

/// Whether `argument` of a command line is an option that llvm::cl knows, or no
/// option at all.
bool isCompilerArgument(llvm::StringRef argument);

/// The options as given.
CompilerOptions getCompilerOptions();
llvm::StringRef getInputPath();
/// Where to write the picture of the schedule, or empty.
llvm::StringRef getTimelinePath();

/// Registers all dialects, and sets diagnostics up for people.
void prepareContext(mlir::MLIRContext &context);

/// Prints `message` as an error of the tool, returns the exit status 1.
int reportError(const llvm::Twine &message);

/// An input file and its errors, shown with the line of the input.
class InputFile {
public:
  /// Null after an error, which was printed.
  static std::unique_ptr<InputFile> open(llvm::StringRef path,
                                         mlir::MLIRContext &context);
  ~InputFile();

  mlir::ModuleOp getModule();

private:
  InputFile();
  struct Content;
  std::unique_ptr<Content> content;
};

} // namespace weir

#endif // WEIR_DRIVER_COMMANDLINE_H
