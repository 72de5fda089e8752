// RUN: weir-opt %s --weir-differentiate | FileCheck %s

// What is added at given rows gets the gradient of these rows; the table itself
// gets the gradient as it is.
weir.variable @table <normal, 1.0> : tensor<9x4xf32>
weir.variable @updates <normal, 1.0> : tensor<2x4xf32>

// CHECK-LABEL: func.func @scatter_add
// CHECK-SAME: %[[TOKENS:.*]]: tensor<2xi32>
func.func @scatter_add(%tokens: tensor<2xi32>, %n: tensor<f32>)
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %table = weir.read @table : tensor<9x4xf32>
  %updates = weir.read @updates : tensor<2x4xf32>
  %x = weir.scatter_add %updates into %table[%tokens]
      : tensor<2x4xf32> into tensor<9x4xf32>[tensor<2xi32>]
  %e = tensor.empty() : tensor<f32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%x : tensor<9x4xf32>)
      outs(%f : tensor<f32>) dimensions = [0, 1]
  // CHECK: weir.report
  // CHECK: %[[DX:.*]] = linalg.generic
  // CHECK: %[[ROWS:.*]] = tensor.expand_shape %[[TOKENS]]
  // CHECK: %[[DU:.*]] = tensor.gather %[[DX]][%[[ROWS]]] gather_dims([0])
  // CHECK-DAG: weir.accumulate @updates use 0, %[[DU]]
  // CHECK-DAG: weir.accumulate @table use 0, %[[DX]]
  return %l, %n : tensor<f32>, tensor<f32>
}
