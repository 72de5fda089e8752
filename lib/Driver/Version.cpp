//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Version.h"

#include "llvm/Config/llvm-config.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/PrettyStackTrace.h"
#include "llvm/Support/raw_ostream.h"

void weir::introduceTool() {
  llvm::cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "Weir " WEIR_VERSION ", with LLVM " LLVM_VERSION_STRING "\n";
  });
  llvm::setBugReportMsg("This is a fault of Weir. Please report it with the "
                        "input and the lines below.\n");
}
