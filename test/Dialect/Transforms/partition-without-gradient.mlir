// RUN: weir-opt %s --weir-partition=stages=2 | FileCheck %s
// RUN: not weir-opt %s --weir-partition=stages=3 2>&1 | FileCheck %s --check-prefix=MANY

// A count of labels has no gradient. However long it takes, it is no stage of its
// own: the stage before it would wait for a gradient that never comes.

// MANY: error: cannot cut the model into 3 stages: only 2 of its operations have a gradient

weir.variable @w <normal, 0.02> : tensor<f32>
func.func @net(%x: tensor<f32>) attributes {weir.joint} {
  // CHECK: math.exp {{.*}}weir.op = 0 {{.*}}weir.stage = 0
  %y = math.exp %x {weir.op = 0 : i64, weir.seconds = 1.0 : f64} : tensor<f32>
  // CHECK: math.exp {{.*}}weir.op = 1 {{.*}}weir.stage = 1
  %z = math.exp %y {weir.op = 1 : i64, weir.seconds = 1.0 : f64} : tensor<f32>
  // CHECK: math.absf {{.*}}weir.op = 2 {{.*}}weir.stage = 1
  %n = math.absf %x {weir.op = 2 : i64, weir.seconds = 9.0 : f64} : tensor<f32>
  %dz = math.exp %z {weir.adjoint_of = 1 : i64, weir.seconds = 1.0 : f64} : tensor<f32>
  %dy = math.exp %dz {weir.adjoint_of = 0 : i64, weir.seconds = 1.0 : f64} : tensor<f32>
  weir.accumulate @w use 0, %dy : tensor<f32>
  return
}
