// RUN: weir-opt %s --weir-differentiate -split-input-file -verify-diagnostics | FileCheck %s

// The joint graph: forward with numbers, report, backward with the numbers of
// the ops it belongs to, one accumulate per use. What is dead is gone.
weir.variable @w <normal, 1.0> : tensor<4x3xf32>
weir.variable @b <constant, 0.0> : tensor<3xf32>

// CHECK-LABEL: func.func @linear
// CHECK-SAME: (%[[X:.*]]: tensor<2x4xf32> {weir.input = "tokens"})
// CHECK-SAME: attributes {weir.joint}
// CHECK-NOT: return %
func.func @linear(%x: tensor<2x4xf32> {weir.input = "tokens"})
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  // CHECK-NOT: math.tanh
  %dead = math.tanh %x : tensor<2x4xf32>
  %zero = arith.constant 0.0 : f32
  // CHECK: %[[W:.*]] = weir.read @w : tensor<4x3xf32>
  %w = weir.read @w : tensor<4x3xf32>
  %e = tensor.empty() : tensor<2x3xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK: %[[Y:.*]] = linalg.contract
  // CHECK-SAME: {weir.op = 0 : i64}
  %y = linalg.contract indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>,
      affine_map<(m, n, k) -> (m, n)>]
      ins(%x, %w : tensor<2x4xf32>, tensor<4x3xf32>)
      outs(%f : tensor<2x3xf32>) -> tensor<2x3xf32>
  %b = weir.read @b : tensor<3xf32>
  %e1 = tensor.empty() : tensor<2x3xf32>
  // CHECK: linalg.generic {{.*}} attrs = {weir.op = 1 : i64}
  %z = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>,
                       affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%y, %b : tensor<2x3xf32>, tensor<3xf32>) outs(%e1 : tensor<2x3xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %s = arith.addf %p, %q : f32
    %t = math.tanh %s : f32
    linalg.yield %t : f32
  } -> tensor<2x3xf32>
  %e2 = tensor.empty() : tensor<f32>
  %f2 = linalg.fill ins(%zero : f32) outs(%e2 : tensor<f32>) -> tensor<f32>
  %loss = linalg.reduce { arith.addf } ins(%z : tensor<2x3xf32>)
      outs(%f2 : tensor<f32>) dimensions = [0, 1]
  %count = arith.constant dense<2.0> : tensor<f32>
  // CHECK: weir.report
  // The gradient of z and that of y depend on the data; the sum over the rows of
  // the latter is of use to the bias alone. tanh is not computed again.
  // CHECK: %[[DZ:.*]] = linalg.generic {{.*}} attrs = {weir.activation_gradient, weir.adjoint_of = 2 : i64}
  // CHECK: %[[DY:.*]] = linalg.generic {{.*}} attrs = {weir.activation_gradient, weir.adjoint_of = 1 : i64}
  // CHECK-NOT: math.tanh
  // CHECK: %[[DB:.*]] = linalg.generic {{.*}} attrs = {weir.adjoint_of = 1 : i64}
  // CHECK: weir.accumulate @b use 0, %[[DB]] {weir.adjoint_of = 1 : i64}
  // The input has no gradient, so only that of the weight is computed.
  // CHECK: %[[DW:.*]] = linalg.contract
  // CHECK-SAME: {weir.adjoint_of = 0 : i64} ins(%[[X]], %[[DY]]
  // CHECK-NOT: linalg.contract
  // CHECK: weir.accumulate @w use 0, %[[DW]] {weir.adjoint_of = 0 : i64}
  // CHECK: return
  return %loss, %count : tensor<f32>, tensor<f32>
}

// -----

// Each operand that reads a variable is a use with a gradient of its own, the
// first in the forward has number 0; a view belongs to the use behind it.
weir.variable @w <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @uses
func.func @uses() -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %count = arith.constant dense<1.0> : tensor<f32>
  %w = weir.read @w : tensor<4xf32>
  %v = tensor.expand_shape %w [[0, 1]] output_shape [2, 2]
      : tensor<4xf32> into tensor<2x2xf32>
  // CHECK: weir.read @w
  // CHECK: weir.read @w
  // CHECK-DAG: linalg.generic {{.*}} attrs = {weir.op = 0 : i64}
  %p = arith.mulf %w, %w : tensor<4xf32>
  %q = tensor.expand_shape %p [[0, 1]] output_shape [2, 2]
      : tensor<4xf32> into tensor<2x2xf32>
  // CHECK: weir.read @w
  // CHECK: linalg.generic {{.*}} attrs = {weir.op = 2 : i64}
  %r = arith.mulf %q, %v : tensor<2x2xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %loss = linalg.reduce { arith.addf } ins(%r : tensor<2x2xf32>)
      outs(%f : tensor<f32>) dimensions = [0, 1]
  // CHECK: weir.report
  // CHECK: tensor.collapse_shape {{.*}} {weir.adjoint_of = 2 : i64}
  // CHECK-NEXT: weir.accumulate @w use 2, {{.*}} {weir.adjoint_of = 2 : i64}
  // CHECK-DAG: weir.accumulate @w use 1, {{.*}} {weir.adjoint_of = 0 : i64}
  // CHECK-DAG: weir.accumulate @w use 0, {{.*}} {weir.adjoint_of = 0 : i64}
  // CHECK-NOT: weir.accumulate
  // CHECK-NOT: weir.activation_gradient
  return %loss, %count : tensor<f32>, tensor<f32>
}

