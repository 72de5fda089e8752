// RUN: weir-opt %s --weir-extract-problems="placement=v devices=2 microbatches=3 memory-limit=4096" | FileCheck %s
// RUN: weir-opt %s --weir-extract-problems="placement=1,0,0,1 microbatches=3" --weir-schedule-problems=schedule=v-half | FileCheck %s --check-prefix=SOLVED
// RUN: not weir-opt %s --weir-extract-problems="placement=ring" 2>&1 | FileCheck %s --check-prefix=RING
// RUN: not weir-opt %s --weir-extract-problems="microbatches=0" 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not weir-opt %s --weir-extract-problems --weir-extract-problems 2>&1 | FileCheck %s --check-prefix=TAKEN

// Every pass takes at least a nanosecond; buffers are whole lines of 64 bytes, and
// sent without what fills the line. What F makes for W and not for B is kept to the
// end, what B makes for W is taken by B. Variables lie on the devices that read them.
// CHECK: weir.schedule.problem @p_problem devices 2 microbatches 3 limit 4096 {
// CHECK-NEXT: weir.schedule.device 1 fixed 128
// CHECK-NEXT: weir.schedule.stage 0 on 0 forward 0.5 forward_transfer 16
// CHECK-NEXT: weir.schedule.stage 1 on 1 forward 0.25 backward_weight 1.0e-09 activation 64 forward_transfer 16 workspace {forward = 128 : i64}
// CHECK-NEXT: weir.schedule.stage 2 on 1 forward 1.0e-09 backward_input 1.0e-09 activation 64 released 64 forward_transfer 16 backward_transfer 16
// CHECK-NEXT: weir.schedule.stage 3 on 0 forward 1.0e-09 backward_input 1.0e-09 backward_transfer 16
// CHECK-NEXT: }
// CHECK-NEXT: weir.pipeline @p

// SOLVED: weir.schedule.stage 1 on 0
// SOLVED: weir.schedule.solution of @p_problem by "v-half"

// RING: error: unknown placement 'ring'
// ZERO: error: cannot schedule 0 microbatches
// TAKEN: error: cannot name its problem @p_problem: the name is taken

weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 4 (%t = "tokens" : tensor<4xf32>) {
  %a = weir.forward 0 (%x = %t : tensor<4xf32>) -> tensor<4xf32>
      attributes {seconds = 0.5 : f64} {
    weir.yield %x : tensor<4xf32>
  }
  %b = weir.forward 1 (%x = %a : tensor<4xf32>) -> tensor<4xf32>
      attributes {seconds = 0.25 : f64, workspace = 128 : i64} {
    %w = weir.read @w : tensor<4xf32>
    %y = arith.mulf %x, %w : tensor<4xf32>
    weir.yield %y : tensor<4xf32>
  }
  %c = weir.forward 2 (%x = %b : tensor<4xf32>) -> tensor<4xf32> {
    weir.yield %x : tensor<4xf32>
  }
  weir.forward 3 (%x = %c : tensor<4xf32>) {
  }
  %g3 = weir.backward_input 3 () -> tensor<4xf32> {
    %g = arith.constant dense<1.0> : tensor<4xf32>
    weir.yield %g : tensor<4xf32>
  }
  %g2 = weir.backward_input 2 (%g = %g3 : tensor<4xf32>, %x = %b : tensor<4xf32>) -> tensor<4xf32> {
    %y = arith.mulf %g, %x : tensor<4xf32>
    weir.yield %y : tensor<4xf32>
  }
  weir.backward_weight 1 (%g = %g2 : tensor<4xf32>, %x = %a : tensor<4xf32>) {
    %y = arith.mulf %g, %x : tensor<4xf32>
    weir.accumulate @w use 0, %y : tensor<4xf32>
  }
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}
