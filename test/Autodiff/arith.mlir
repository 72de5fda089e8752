// RUN: weir-opt %s --weir-differentiate -split-input-file | FileCheck %s

// The derivative of max(x, 0) asks the result and not x, which then need not be
// kept; x itself is the result of a product here.
weir.variable @a <normal, 1.0> : tensor<4xf32>
weir.variable @b <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @relu
func.func @relu(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %a = weir.read @a : tensor<4xf32>
  %b = weir.read @b : tensor<4xf32>
  %x = arith.mulf %a, %b : tensor<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  // CHECK: %[[Y:.*]] = linalg.generic {{.*}} attrs = {weir.op = 1 : i64}
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]} ins(%x : tensor<4xf32>) outs(%e : tensor<4xf32>) {
  ^bb0(%p: f32, %o: f32):
    %r = arith.maximumf %p, %zero : f32
    linalg.yield %r : f32
  } -> tensor<4xf32>
  %e0 = tensor.empty() : tensor<f32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%y : tensor<4xf32>)
      outs(%f0 : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK: %[[DY:.*]] = linalg.generic
  // CHECK: linalg.generic {{.*}} ins(%[[Y]], %[[DY]] : {{.*}} attrs = {weir.adjoint_of = 1 : i64}
  // CHECK: arith.cmpf ogt
  // CHECK: arith.select
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// p = e / s: the divisor's gradient reads p and s, not e, and is a sum.
weir.variable @e <normal, 1.0> : tensor<3x4xf32>
weir.variable @s <normal, 1.0> : tensor<3xf32>

// CHECK-LABEL: func.func @quotient
func.func @quotient(%x: tensor<3x4xf32>, %n: tensor<f32>)
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %ve = weir.read @e : tensor<3x4xf32>
  %vs = weir.read @s : tensor<3xf32>
  %e = math.exp %ve : tensor<3x4xf32>
  // CHECK: %[[S:.*]] = linalg.generic {{.*}} attrs = {weir.op = 1 : i64}
  %s = math.exp %vs : tensor<3xf32>
  %i = tensor.empty() : tensor<3x4xf32>
  // CHECK: %[[P:.*]] = linalg.generic {{.*}} attrs = {weir.op = 2 : i64}
  %p = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>,
                       affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%e, %s : tensor<3x4xf32>, tensor<3xf32>) outs(%i : tensor<3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.divf %a, %b : f32
    linalg.yield %q : f32
  } -> tensor<3x4xf32>
  %i0 = tensor.empty() : tensor<f32>
  %f0 = linalg.fill ins(%zero : f32) outs(%i0 : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>,
                       affine_map<(i, j) -> ()>],
      iterator_types = ["reduction", "reduction"]}
      ins(%p, %x : tensor<3x4xf32>, tensor<3x4xf32>) outs(%f0 : tensor<f32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %m = arith.mulf %a, %b : f32
    %r = arith.addf %acc, %m : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  // CHECK: weir.report
  // CHECK: %[[DP:.*]] = linalg.generic {{.*}} attrs = {weir.adjoint_of = 3 : i64}
  // CHECK: linalg.generic {{.*}}["parallel", "parallel"]} ins(%[[S]], %[[DP]] :
  // CHECK: linalg.generic {{.*}}["parallel", "reduction"]} ins(%[[S]], %[[P]], %[[DP]] :
  return %l, %n : tensor<f32>, tensor<f32>
}
