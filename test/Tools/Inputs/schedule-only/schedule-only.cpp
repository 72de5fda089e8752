// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "weir/Schedule/NamedSchedules.h"

int main() { return weir::schedule::findNamed("1f1b") ? 0 : 1; }
