// RUN: weir-opt %s | weir-opt | FileCheck %s
// RUN: weir-opt %s --mlir-print-op-generic | weir-opt | FileCheck %s

// Everything that a problem can say, in the fewest digits.
// CHECK-LABEL: weir.schedule.problem @all devices 3 microbatches 2 latency 0.1 bandwidth 1.5e+300 limit 100 {
weir.schedule.problem @all devices 3 microbatches 2 latency 0.1 bandwidth 1.5e300 limit 100 {
  // CHECK-NEXT: weir.schedule.device 0 fixed 7
  weir.schedule.device 0 fixed 7
  // CHECK-NEXT: weir.schedule.device 2 fixed 0 limit 50
  weir.schedule.device 2 fixed 0 limit 50
  // CHECK-NEXT: weir.schedule.link 0 to 2 latency 1.0e-07 bandwidth 0.3
  weir.schedule.link 0 to 2 latency 0.0000001 bandwidth 0.3
  // CHECK-NEXT: weir.schedule.link 2 to 0
  weir.schedule.link 2 to 0
  // CHECK-NEXT: weir.schedule.stage 0 on 2 forward 1.0 recompute 0.5 backward_input 1.25 backward_weight 100.0 backward 2.0 update 3.0 gradient_reduction 4.0 activation 9 kept 2 released 1 taken 3 forward_transfer 4 backward_transfer 5 workspace {backward = 6 : i64, recompute = 7 : i64}
  weir.schedule.stage 0 on 2 forward 1.0 recompute 0.5 backward_input 1.25
      backward_weight 100.0 backward 2.0 update 3.0 gradient_reduction 4.0
      activation 9 kept 2 released 1 taken 3 forward_transfer 4
      backward_transfer 5 workspace {recompute = 7, backward = 6}
  // A stage of nothing but a forward pass that takes no time.
  // CHECK-NEXT: weir.schedule.stage 1 on 0 forward 0.0 backward_input 0.0
  weir.schedule.stage 1 on 0 forward 0.0 backward_input 0.0
}

// CHECK: weir.schedule.solution of @all by "by hand" {
weir.schedule.solution of @all by "by hand" {
  // CHECK-NEXT: weir.schedule.order 2 {
  weir.schedule.order 2 {
    // CHECK-NEXT: weir.schedule.pass forward 0 microbatch 1
    weir.schedule.pass forward 0 microbatch 1
    // CHECK-NEXT: weir.schedule.pass recompute 0 microbatch 1 at 1.0 to 1.5
    weir.schedule.pass recompute 0 microbatch 1 at 1.0 to 1.5
    // CHECK-NEXT: weir.schedule.pass update 0 at 2.0 to 5.0
    weir.schedule.pass update 0 at 2.0 to 5.0
  }
}
// CHECK: weir.schedule.solution of @all by "nothing" makespan 1.0 span 2.0 bound 0.5 peaks [1, 2, 3] {
weir.schedule.solution of @all by "nothing" makespan 1.0 span 2.0 bound 0.5 peaks [1, 2, 3] {
}
