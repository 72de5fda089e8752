// RUN: weir-opt %s | weir-opt | FileCheck %s
// RUN: weir-opt %s --mlir-print-op-generic | weir-opt | FileCheck %s

// The ops of models and joint graphs read as they are printed.

// CHECK: weir.variable @table <normal, 2.000000e-02> decay : tensor<16x4xf32>
weir.variable @table <normal, 0.02> decay : tensor<16x4xf32>
// CHECK: weir.variable @bias <constant, 0.000000e+00> : tensor<4xf64>
weir.variable @bias <constant, 0.0> : tensor<4xf64>
// A whole number is a value too, and so is a negative one.
// CHECK: weir.variable @scale <constant, -1.000000e+00> : tensor<f32>
weir.variable @scale <constant, -1.0> : tensor<f32>

// CHECK-LABEL: func.func @model
func.func @model(%tokens: tensor<2x3xi32> {weir.input = "tokens"})
    -> tensor<16x4xf32> attributes {weir.model} {
  // CHECK: %[[TABLE:.*]] = weir.read @table : tensor<16x4xf32>
  %table = weir.read @table : tensor<16x4xf32>
  %updates = tensor.empty() : tensor<2x3x4xf32>
  // CHECK: weir.scatter_add %{{.*}} into %[[TABLE]][%{{.*}}] : tensor<2x3x4xf32> into tensor<16x4xf32>[tensor<2x3xi32>]
  %sum = weir.scatter_add %updates into %table[%tokens]
      : tensor<2x3x4xf32> into tensor<16x4xf32>[tensor<2x3xi32>]
  return %sum : tensor<16x4xf32>
}

// Indices of rank 0 address one row.
// CHECK-LABEL: func.func @one_row
func.func @one_row(%row: tensor<4xf64>, %init: tensor<16x4xf64>,
                   %i: tensor<i64>) -> tensor<16x4xf64> {
  // CHECK: weir.scatter_add %{{.*}} into %{{.*}}[%{{.*}}] : tensor<4xf64> into tensor<16x4xf64>[tensor<i64>]
  %sum = weir.scatter_add %row into %init[%i]
      : tensor<4xf64> into tensor<16x4xf64>[tensor<i64>]
  return %sum : tensor<16x4xf64>
}

// CHECK-LABEL: func.func @joint
func.func @joint(%g: tensor<16x4xf32>, %loss: tensor<f32>, %count: tensor<f32>)
    attributes {weir.joint} {
  // CHECK: weir.report %{{.*}}, %{{.*}} {weir.op = 0 : i64} : tensor<f32>, tensor<f32>
  weir.report %loss, %count {weir.op = 0 : i64} : tensor<f32>, tensor<f32>
  // CHECK: weir.accumulate @table use 1, %{{.*}} : tensor<16x4xf32>
  weir.accumulate @table use 1, %g : tensor<16x4xf32>
  // CHECK: weir.accumulate @table use 0, %{{.*}} {weir.stage = 2 : i64} : tensor<16x4xf32>
  weir.accumulate @table use 0, %g {weir.stage = 2 : i64} : tensor<16x4xf32>
  return
}

// A read is pure: one without a use goes away, equal ones become one.
// RUN: weir-opt %s --cse | FileCheck %s --check-prefix=CSE
// CSE-LABEL: func.func @reads
func.func @reads() -> (tensor<f32>, tensor<f32>) {
  // CSE-NEXT: %[[SCALE:.*]] = weir.read @scale
  // CSE-NEXT: return %[[SCALE]], %[[SCALE]]
  %unused = weir.read @bias : tensor<4xf64>
  %a = weir.read @scale : tensor<f32>
  %b = weir.read @scale : tensor<f32>
  return %a, %b : tensor<f32>, tensor<f32>
}

// What adds to a gradient or to the loss stays, even twice.
// CSE-LABEL: func.func @effects
func.func @effects(%g: tensor<f32>) {
  // CSE-NEXT: weir.accumulate
  // CSE-NEXT: weir.accumulate
  // CSE-NEXT: weir.report
  // CSE-NEXT: weir.report
  weir.accumulate @scale use 0, %g : tensor<f32>
  weir.accumulate @scale use 0, %g : tensor<f32>
  weir.report %g, %g : tensor<f32>, tensor<f32>
  weir.report %g, %g : tensor<f32>, tensor<f32>
  return
}

// CHECK-LABEL: func.func @colours
// CHECK-SAME: weir.pass = #weir.pass<backward_weight>
func.func @colours() attributes {weir.pass = #weir.pass<backward_weight>} {
  return
}
