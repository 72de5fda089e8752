// RUN: weir-opt %s --weir-differentiate -split-input-file | FileCheck %s

// Both adjoints of a product are products: the maps are exchanged, nothing is
// transposed, and each starts from fresh zeros.
weir.variable @a <normal, 1.0> : tensor<3x4xf32>
weir.variable @b <normal, 1.0> : tensor<4x5xf32>

// CHECK-DAG: #[[MK:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[KN:.*]] = affine_map<(d0, d1, d2) -> (d2, d1)>
// CHECK-DAG: #[[MN:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>
// CHECK-LABEL: func.func @contract
func.func @contract(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  // CHECK: %[[A:.*]] = weir.read @a
  %a = weir.read @a : tensor<3x4xf32>
  // CHECK: %[[B:.*]] = weir.read @b
  %b = weir.read @b : tensor<4x5xf32>
  %e = tensor.empty() : tensor<3x5xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<3x5xf32>) -> tensor<3x5xf32>
  %y = linalg.contract indexing_maps = [
      affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>,
      affine_map<(m, n, k) -> (m, n)>]
      ins(%a, %b : tensor<3x4xf32>, tensor<4x5xf32>)
      outs(%f : tensor<3x5xf32>) -> tensor<3x5xf32>
  %e0 = tensor.empty() : tensor<f32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%y : tensor<3x5xf32>)
      outs(%f0 : tensor<f32>) dimensions = [0, 1]
  // CHECK: weir.report
  // CHECK: %[[DY:.*]] = linalg.generic
  // CHECK: %[[ZEROS:.*]] = linalg.fill
  // CHECK: linalg.contract indexing_maps = [#[[MN]], #[[KN]], #[[MK]]]
  // CHECK-SAME: ins(%[[DY]], %[[B]] : {{.*}}) outs(%[[ZEROS]] :
  // CHECK: %[[ZEROS1:.*]] = linalg.fill
  // CHECK: linalg.contract indexing_maps = [#[[MK]], #[[MN]], #[[KN]]]
  // CHECK-SAME: ins(%[[A]], %[[DY]] : {{.*}}) outs(%[[ZEROS1]] :
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// exp is not computed again: its adjoint reads the result. The adjoint of what is
// broadcast is a sum over the loops that it lacks.
weir.variable @a <normal, 1.0> : tensor<3xf32>
weir.variable @b <normal, 1.0> : tensor<3x4xf32>

