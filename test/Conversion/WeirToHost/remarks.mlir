// RUN: weir-opt %s --convert-weir-to-host --remarks-filter=convert-weir-to-host -o /dev/null 2>&1 | FileCheck %s

// Two stages of the same body: one kernel, whose square and sum are one loop. The sum is made in a
// temporary, since what it starts from belongs to someone else.
// CHECK: fusion
// CHECK-SAME: f0: 2 elementwise ops and reductions became 1 loops; 0 matrix products; 64 bytes of temporaries
// CHECK-NOT: f1
// CHECK: kernels
// CHECK-SAME: 2 passes share 1 kernels


weir.pipeline @p stages 2 (%x = "x" : tensor<8xf32>, %z = "z" : tensor<f32>) {
  %y0 = weir.forward 0 (%a = %x : tensor<8xf32>, %t = %z : tensor<f32>) -> (tensor<f32>) {
    %s = arith.mulf %a, %a : tensor<8xf32>
    %r = linalg.reduce {arith.addf} ins(%s : tensor<8xf32>) outs(%t : tensor<f32>) dimensions = [0]
    weir.yield %r : tensor<f32>
  }
  %y1 = weir.forward 1 (%b = %x : tensor<8xf32>, %t = %y0 : tensor<f32>) -> (tensor<f32>) {
    %s = arith.mulf %b, %b : tensor<8xf32>
    %r = linalg.reduce {arith.addf} ins(%s : tensor<8xf32>) outs(%t : tensor<f32>) dimensions = [0]
    weir.yield %r : tensor<f32>
  }
}
