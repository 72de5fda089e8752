// RUN: weir-opt %s --weir-add-optimizer | FileCheck %s
// RUN: weir-opt %s --weir-add-optimizer="optimizer=sgd momentum=0.5 weight-decay=0.25" | FileCheck %s --check-prefix=SGD
// RUN: not weir-opt %s --weir-add-optimizer=optimizer=lion 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not weir-opt %s --weir-add-optimizer --weir-add-optimizer 2>&1 | FileCheck %s --check-prefix=TWICE

weir.variable @bias <constant, 0.0> : tensor<4xf32>
weir.variable @unused <constant, 0.0> : tensor<4xf32>
weir.variable @weight <normal, 0.02> decay : tensor<4xf32>
weir.pipeline @p stages 1 (%x = "tokens" : tensor<4xf32>) {
  weir.backward_weight 0 (%g = %x : tensor<4xf32>) {
    weir.accumulate @weight use 1, %g : tensor<4xf32>
    weir.accumulate @weight use 0, %g : tensor<4xf32>
    weir.accumulate @bias use 0, %g : tensor<4xf32>
  }
}

// One update per variable that has a gradient; two states for adamw. Only what
// is marked decays.
// CHECK: weir.update @bias uses 1 states ["m", "v"]
// CHECK-COUNT-2: math.powf
// CHECK: math.sqrt
// CHECK-NOT: constant 1.000000e-01 : f32
// CHECK: weir.update @weight uses 2 states ["m", "v"]
// Uses are added first, in their order, then divided by the count.
// CHECK: ^bb0(%[[G0:[a-z0-9_]*]]: f32, %[[G1:[a-z0-9_]*]]: f32, %[[COUNT:[a-z0-9_]*]]: f32, %[[LR:[a-z0-9_]*]]: f32
// CHECK: %[[SUM:.*]] = arith.addf %[[G0]], %[[G1]]
// CHECK: %[[N:.*]] = arith.maximumf %[[COUNT]]
// CHECK: arith.divf %[[SUM]], %[[N]]
// CHECK: math.sqrt
// CHECK: weir.yield %{{.*}}#0, %{{.*}}#1, %{{.*}}#2
// CHECK-NOT: weir.update @unused

// SGD: weir.update @bias uses 1 states ["momentum"]
// SGD-NOT: constant 2.500000e-01
// SGD: weir.update @weight uses 2 states ["momentum"]
// SGD: constant 5.000000e-01
// SGD: constant 2.500000e-01

// UNKNOWN: error: unknown optimizer 'lion'; known are adamw and sgd
// TWICE: error: {{.*}}has updates already
