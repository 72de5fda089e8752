//===- Executable.cpp - link a program with the runtime -------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "HostCode.h"

#include "weir/Target/OutputFile.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Signals.h"

using namespace weir;

/// Any address of this library, to find the running tool by.
static int anchor;

llvm::Expected<std::string> weir::findRuntime(llvm::StringRef name) {
  std::string tool = llvm::sys::fs::getMainExecutable("weirc", &anchor);
  llvm::SmallString<128> beside(
      llvm::sys::path::parent_path(llvm::sys::path::parent_path(tool)));
  llvm::sys::path::append(beside, "lib", name);
  if (llvm::sys::fs::exists(beside))
    return beside.str().str();
  if (const char *directory = getenv("WEIR_LIBDIR")) {
    llvm::SmallString<128> path(directory);
    llvm::sys::path::append(path, name);
    if (llvm::sys::fs::exists(path))
      return path.str().str();
  }
  return llvm::createStringError("cannot link: there is no runtime at '" +
                                 beside +
                                 "' and none in the directory WEIR_LIBDIR");
}

static llvm::Expected<std::string> findDriver() {
  llvm::SmallVector<llvm::StringRef> names;
  if (const char *name = getenv("CXX"))
    names.push_back(name);
  names.append({"clang++-22", "clang++", "c++"});
  for (llvm::StringRef name : names)
    if (llvm::ErrorOr<std::string> path = llvm::sys::findProgramByName(name))
      return *path;
  return llvm::createStringError(
      "cannot link: found no C++ compiler (clang++-22, clang++ or c++)");
}

/// The first line of a file that says what is wrong, or its first line; empty
/// if there is none. What the driver says when the linker has failed is no
/// news.
static std::string getFirstError(llvm::StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return "";
  llvm::SmallVector<llvm::StringRef> lines;
  (*buffer)->getBuffer().split(lines, '\n', -1, /*KeepEmpty=*/false);
  llvm::erase_if(lines, [](llvm::StringRef line) {
    return line.contains("linker command failed");
  });
  for (llvm::StringRef line : lines)
    for (llvm::StringRef word : {"error", "undefined", "multiple definition"})
      if (line.contains(word))
        return line.trim().str();
  return lines.empty() ? "" : lines.front().trim().str();
}

/// What the linker, whose output is in the file, said is wrong.
static std::string explainLinkError(llvm::StringRef path) {
  std::string line = getFirstError(path);
  // lld and GNU ld
  for (llvm::StringRef words :
       {"undefined symbol: ", "undefined reference to "})
    if (size_t at = line.find(words); at != std::string::npos)
      return explainMissingFunction(
          llvm::StringRef(line).drop_front(at + words.size()).trim("`'"));
  return line;
}

/// What the compiler driver gets for a library. A shared one is found where it
/// is now, with or without a name of its own.
static void addLibrary(const KernelLibrary &library,
                       std::vector<std::string> &arguments) {
  arguments.push_back(library.path);
  if (library.kind != KernelLibrary::Kind::Shared)
    return;
  for (llvm::StringRef text : {llvm::StringRef("-rpath"),
                               llvm::sys::path::parent_path(library.path)}) {
    arguments.push_back("-Xlinker");
    arguments.push_back(text.str());
  }
}

llvm::Error weir::linkExecutable(llvm::Module &module,
                                 llvm::ArrayRef<KernelLibrary> libraries,
                                 llvm::ArrayRef<std::string> arguments,
                                 llvm::StringRef path) {
  llvm::Expected<std::string> driver = findDriver();
  if (!driver)
    return driver.takeError();
  llvm::SmallString<128> object, log;
  auto cleanUp = llvm::make_scope_exit([&] {
    for (llvm::StringRef file : {object.str(), log.str()})
      if (!file.empty()) {
        llvm::sys::fs::remove(file);
        llvm::sys::DontRemoveFileOnSignal(file);
      }
  });
  for (auto [file, suffix] :
       {std::pair(&object, "o"), std::pair(&log, "log")}) {
    if (std::error_code code =
            llvm::sys::fs::createTemporaryFile("weir", suffix, *file))
      return llvm::createStringError("cannot make a temporary file: " +
                                     code.message());
    llvm::sys::RemoveFileOnSignal(*file);
  }
  if (llvm::Error error = writeObject(module, object))
    return error;
  return writeFile(path, [&](llvm::StringRef temporary) -> llvm::Error {
    std::vector<std::string> words{*driver, object.str().str()};
    for (const KernelLibrary &library : libraries)
      addLibrary(library, words);
    words.insert(words.end(), arguments.begin(), arguments.end());
    words.insert(words.end(), {"-lpthread", "-lm", "-o", temporary.str()});
    llvm::SmallVector<llvm::StringRef> references(words.begin(), words.end());
    std::optional<llvm::StringRef> redirects[] = {llvm::StringRef(), log.str(),
                                                  log.str()};
    std::string message;
    int status = llvm::sys::ExecuteAndWait(*driver, references, std::nullopt,
                                           redirects, /*SecondsToWait=*/0,
                                           /*MemoryLimit=*/0, &message);
    if (status == 0)
      return llvm::Error::success();
    if (message.empty())
      message = explainLinkError(log);
    if (message.empty())
      message = *driver + " ended with status " + std::to_string(status);
    return llvm::createStringError("cannot link: " + message);
  });
}

llvm::Error weir::emitExecutable(const HostProgram &program,
                                 llvm::StringRef path) {
  llvm::Expected<std::string> runtime = findRuntime("libweir_runtime.a");
  if (!runtime)
    return runtime.takeError();
  llvm::LLVMContext context;
  llvm::Expected<std::unique_ptr<llvm::Module>> module =
      translateToLLVM(program, context, /*withMain=*/true);
  if (!module)
    return module.takeError();
  return linkExecutable(**module, program.libraries, {*runtime, "-ldnnl"},
                        path);
}