// -----

// Contributions to a gradient are added one by one, from the last use to the
// first; each addition belongs to the use that brings the contribution, the last
// one makes the whole gradient.
weir.variable @w <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @sum
func.func @sum(%x: tensor<4xf32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %count = arith.constant dense<1.0> : tensor<f32>
  %w = weir.read @w : tensor<4xf32>
  %y = arith.mulf %x, %w : tensor<4xf32>
  %a = math.sin %y : tensor<4xf32>
  %b = math.cos %y : tensor<4xf32>
  %c = arith.mulf %a, %b : tensor<4xf32>
  %d = arith.mulf %c, %y : tensor<4xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %loss = linalg.reduce { arith.addf } ins(%d : tensor<4xf32>)
      outs(%f : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK: %[[DY4:.*]] = linalg.generic {{.*}} attrs = {weir.adjoint_of = 4 : i64}
  // CHECK: %[[DY2:.*]] = linalg.generic {{.*}} attrs = {weir.adjoint_of = 2 : i64}
  // CHECK: %[[SUM:.*]] = linalg.generic {{.*}} ins(%[[DY4]], %[[DY2]] {{.*}} attrs = {weir.adjoint_of = 2 : i64}
  // CHECK: %[[DY1:.*]] = linalg.generic {{.*}} attrs = {weir.adjoint_of = 1 : i64}
  // CHECK: linalg.generic {{.*}} ins(%[[SUM]], %[[DY1]] {{.*}} attrs = {weir.activation_gradient, weir.adjoint_of = 1 : i64}
  return %loss, %count : tensor<f32>, tensor<f32>
}

// -----

// A variable that the loss does not depend on stays as it is; the user is told.
weir.variable @w <normal, 1.0> : tensor<f32>
// expected-warning @+1 {{variable gets no gradient: the loss does not depend on it}}
weir.variable @unused <normal, 1.0> : tensor<f32>
// expected-warning @+1 {{variable gets no gradient: the loss does not depend on it}}
weir.variable @stopped <normal, 1.0> : tensor<f32>

// CHECK-LABEL: func.func @some_unused
func.func @some_unused() -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %w = weir.read @w : tensor<f32>
  %s = weir.read @stopped : tensor<f32>
  %t = math.exp %s {weir.stop_gradient} : tensor<f32>
  %l = arith.mulf %w, %t : tensor<f32>
  // CHECK: weir.accumulate @w
  // CHECK-NOT: weir.accumulate
  return %l, %t : tensor<f32>, tensor<f32>
}

// -----

// Where layers and stages begin is said on ops of any form, and stays with the op
// when its form changes.
weir.variable @w <normal, 1.0> : tensor<4x4xf32>

// CHECK-LABEL: func.func @marks
func.func @marks(%x: tensor<4x4xf32> {weir.input = "tokens"})
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %w = weir.read @w : tensor<4x4xf32>
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x4xf32>
  %start = linalg.fill ins(%zero : f32) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  // CHECK: linalg.contract {{.*}}weir.layer = 0 : i64
  %p = linalg.matmul {weir.layer = 0 : i64} ins(%x, %w : tensor<4x4xf32>, tensor<4x4xf32>) outs(%start : tensor<4x4xf32>) -> tensor<4x4xf32>
  // CHECK: linalg.generic
  // CHECK-SAME: weir.layer = 1 : i64
  // CHECK-NEXT: ^bb0
  // CHECK-NEXT: arith.addf %{{.*}}, %{{.*}} : f32
  %a = arith.addf %p, %x {weir.layer = 1 : i64} : tensor<4x4xf32>
  // CHECK: linalg.generic
  // CHECK-SAME: weir.stage_begin
  %b = linalg.exp {weir.stage_begin} ins(%a : tensor<4x4xf32>) outs(%e : tensor<4x4xf32>) -> tensor<4x4xf32>
  // CHECK: linalg.generic
  // CHECK-SAME: weir.stage_begin = 2 : i64
  %s = tensor.empty() : tensor<f32>
  %z = linalg.fill ins(%zero : f32) outs(%s : tensor<f32>) -> tensor<f32>
  %loss = linalg.reduce ins(%b : tensor<4x4xf32>) outs(%z : tensor<f32>) dimensions = [0, 1] {weir.stage_begin = 2 : i64}
    (%in: f32, %acc: f32) {
      %sum = arith.addf %in, %acc : f32
      linalg.yield %sum : f32
    }
  return %loss, %z : tensor<f32>, tensor<f32>
}
