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
#include "weir/Target/KernelLibrary.h"

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/CommandLine.h"

namespace weir {

/// The category of the options of the tools; others are hidden from --help.
llvm::cl::OptionCategory &getToolCategory();

/// Makes the options known to llvm::cl. Call once, before parsing.
void registerCompilerCommandLine();

/// Parses the arguments; the first is the tool. Ends the process after --help.
/// Nothing after an error, which was printed.
std::optional<CompilerOptions>
parseCommandLine(llvm::ArrayRef<const char *> arguments,
                 llvm::StringRef overview);

llvm::StringRef getInputPath();
/// Where to write the picture of the schedule, or empty.
llvm::StringRef getTimelinePath();
/// Finds the files that --link names, in their order; or says what is wrong
/// with one.
std::optional<std::string>
findKernelLibraries(llvm::SmallVectorImpl<KernelLibrary> &libraries);

/// Says which option was given in vain, because `module` is past what it
/// decides or another option leaves it nothing to decide; or nothing.
std::optional<std::string> checkOptionsMatter(mlir::ModuleOp module);

/// A file of the command line and what a user knows it by, such as
/// "--timeline".
struct NamedFile {
  llvm::StringRef name, path;
};

/// Whether two paths name one regular file. Empty paths and "-" name none.
bool isSameFile(llvm::StringRef a, llvm::StringRef b);

/// Checks before any work is done that all outputs can be written, and that
/// none takes the place of an input or of another output: one line to the user,
/// or nothing. Empty paths are of files that were not asked for.
std::optional<std::string> checkFiles(llvm::ArrayRef<NamedFile> outputs,
                                      llvm::ArrayRef<NamedFile> inputs);

/// Makes the dialects of `registry` known, and sets diagnostics up for people.
void prepareContext(mlir::MLIRContext &context,
                    const mlir::DialectRegistry &registry);

/// Prints `message` as an error of the tool, returns the exit status 1.
int reportError(const llvm::Twine &message);

/// Prints a diagnostic and its notes on standard error, each on a line:
/// "model.mlir:3:5: error: ..." or, without a place in a file, "error: ...".
void printInLines(const mlir::Diagnostic &diagnostic);

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
