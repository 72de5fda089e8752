// RUN: weir-opt %s --weir-check-schedules | FileCheck %s
// RUN: weir-opt %s --weir-check-schedules | weir-opt --weir-check-schedules | FileCheck %s

// An order by hand gets its times: W's of device 0 wait for gradients of device 1, and
// its memory is what two microbatches keep; on device 1 a half of the first one is left
// when the second one comes. A device may be left out.
weir.schedule.problem @two devices 3 microbatches 2 limit 100 {
  weir.schedule.device 1 limit 3
  weir.schedule.stage 0 on 0 forward 1.0 backward_weight 2.0 activation 3
  weir.schedule.stage 1 on 1 forward 1.5 backward_input 1.0 backward_weight 0.5 update 0.25 activation 2 released 1
}
// CHECK: weir.schedule.solution of @two by "hand" makespan 9.0 span 9.0 bound {{[0-9.]+}} peaks [6, 3, 0] {
weir.schedule.solution of @two by "hand" {
  // CHECK: weir.schedule.order 0 {
  weir.schedule.order 0 {
    // CHECK-NEXT: weir.schedule.pass forward 0 microbatch 0 at 0.0 to 1.0
    weir.schedule.pass forward 0 microbatch 0
    // CHECK-NEXT: weir.schedule.pass forward 0 microbatch 1 at 1.0 to 2.0
    weir.schedule.pass forward 0 microbatch 1
    // CHECK-NEXT: weir.schedule.pass backward_weight 0 microbatch 0 at 3.5 to 5.5
    weir.schedule.pass backward_weight 0 microbatch 0
    // CHECK-NEXT: weir.schedule.pass backward_weight 0 microbatch 1 at 7.0 to 9.0
    weir.schedule.pass backward_weight 0 microbatch 1
  }
  // CHECK: weir.schedule.order 1 {
  weir.schedule.order 1 {
    // CHECK-NEXT: weir.schedule.pass forward 1 microbatch 0 at 1.0 to 2.5
    weir.schedule.pass forward 1 microbatch 0
    // CHECK-NEXT: weir.schedule.pass backward_input 1 microbatch 0 at 2.5 to 3.5
    weir.schedule.pass backward_input 1 microbatch 0
    // CHECK-NEXT: weir.schedule.pass forward 1 microbatch 1 at 3.5 to 5.0
    weir.schedule.pass forward 1 microbatch 1
    // The one W is split off, the other is not.
    // CHECK-NEXT: weir.schedule.pass backward_weight 1 microbatch 0 at 5.0 to 5.5
    weir.schedule.pass backward_weight 1 microbatch 0
    // CHECK-NEXT: weir.schedule.pass backward 1 microbatch 1 at 5.5 to 7.0
    weir.schedule.pass backward 1 microbatch 1
    // CHECK-NEXT: weir.schedule.pass update 1 at 7.0 to 7.25
    weir.schedule.pass update 1
  }
}
