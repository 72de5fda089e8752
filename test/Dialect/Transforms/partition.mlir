// RUN: weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=3 schedule=gpipe" | FileCheck %s
// RUN: weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=2 cuts=1" | FileCheck %s --check-prefix=GIVEN

// Three stages: one product each, the sum with the last. An adjoint goes with its
// op, a sum of a gradient to the stage that made it.
// CHECK: linalg.contract {{.*}}weir.op = 0 : i64, {{.*}}weir.stage = 0
// CHECK: linalg.contract {{.*}}weir.op = 1 : i64, {{.*}}weir.stage = 1
// CHECK: linalg.contract {{.*}}weir.op = 2 : i64, {{.*}}weir.stage = 2
// CHECK: linalg.generic {{.*}}weir.op = 3 : i64, {{.*}}weir.stage = 2
// CHECK: linalg.contract {{.*}}weir.adjoint_of = 1 : i64, {{.*}}weir.stage = 1
// CHECK: weir.accumulate @w0 use 1, {{.*}}weir.stage = 1
// CHECK: linalg.contract {{.*}}weir.adjoint_of = 0 : i64, {{.*}}weir.stage = 0
// CHECK: weir.accumulate @w0 use 0, {{.*}}weir.stage = 0

// A given cut is taken as it is, however uneven.
// GIVEN: linalg.contract {{.*}}weir.op = 0 : i64, {{.*}}weir.stage = 0
// GIVEN: linalg.contract {{.*}}weir.op = 1 : i64, {{.*}}weir.stage = 1
// GIVEN: linalg.contract {{.*}}weir.op = 2 : i64, {{.*}}weir.stage = 1
