// RUN: weir-opt %s --weir-differentiate -split-input-file | FileCheck %s

// Disjoint slices of a value share one tensor for their gradients; since they
// cover it, it is not cleared first.
weir.variable @a <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @slices
func.func @slices(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %a = weir.read @a : tensor<4xf32>
  %s = math.sin %a : tensor<4xf32>
  %x = tensor.extract_slice %s[0] [2] [1] : tensor<4xf32> to tensor<2xf32>
  %y = tensor.extract_slice %s[2] [2] [1] : tensor<4xf32> to tensor<2xf32>
  %p = arith.mulf %x, %y : tensor<2xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%p : tensor<2xf32>)
      outs(%f : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK: %[[EMPTY:.*]] = tensor.empty() : tensor<4xf32>
  // CHECK-NOT: linalg.fill
  // CHECK: %[[ONE:.*]] = tensor.insert_slice %{{.*}} into %[[EMPTY]][2] [2] [1]
  // CHECK: tensor.insert_slice %{{.*}} into %[[ONE]][0] [2] [1] {weir.adjoint_of
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// A slice alone leaves the rest of the gradient zero.
weir.variable @a <normal, 1.0> : tensor<4xf32>

// CHECK-LABEL: func.func @slice
func.func @slice(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %a = weir.read @a : tensor<4xf32>
  %l = tensor.extract_slice %a[3] [1] [1] : tensor<4xf32> to tensor<f32>
  // CHECK: %[[SEED:.*]] = arith.constant dense
  // CHECK: %[[ZEROS:.*]] = linalg.fill
  // CHECK: %[[DA:.*]] = tensor.insert_slice %[[SEED]] into %[[ZEROS]][3] [1] [1]
  // CHECK: weir.accumulate @a use 0, %[[DA]]
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// Of an insertion, the source's gradient is the slice, the destination's all else.
weir.variable @a <normal, 1.0> : tensor<1xf32>
weir.variable @b <normal, 1.0> : tensor<2xf32>

// CHECK-LABEL: func.func @insert
func.func @insert(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %a = weir.read @a : tensor<1xf32>
  %b = weir.read @b : tensor<2xf32>
  %c = tensor.insert_slice %a into %b[1] [1] [1] : tensor<1xf32> into tensor<2xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%c : tensor<2xf32>)
      outs(%f : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK: %[[DC:.*]] = linalg.generic
  // CHECK: %[[ZEROS:.*]] = linalg.fill
  // CHECK: %[[DB:.*]] = tensor.insert_slice %[[ZEROS]] into %[[DC]][1] [1] [1]
  // CHECK: %[[DA:.*]] = tensor.extract_slice %[[DC]][1] [1] [1]
  // CHECK: weir.accumulate @b use 0, %[[DB]]
  // CHECK: weir.accumulate @a use 0, %[[DA]]
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// The embedding's gradient is scattered by the tokens themselves: the reshape
// that gather wants is passed over.
weir.variable @table <normal, 1.0> : tensor<9x4xf32>

// CHECK-LABEL: func.func @gather
// CHECK-SAME: %[[TOKENS:.*]]: tensor<2x3xi32>
func.func @gather(%tokens: tensor<2x3xi32>, %n: tensor<f32>)
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %table = weir.read @table : tensor<9x4xf32>
  %i = tensor.expand_shape %tokens [[0], [1, 2]] output_shape [2, 3, 1]
      : tensor<2x3xi32> into tensor<2x3x1xi32>
  %x = tensor.gather %table[%i] gather_dims([0])
      : (tensor<9x4xf32>, tensor<2x3x1xi32>) -> tensor<2x3x4xf32>
  %y = tensor.collapse_shape %x [[0, 1, 2]] : tensor<2x3x4xf32> into tensor<24xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%y : tensor<24xf32>)
      outs(%f : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK: %[[DX:.*]] = tensor.expand_shape {{.*}} {weir.activation_gradient, weir.adjoint_of = 1 : i64}
  // CHECK: %[[ZEROS:.*]] = linalg.fill
  // CHECK: weir.scatter_add %[[DX]] into %[[ZEROS]][%[[TOKENS]]] {weir.adjoint_of = 0 : i64}
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// The parts of a concatenation get their slices.
weir.variable @a <normal, 1.0> : tensor<2xf32>
weir.variable @b <normal, 1.0> : tensor<3xf32>

// CHECK-LABEL: func.func @concat
func.func @concat(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %a = weir.read @a : tensor<2xf32>
  %b = weir.read @b : tensor<3xf32>
  %c = tensor.concat dim(0) %a, %b : (tensor<2xf32>, tensor<3xf32>) -> tensor<5xf32>
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%c : tensor<5xf32>)
      outs(%f : tensor<f32>) dimensions = [0]
  // CHECK: weir.report
  // CHECK: %[[DA:.*]] = tensor.extract_slice %[[DC:.*]][0] [2] [1]
  // CHECK: %[[DB:.*]] = tensor.extract_slice %[[DC]][2] [3] [1]
  // CHECK: weir.accumulate @b use 0, %[[DB]]
  // CHECK: weir.accumulate @a use 0, %[[DA]]
  return %l, %n : tensor<f32>, tensor<f32>
}
