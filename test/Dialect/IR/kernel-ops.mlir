// RUN: weir-opt %s | weir-opt | FileCheck %s
// RUN: weir-opt %s --mlir-print-op-generic | weir-opt | FileCheck %s

// A kernel with all that can be said of it reads as it is printed, and so do calls.

// CHECK: weir.kernel @norm calls "norm_8x4" (tensor<8x4xf32>, tensor<4xf32>, tensor<2xi64>) -> (tensor<8x4xf32>) keeps (tensor<8xf32>) workspace 128 flops 99 bytes 300 seconds 5.000000e-01 derivative (%[[X:.*]]: tensor<8x4xf32>, %{{.*}}: tensor<4xf32>, %{{.*}}: tensor<2xi64>, %{{.*}}: tensor<8x4xf32>, %[[S:.*]]: tensor<8xf32>, %[[DY:.*]]: tensor<8x4xf32>) {
weir.kernel @norm calls "norm_8x4"
    (tensor<8x4xf32>, tensor<4xf32>, tensor<2xi64>) -> (tensor<8x4xf32>)
    keeps (tensor<8xf32>) workspace 128 flops 99 bytes 300 seconds 0.5
    derivative (%x: tensor<8x4xf32>, %g: tensor<4xf32>, %sizes: tensor<2xi64>,
                %y: tensor<8x4xf32>, %s: tensor<8xf32>, %dy: tensor<8x4xf32>) {
  // CHECK: %[[D:.*]]:2 = weir.custom @norm_backward(%[[DY]], %[[X]], %[[S]]) : (tensor<8x4xf32>, tensor<8x4xf32>, tensor<8xf32>) -> (tensor<8x4xf32>, tensor<4xf32>)
  %d:2 = weir.custom @norm_backward(%dy, %x, %s)
      : (tensor<8x4xf32>, tensor<8x4xf32>, tensor<8xf32>)
      -> (tensor<8x4xf32>, tensor<4xf32>)
  // CHECK: weir.yield %[[D]]#0, %[[D]]#1
  weir.yield %d#0, %d#1 : tensor<8x4xf32>, tensor<4xf32>
}

// CHECK: weir.kernel @norm_backward (tensor<8x4xf32>, tensor<8x4xf32>, tensor<8xf32>) -> (tensor<8x4xf32>, tensor<4xf32>)
// CHECK-NOT: derivative
weir.kernel @norm_backward (tensor<8x4xf32>, tensor<8x4xf32>, tensor<8xf32>)
    -> (tensor<8x4xf32>, tensor<4xf32>)

// CHECK: weir.kernel @noise () -> (tensor<4xf32>){{ +}}attributes {note = "no operands"}
weir.kernel @noise () -> (tensor<4xf32>) attributes {note = "no operands"}

// CHECK-LABEL: func.func @calls
func.func @calls(%x: tensor<8x4xf32>, %sizes: tensor<2xi64>) -> tensor<8x4xf32> {
  // CHECK: %[[G:.*]] = weir.custom @noise() : () -> tensor<4xf32>
  %g = weir.custom @noise() : () -> tensor<4xf32>
  // CHECK: %[[Y:.*]]:2 = weir.custom @norm(%{{.*}}, %[[G]], %{{.*}}) {weir.stage = 1 : i64} : (tensor<8x4xf32>, tensor<4xf32>, tensor<2xi64>) -> (tensor<8x4xf32>, tensor<8xf32>)
  %y, %s = weir.custom @norm(%x, %g, %sizes) {weir.stage = 1 : i64}
      : (tensor<8x4xf32>, tensor<4xf32>, tensor<2xi64>)
      -> (tensor<8x4xf32>, tensor<8xf32>)
  return %y : tensor<8x4xf32>
}

// With destinations: on tensors with results, on buffers without.
// CHECK-LABEL: func.func @destinations
func.func @destinations(%x: tensor<4xf32>, %b: memref<4xf32>) -> tensor<4xf32> {
  // CHECK: weir.call_kernel "f"(%{{.*}} : memref<4xf32>) to(%{{.*}} : memref<4xf32>)
  weir.call_kernel "f" (%b : memref<4xf32>) to (%b : memref<4xf32>)
  // CHECK: weir.call_kernel "f"() to(%{{.*}} : tensor<4xf32>) -> tensor<4xf32>
  %y = weir.call_kernel "f" () to (%x : tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// A call is pure: one without a use goes away, equal ones become one.
// RUN: weir-opt %s --cse | FileCheck %s --check-prefix=CSE
// CSE-LABEL: func.func @pure
func.func @pure() -> (tensor<4xf32>, tensor<4xf32>) {
  // CSE-NEXT: %[[A:.*]] = weir.custom @noise()
  // CSE-NEXT: return %[[A]], %[[A]]
  %a = weir.custom @noise() : () -> tensor<4xf32>
  %b = weir.custom @noise() : () -> tensor<4xf32>
  %unused = weir.custom @noise() : () -> tensor<4xf32>
  return %a, %b : tensor<4xf32>, tensor<4xf32>
}
