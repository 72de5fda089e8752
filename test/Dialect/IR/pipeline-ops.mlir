// RUN: weir-opt %s | weir-opt | FileCheck %s
// RUN: weir-opt %s --mlir-print-op-generic | weir-opt | FileCheck %s

// A pipeline of two stages: what crosses from pass to pass is an SSA value.

weir.variable @w <normal, 0.02> : tensor<4xf32>
weir.variable @v <constant, 1.0> decay : tensor<4xf32>

// CHECK-LABEL: weir.pipeline @net stages 2 (%{{.*}} = "tokens" : tensor<4xi32>, %{{.*}} = "labels" : tensor<4xi32>) {
weir.pipeline @net stages 2 (%tokens = "tokens" : tensor<4xi32>,
                             %labels = "labels" : tensor<4xi32>) {
  // CHECK: %[[F0:.*]]:2 = weir.forward 0 (%[[T:.*]] = %{{.*}} : tensor<4xi32>) -> (tensor<4xf32>, !weir.bundle<tensor<4xf32>, tensor<4xi32>>) {
  %x, %kept0 = weir.forward 0 (%t = %tokens : tensor<4xi32>)
      -> (tensor<4xf32>, !weir.bundle<tensor<4xf32>, tensor<4xi32>>) {
    %w = weir.read @w : tensor<4xf32>
    // CHECK: weir.pack %{{.*}}, %[[T]] : (tensor<4xf32>, tensor<4xi32>) -> !weir.bundle<tensor<4xf32>, tensor<4xi32>>
    %b = weir.pack %w, %t
        : (tensor<4xf32>, tensor<4xi32>) -> !weir.bundle<tensor<4xf32>, tensor<4xi32>>
    // CHECK: weir.yield %{{.*}}, %{{.*}} : tensor<4xf32>, !weir.bundle<tensor<4xf32>, tensor<4xi32>>
    weir.yield %w, %b : tensor<4xf32>, !weir.bundle<tensor<4xf32>, tensor<4xi32>>
  }
  // One result needs no parentheses; estimates are attributes.
  // CHECK: %[[KEPT1:.*]] = weir.forward 1 (%{{.*}} = %[[F0]]#0 : tensor<4xf32>, %{{.*}} = %{{.*}} : tensor<4xi32>) -> !weir.bundle<tensor<f32>> attributes {kernel = @net_f1, seconds = 1.000000e-03 : f64, workspace = 64 : i64} {
  %kept1 = weir.forward 1 (%a = %x : tensor<4xf32>, %l = %labels : tensor<4xi32>)
      -> !weir.bundle<tensor<f32>>
      attributes {kernel = @net_f1, seconds = 1.0e-3 : f64, workspace = 64 : i64} {
    %zero = arith.constant dense<0.0> : tensor<f32>
    weir.report %zero, %zero : tensor<f32>, tensor<f32>
    %b = weir.pack %zero : (tensor<f32>) -> !weir.bundle<tensor<f32>>
    weir.yield %b : !weir.bundle<tensor<f32>>
  }
  // CHECK: %[[G:.*]] = weir.backward_input 1 (%{{.*}} = %[[KEPT1]] : !weir.bundle<tensor<f32>>) -> tensor<4xf32> {
  %g = weir.backward_input 1 (%k = %kept1 : !weir.bundle<tensor<f32>>) -> tensor<4xf32> {
    %loss = weir.unpack %k : (!weir.bundle<tensor<f32>>) -> tensor<f32>
    %ones = arith.constant dense<1.0> : tensor<4xf32>
    weir.yield %ones : tensor<4xf32>
  }
  // A pass without results ends without a word.
  // CHECK: weir.backward_weight 1 (%{{.*}} = %[[G]] : tensor<4xf32>) {
  // CHECK-NEXT: weir.accumulate @v use 0
  // CHECK: }
  weir.backward_weight 1 (%dy = %g : tensor<4xf32>) {
    weir.accumulate @v use 0, %dy : tensor<4xf32>
  }
  // CHECK: weir.backward_weight 0
  weir.backward_weight 0 (%dy = %g : tensor<4xf32>,
      %k = %kept0 : !weir.bundle<tensor<4xf32>, tensor<4xi32>>) {
    // CHECK: %{{.*}}:2 = weir.unpack %{{.*}} : (!weir.bundle<tensor<4xf32>, tensor<4xi32>>) -> (tensor<4xf32>, tensor<4xi32>)
    %m:2 = weir.unpack %k
        : (!weir.bundle<tensor<4xf32>, tensor<4xi32>>) -> (tensor<4xf32>, tensor<4xi32>)
    weir.accumulate @w use 0, %dy : tensor<4xf32>
    weir.accumulate @w use 1, %m#0 : tensor<4xf32>
  }
  // CHECK: weir.update @w uses 2 states ["m"] (%[[W:.*]]: tensor<4xf32>, %{{.*}}: tensor<4xf32>, %[[G1:.*]]: tensor<4xf32>, %{{.*}}: tensor<4xf32>, %{{.*}}: tensor<f32>, %{{.*}}: tensor<f32>, %{{.*}}: tensor<f32>) {
  weir.update @w uses 2 states ["m"] (%w: tensor<4xf32>, %g0: tensor<4xf32>,
      %g1: tensor<4xf32>, %m: tensor<4xf32>, %count: tensor<f32>,
      %lr: tensor<f32>, %step: tensor<f32>) {
    // CHECK: weir.yield %[[W]], %[[G1]] : tensor<4xf32>, tensor<4xf32>
    weir.yield %w, %g1 : tensor<4xf32>, tensor<4xf32>
  }
  // CHECK: weir.update @v uses 1 states [] ({{.*}}) attributes {seconds = {{.*}} : f64} {
  weir.update @v uses 1 states [] (%v: tensor<4xf32>, %g0: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>)
      attributes {seconds = 1.0e-6 : f64} {
    weir.yield %v : tensor<4xf32>
  }
}

// A model without data is a pipeline without inputs.
// CHECK-LABEL: weir.pipeline @empty stages 1 () {
// CHECK-NEXT: }
weir.pipeline @empty stages 1 () {
}
