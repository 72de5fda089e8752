// RUN: weir-opt %s --weir-plan-memory --weir-verify-programs | FileCheck %s
// RUN: weir-opt %s --weir-plan-memory | weir-opt --weir-verify-programs | FileCheck %s
// RUN: sed 's/limit 1024/limit 448/' %s | not weir-opt --weir-plan-memory 2>&1 | FileCheck %s --check-prefix=LIMIT

// The remark: residents take 320 bytes; input, bundle and workspace 320 more. The
// plan has no gaps.
// RUN: weir-opt %s --weir-plan-memory --remark-format=emitRemark --remarks-filter=weir-plan-memory -o %t 2>&1 | FileCheck %s --check-prefix=REMARK
// REMARK: arena of device 0: 640 bytes, of which 0 (0.00 %) are gaps when most is in use; parameters 64, gradients 64, optimizer states 0; at most, each at its own time: activations 192, workspace 128, transfers 0

// LIMIT: error: device 0 needs [[NEED:[0-9]+]] bytes, but the memory limit is 448; the smallest limit that this cut and schedule can meet is [[NEED]]

// Residents first; then values by their live ranges: what is dead gives its place
// to what comes later, and every offset is a multiple of 64.

weir.variable @w <normal, 0.02> : tensor<16xf32>

weir.pipeline @net stages 1 (%tokens = "tokens" : tensor<4xi32>) {
  %kept = weir.forward 0 (%t = %tokens : tensor<4xi32>)
      -> !weir.bundle<tensor<32xf32>> attributes {workspace = 100 : i64} {
    %x = arith.constant dense<0.0> : tensor<32xf32>
    %b = weir.pack %x : (tensor<32xf32>) -> !weir.bundle<tensor<32xf32>>
    weir.yield %b : !weir.bundle<tensor<32xf32>>
  }
  weir.backward_weight 0 (%b = %kept : !weir.bundle<tensor<32xf32>>) {
    %g = arith.constant dense<0.0> : tensor<16xf32>
    weir.accumulate @w use 0, %g : tensor<16xf32>
  }
  weir.update @w uses 1 states [] (%w: tensor<16xf32>, %g: tensor<16xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<16xf32>
  }
}

// CHECK: weir.program @one of @net device 0 microbatches 2 arena [[ARENA:[0-9]+]] limit 1024
weir.program @one of @net device 0 microbatches 2 limit 1024 {
  // CHECK-NEXT: weir.resident parameter @w at [0]
  %w = weir.resident parameter @w : tensor<16xf32>
  // CHECK-NEXT: weir.resident gradient @w 0 at [64]
  %g = weir.resident gradient @w 0 : tensor<16xf32>
  // CHECK-NEXT: weir.resident count at [128]
  %count = weir.resident count : tensor<f32>
  // CHECK-NEXT: weir.resident learning_rate at [192]
  %rate = weir.resident learning_rate : tensor<f32>
  // CHECK-NEXT: weir.resident step at [256]
  %step = weir.resident step : tensor<f32>
  // CHECK-NEXT: weir.load "tokens" microbatch 0 at [[[T:[0-9]+]]]
  %t0 = weir.load "tokens" microbatch 0 : tensor<4xi32>
  // CHECK-NEXT: weir.run forward 0 microbatch 0 ({{.*}}) at [[[K:[0-9]+]]] scratch [[S:[0-9]+]]
  %k0 = weir.run forward 0 microbatch 0 (%t0) : (tensor<4xi32>) -> !weir.bundle<tensor<32xf32>>
  // CHECK-NEXT: weir.run backward_weight 0 microbatch 0 ({{.*}}) :
  weir.run backward_weight 0 microbatch 0 (%k0) : (!weir.bundle<tensor<32xf32>>) -> ()
  // The second microbatch takes the places of the first.
  // CHECK-NEXT: weir.load "tokens" microbatch 1 at [[[T]]]
  %t1 = weir.load "tokens" microbatch 1 : tensor<4xi32>
  // CHECK-NEXT: weir.run forward 0 microbatch 1 ({{.*}}) at [[[K]]] scratch [[S]]
  %k1 = weir.run forward 0 microbatch 1 (%t1) : (tensor<4xi32>) -> !weir.bundle<tensor<32xf32>>
  weir.run backward_weight 0 microbatch 1 (%k1) : (!weir.bundle<tensor<32xf32>>) -> ()
  weir.run update @w (%g, %count) : (tensor<16xf32>, tensor<f32>) -> ()
}
