// RUN: weir-opt %s --weir-differentiate --split-input-file -verify-diagnostics | FileCheck %s

// The derivative of a call is a copy of what its kernel has for it: calls of other
// kernels and any other ops. Results without a gradient get zeros; gradients that
// nobody wants are not computed.
weir.variable @x <normal, 1.0> : tensor<4xf32>
weir.variable @g <normal, 1.0> : tensor<4xf32>
weir.kernel @two (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
    -> (tensor<f32>, tensor<4xf32>) keeps (tensor<4xf32>)
    derivative (%a: tensor<4xf32>, %b: tensor<4xf32>, %c: tensor<4xf32>,
                %y: tensor<f32>, %z: tensor<4xf32>, %kept: tensor<4xf32>,
                %dy: tensor<f32>, %dz: tensor<4xf32>) {
  %da, %between = weir.custom @two_a(%kept, %dy, %dz)
      : (tensor<4xf32>, tensor<f32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>)
  %db = weir.custom @two_b(%between) : (tensor<4xf32>) -> tensor<4xf32>
  %dc = arith.mulf %between, %a : tensor<4xf32>
  weir.yield %da, %db, %dc : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}
weir.kernel @two_a (tensor<4xf32>, tensor<f32>, tensor<4xf32>)
    -> (tensor<4xf32>, tensor<4xf32>)
weir.kernel @two_b (tensor<4xf32>) -> (tensor<4xf32>)

// CHECK-LABEL: func.func @model
// CHECK-SAME: %[[T:.*]]: tensor<4xf32>
func.func @model(%t: tensor<4xf32>, %n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %x = weir.read @x : tensor<4xf32>
  %g = weir.read @g : tensor<4xf32>
  // CHECK: %[[Y:.*]]:3 = weir.custom @two(
  %y:3 = weir.custom @two(%x, %t, %g)
      : (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>)
      -> (tensor<f32>, tensor<4xf32>, tensor<4xf32>)
  // CHECK: %[[ONE:.*]] = arith.constant dense<1.0
  // CHECK: %[[ZEROS:.*]] = linalg.fill
  // CHECK: %[[A:.*]]:2 = weir.custom @two_a(%[[Y]]#2, %[[ONE]], %[[ZEROS]]) {{.*}}weir.adjoint_of = 0
  // CHECK-NOT: weir.custom @two_b
  // CHECK: %[[C:.*]] = arith.mulf %[[A]]#1, %{{.*}} {{.*}}weir.adjoint_of = 0
  // CHECK-DAG: weir.accumulate @x use 0, %[[A]]#0
  // CHECK-DAG: weir.accumulate @g use 0, %[[C]]
  return %y#0, %n : tensor<f32>, tensor<f32>
}

// -----

// A kernel without a derivative can be called where no gradient is needed, ...
weir.variable @x <normal, 1.0> : tensor<4xf32>
weir.kernel @mask (tensor<4xf32>) -> (tensor<4xf32>)
weir.kernel @sum (tensor<4xf32>) -> (tensor<f32>)
// CHECK-LABEL: func.func @stopped
func.func @stopped(%t: tensor<4xf32>, %n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %x = weir.read @x : tensor<4xf32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  // CHECK: weir.custom @mask
  %m = weir.custom @mask(%t) : (tensor<4xf32>) -> tensor<4xf32>
  %w = weir.custom @mask(%x) {weir.stop_gradient} : (tensor<4xf32>) -> tensor<4xf32>
  %mw = arith.mulf %m, %w : tensor<4xf32>
  %xm = arith.mulf %x, %mw : tensor<4xf32>
  %l = linalg.reduce { arith.addf } ins(%xm : tensor<4xf32>)
      outs(%zero : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK-NOT: weir.custom
  // CHECK: weir.accumulate @x use 0
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// ... but nowhere else.
weir.variable @x <normal, 1.0> : tensor<4xf32>
// expected-note@+1 {{kernel declared here}}
weir.kernel @sum (tensor<4xf32>) -> (tensor<f32>)
func.func @needed(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %x = weir.read @x : tensor<4xf32>
  // expected-error@+1 {{'weir.custom' op needs a gradient, but its kernel has no derivative; give it one, or mark the call 'weir.stop_gradient' if no gradient shall flow through it}}
  %l = weir.custom @sum(%x) : (tensor<4xf32>) -> tensor<f32>
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// What a kernel keeps has no gradient, so the loss may not depend on it.
weir.variable @x <normal, 1.0> : tensor<4xf32>
// expected-note@+1 {{kernel declared here}}
weir.kernel @sum (tensor<4xf32>) -> (tensor<4xf32>) keeps (tensor<f32>)
    derivative (%x: tensor<4xf32>, %y: tensor<4xf32>, %s: tensor<f32>, %dy: tensor<4xf32>) {
  weir.yield %dy : tensor<4xf32>
}
func.func @kept(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %x = weir.read @x : tensor<4xf32>
  // expected-error@+1 {{'weir.custom' op gives result 1 to the loss, but its kernel keeps that for the derivative only}}
  %y, %l = weir.custom @sum(%x) : (tensor<4xf32>) -> (tensor<4xf32>, tensor<f32>)
  return %l, %n : tensor<f32>, tensor<f32>
}
