// RUN: weir-opt %S/Inputs/products.mlir --weir-estimate-costs="gflops=1 scalar-gflops=0.5 gbps=1 overhead=0" | FileCheck %s

// A product of 8x8 by 8x8 is 2 * 8^3 operations, reads two matrices of 256 bytes
// and writes one; at one operation per nanosecond the arithmetic takes longer.
// CHECK: linalg.contract {{.*}}weir.bytes = 768 : i64, weir.flops = 1024 : i64, weir.op = 0 : i64, weir.seconds = 1.024000e-06 : f64

// A sum of 64 numbers: 64 operations at two nanoseconds, 260 bytes at one; the
// bytes take longer.
// CHECK: linalg.generic {{.*}}"reduction"{{.*}}weir.bytes = 260 : i64, weir.flops = 64 : i64, weir.op = 3 : i64, weir.seconds = 2.600000e-07 : f64

// What every pass repeats costs nothing.
// CHECK-NOT: weir.read{{.*}}weir.seconds
