// RUN: not weir-opt %s --weir-fix-rounding=lanes=12 2>&1 | FileCheck %s

// CHECK: error: the number of lanes must be a power of two up to 1024, got 12
module {
}
