//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Driver/ToolMains.h"
#include "weir/InitAll.h"
#include "weir/Target/DeviceCode.h"
#include "weir/Target/HostTarget.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"

void weir::registerCompilerDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  weir::registerAllDialects(registry);
  registerHostTargetDialects(registry);
  registerDeviceDialects(registry);
}
