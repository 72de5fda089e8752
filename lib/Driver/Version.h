//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_DRIVER_VERSION_H
#define WEIR_LIB_DRIVER_VERSION_H

namespace weir {

/// Lets --version, and what is printed when a tool crashes, speak of Weir. Call
/// before the command line is parsed.
void introduceTool();

} // namespace weir

#endif // WEIR_LIB_DRIVER_VERSION_H
