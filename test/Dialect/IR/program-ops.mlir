// RUN: weir-opt %s | weir-opt | FileCheck %s
// RUN: weir-opt %s --mlir-print-op-generic | weir-opt | FileCheck %s

// Programs of two devices, the second one planned.

weir.variable @w <normal, 0.02> : tensor<4xf32>
weir.pipeline @net stages 2 () {
}

// CHECK-LABEL: weir.program @first of @net device 0 microbatches 2 {
weir.program @first of @net device 0 microbatches 2 {
  // CHECK-NEXT: weir.resident parameter @w : tensor<4xf32>
  %w = weir.resident parameter @w : tensor<4xf32>
  // CHECK-NEXT: weir.resident gradient @w 1 : tensor<4xf32>
  %g = weir.resident gradient @w 1 : tensor<4xf32>
  // CHECK-NEXT: weir.resident state @w 0 : tensor<4xf32>
  %s = weir.resident state @w 0 : tensor<4xf32>
  // CHECK-NEXT: weir.resident loss : tensor<f32>
  %loss = weir.resident loss : tensor<f32>
  // CHECK-NEXT: %[[COUNT:.*]] = weir.resident count : tensor<f32>
  %count = weir.resident count : tensor<f32>
  // CHECK-NEXT: weir.resident learning_rate : tensor<f32>
  %lr = weir.resident learning_rate : tensor<f32>
  // CHECK-NEXT: weir.resident step : tensor<f32>
  %step = weir.resident step : tensor<f32>

  // CHECK-NEXT: %[[TOKENS:.*]] = weir.load "tokens" microbatch 1 : tensor<4xi32>
  %tokens = weir.load "tokens" microbatch 1 : tensor<4xi32>
  // CHECK-NEXT: %[[F:.*]]:2 = weir.run forward 0 microbatch 1 (%[[TOKENS]]) : (tensor<4xi32>) -> (tensor<4xf32>, !weir.bundle<tensor<4xf32>>)
  %y, %kept = weir.run forward 0 microbatch 1 (%tokens)
      : (tensor<4xi32>) -> (tensor<4xf32>, !weir.bundle<tensor<4xf32>>)
  // CHECK-NEXT: %[[SENT:.*]] = weir.send_start %[[F]]#0 to 1 message 7 microbatch 1 : tensor<4xf32>
  %sent = weir.send_start %y to 1 message 7 microbatch 1 : tensor<4xf32>
  // CHECK-NEXT: weir.wait %[[SENT]] : !weir.sending
  weir.wait %sent : !weir.sending
  // CHECK-NEXT: %[[R:.*]] = weir.recv_start from 1 message 8 : !weir.receiving<tensor<4xf32>>
  %r = weir.recv_start from 1 message 8 : !weir.receiving<tensor<4xf32>>
  // CHECK-NEXT: %[[DY:.*]] = weir.wait %[[R]] : !weir.receiving<tensor<4xf32>> -> tensor<4xf32>
  %dy = weir.wait %r : !weir.receiving<tensor<4xf32>> -> tensor<4xf32>
  // What backward keeps for its own second half lives during one action.
  // CHECK-NEXT: weir.run backward 0 microbatch 1 (%[[DY]], %[[F]]#1) : (tensor<4xf32>, !weir.bundle<tensor<4xf32>>) -> tensor<4xf32> between (!weir.bundle<tensor<4xf32>>)
  %dx, %between = weir.run backward 0 microbatch 1 (%dy, %kept)
      : (tensor<4xf32>, !weir.bundle<tensor<4xf32>>) -> tensor<4xf32>
      between (!weir.bundle<tensor<4xf32>>)
  // CHECK-NEXT: weir.run backward_input 0 microbatch 0 () : () -> ()
  weir.run backward_input 0 microbatch 0 () : () -> ()
  // CHECK-NEXT: weir.run backward_weight 0 microbatch 0 () : () -> ()
  weir.run backward_weight 0 microbatch 0 () : () -> ()
  // CHECK-NEXT: weir.run update @w (%{{.*}}, %[[COUNT]]) : (tensor<4xf32>, tensor<f32>) -> ()
  weir.run update @w (%g, %count) : (tensor<4xf32>, tensor<f32>) -> ()
}

// CHECK-LABEL: weir.program @second of @net device 1 microbatches 2 schedule "1f1b" arena 4096 limit 8192 {
weir.program @second of @net device 1 microbatches 2 schedule "1f1b"
    arena 4096 limit 8192 {
  // CHECK-NEXT: weir.resident parameter @w at [0] : tensor<4xf32>
  %w = weir.resident parameter @w at [0] : tensor<4xf32>
  // CHECK-NEXT: weir.resident gradient @w 0 at [64] : tensor<4xf32>
  %g = weir.resident gradient @w 0 at [64] : tensor<4xf32>
  // CHECK-NEXT: weir.load "labels" microbatch 0 at [128] : tensor<4xi32>
  %labels = weir.load "labels" microbatch 0 at [128] : tensor<4xi32>
  // CHECK-NEXT: weir.recv_start from 0 message 7 microbatch 0 at [192] : !weir.receiving<tensor<4xf32>>
  %r = weir.recv_start from 0 message 7 microbatch 0 at [192]
      : !weir.receiving<tensor<4xf32>>
  %x = weir.wait %r : !weir.receiving<tensor<4xf32>> -> tensor<4xf32>
  // CHECK: weir.run forward 1 microbatch 0 (%{{.*}}, %{{.*}}) at [256, 320] scratch 1024 : (tensor<4xf32>, tensor<4xi32>) -> (tensor<4xf32>, !weir.bundle<tensor<4xf32>>)
  %y, %kept = weir.run forward 1 microbatch 0 (%x, %labels) at [256, 320] scratch 1024
      : (tensor<4xf32>, tensor<4xi32>) -> (tensor<4xf32>, !weir.bundle<tensor<4xf32>>)
}