// CHECK-DAG: #[[IJ:.*]] = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-DAG: #[[I:.*]] = affine_map<(d0, d1) -> (d0)>
// CHECK-LABEL: func.func @elementwise
func.func @elementwise(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %a = weir.read @a : tensor<3xf32>
  %b = weir.read @b : tensor<3x4xf32>
  %e = tensor.empty() : tensor<3x4xf32>
  // CHECK: %[[Y:.*]] = linalg.generic
  %y = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>,
                       affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%a, %b : tensor<3xf32>, tensor<3x4xf32>) outs(%e : tensor<3x4xf32>) {
  ^bb0(%p: f32, %q: f32, %o: f32):
    %d = arith.subf %q, %p : f32
    %r = math.exp %d : f32
    linalg.yield %r : f32
  } -> tensor<3x4xf32>
  %e0 = tensor.empty() : tensor<f32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> ()>],
      iterator_types = ["reduction", "reduction"]}
      ins(%y : tensor<3x4xf32>) outs(%f0 : tensor<f32>) {
  ^bb0(%p: f32, %acc: f32):
    %s = math.sin %p : f32
    %r = arith.addf %acc, %s : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  // CHECK: weir.report
  // The seed of 1 is folded into the body.
  // CHECK: %[[DY:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "parallel"]} ins(%[[Y]] : tensor<3x4xf32>)
  // CHECK: math.cos
  // CHECK-NOT: math.exp
  // CHECK: linalg.generic {indexing_maps = [#[[IJ]], #[[IJ]], #[[I]]], iterator_types = ["parallel", "reduction"]} ins(%[[Y]], %[[DY]]
  // CHECK: arith.addf
  // CHECK-NOT: math.exp
  // CHECK: linalg.generic {indexing_maps = [#[[IJ]], #[[IJ]], #[[IJ]]], iterator_types = ["parallel", "parallel"]} ins(%[[Y]], %[[DY]]
  // CHECK-NOT: math.exp
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// The adjoint of x + y in the same shape is the adjoint itself: no op at all.
weir.variable @a <normal, 1.0> : tensor<f32>
weir.variable @b <normal, 1.0> : tensor<f32>

// CHECK-LABEL: func.func @passed_through
func.func @passed_through(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %a = weir.read @a : tensor<f32>
  %b = weir.read @b : tensor<f32>
  %l = arith.addf %a, %b : tensor<f32>
  // CHECK: weir.report
  // CHECK-NEXT: %[[SEED:.*]] = arith.constant dense<1.000000e+00> : tensor<f32>
  // CHECK-NEXT: weir.accumulate @b use 0, %[[SEED]]
  // CHECK-NEXT: weir.accumulate @a use 0, %[[SEED]]
  // CHECK-NEXT: return
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// A maximum gives its gradient to the elements that equal it, in equal parts:
// they are counted first.
weir.variable @a <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @maximum
func.func @maximum(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %low = arith.constant -1.0e38 : f32
  // CHECK: %[[A:.*]] = weir.read @a
  %a = weir.read @a : tensor<4xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<f32>) -> tensor<f32>
  // CHECK: %[[M:.*]] = linalg.generic
  %m = linalg.reduce { arith.maximumf } ins(%a : tensor<4xf32>)
      outs(%f : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK: %[[COUNT:.*]] = linalg.generic {{.*}}["reduction"]} ins(%[[A]], %[[M]]
  // CHECK: %[[SHARE:.*]] = linalg.generic {{.*}}ins({{.*}}%[[COUNT]]
  // CHECK: arith.divf
  // CHECK: linalg.generic {{.*}}["parallel"]} ins(%[[A]], %[[M]], %[[SHARE]]
  // CHECK: arith.cmpf oeq
  // CHECK: arith.select
  return %m, %n : tensor<f32>, tensor<f32>
}

// -----

// A stopped maximum hands no gradient on; the use that it was made from has none.
weir.variable @a <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @stopped
func.func @stopped(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %low = arith.constant -1.0e38 : f32
  %zero = arith.constant 0.0 : f32
  %a = weir.read @a : tensor<4xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%low : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %m = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>],
      iterator_types = ["reduction"]}
      ins(%a : tensor<4xf32>) outs(%f : tensor<f32>) attrs = {weir.stop_gradient} {
  ^bb0(%x: f32, %acc: f32):
    %r = arith.maximumf %acc, %x : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  %e0 = tensor.empty() : tensor<f32>
  %f0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>,
                       affine_map<(i) -> ()>],
      iterator_types = ["reduction"]}
      ins(%a, %m : tensor<4xf32>, tensor<f32>) outs(%f0 : tensor<f32>) {
  ^bb0(%x: f32, %y: f32, %acc: f32):
    %d = arith.subf %x, %y : f32
    %r = arith.addf %acc, %d : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  // CHECK: weir.report
  // CHECK-NOT: arith.cmpf
  // CHECK: weir.accumulate @a use 0
  // CHECK-NOT: weir.accumulate
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// A sum of differences or of fused products is one of negatives or of products,
// whose order can be fixed.
weir.variable @a <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @folds
func.func @folds(%x: tensor<4xf32>, %n: tensor<f32>)
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %zero = arith.constant dense<0.0> : tensor<f32>
  %a = weir.read @a : tensor<4xf32>
  // CHECK: ^bb0(%[[A:.*]]: f32, %[[TOTAL:.*]]: f32):
  // CHECK-NEXT: %[[NEGATIVE:.*]] = arith.negf %[[A]]
  // CHECK-NEXT: arith.addf %[[TOTAL]], %[[NEGATIVE]]
  %l = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>],
      iterator_types = ["reduction"]}
      ins(%a : tensor<4xf32>) outs(%zero : tensor<f32>) {
  ^bb0(%e: f32, %total: f32):
    %r = arith.subf %total, %e : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  // CHECK: ^bb0(%[[A:.*]]: f32, %[[X:.*]]: f32, %[[TOTAL:.*]]: f32):
  // CHECK-NEXT: %[[PRODUCT:.*]] = arith.mulf %[[A]], %[[X]]
  // CHECK-NEXT: arith.addf %[[TOTAL]], %[[PRODUCT]]
  %m = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>,
                       affine_map<(i) -> ()>],
      iterator_types = ["reduction"]}
      ins(%a, %x : tensor<4xf32>, tensor<4xf32>) outs(%l : tensor<f32>) {
  ^bb0(%e: f32, %d: f32, %total: f32):
    %r = math.fma %e, %d, %total : f32
    linalg.yield %r : f32
  } -> tensor<f32>
  return %m, %n : tensor<f32>, tensor<f32>
}
