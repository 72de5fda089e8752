// RUN: weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition=stages=2 --weir-split-backward --weir-outline-stages | FileCheck %s

// The joint graph becomes a pipeline; what the next stage takes is a plain value,
// what a later pass of the same stage takes is kept in a bundle.
// CHECK-NOT: func.func
// CHECK: weir.pipeline @m stages 2 (%[[X:.*]] = "tokens" : tensor<8x8xf32>) {
// CHECK: %[[F0:.*]]:2 = weir.forward 0 (%{{.*}} = %[[X]] : tensor<8x8xf32>) -> (tensor<8x8xf32>, !weir.bundle<tensor<8x8xf32>>)
// CHECK-COUNT-2: linalg.contract
// CHECK: weir.pack
// CHECK: weir.yield

// The last stage needs nothing of its forward but the input, which is there.
// CHECK: weir.forward 1 (%{{.*}} = %[[F0]]#0 : tensor<8x8xf32>) attributes
// CHECK: weir.report
// CHECK: %[[B1:.*]]:2 = weir.backward_input 1 () -> (tensor<8x8xf32>, !weir.bundle<tensor<8x8xf32>>)
// CHECK: weir.read @w1
// CHECK: linalg.contract
// CHECK-NOT: weir.accumulate
// CHECK: weir.backward_weight 1 (%{{.*}} = %[[F0]]#0 : tensor<8x8xf32>, %{{.*}} = %[[B1]]#1 : !weir.bundle<tensor<8x8xf32>>)
// CHECK: weir.unpack
// CHECK: weir.accumulate @w1 use 0

// Both uses of @w0 are gathered in the W of stage 0, each into its own gradient.
// CHECK: weir.backward_input 0 (%{{.*}} = %[[B1]]#0 : tensor<8x8xf32>)
// CHECK: weir.backward_weight 0
// CHECK: weir.accumulate @w0 use 1
// CHECK: weir.accumulate @w0 use 0

// Colours and numbers have done their work.
// CHECK-NOT: weir.op
// CHECK-NOT: weir.stage =
