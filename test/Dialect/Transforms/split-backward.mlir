// RUN: weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition=stages=2 --weir-split-backward | FileCheck %s

// Products that give the gradient of an activation are backward_input, those that
// give the gradient of a variable backward_weight, in every stage.
// CHECK: linalg.contract {{.*}}weir.op = 0 : i64, weir.pass = #weir.pass<forward>{{.*}}weir.stage = 0
// CHECK: linalg.contract {{.*}}weir.op = 1 : i64, weir.pass = #weir.pass<forward>{{.*}}weir.stage = 0
// CHECK: linalg.contract {{.*}}weir.op = 2 : i64, weir.pass = #weir.pass<forward>{{.*}}weir.stage = 1
// CHECK: weir.report {{.*}}weir.pass = #weir.pass<forward>{{.*}}weir.stage = 1
// CHECK: linalg.contract {{.*}}weir.adjoint_of = 2 : i64, {{.*}}weir.pass = #weir.pass<backward_weight>{{.*}}weir.stage = 1
// CHECK: weir.accumulate @w1 use 0{{.*}}weir.pass = #weir.pass<backward_weight>{{.*}}weir.stage = 1
// CHECK: linalg.contract {{.*}}weir.adjoint_of = 2 : i64, {{.*}}weir.pass = #weir.pass<backward_input>{{.*}}weir.stage = 1
// CHECK: linalg.contract {{.*}}weir.adjoint_of = 1 : i64, {{.*}}weir.pass = #weir.pass<backward_weight>{{.*}}weir.stage = 0
// CHECK: linalg.contract {{.*}}weir.adjoint_of = 1 : i64, {{.*}}weir.pass = #weir.pass<backward_input>{{.*}}weir.stage = 0
// CHECK: linalg.contract {{.*}}weir.adjoint_of = 0 : i64, {{.*}}weir.pass = #weir.pass<backward_weight>{{.*}}weir.stage = 0
