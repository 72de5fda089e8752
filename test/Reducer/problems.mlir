// RUN: weir-reduce --weir-reduction="test=%S/Inputs/says test-arg=deadlock,--weir-check-schedules" %s | FileCheck %s

// Of a problem and its solution is left what the fault needs: the stage whose second
// microbatch goes back before it came.

// CHECK: weir.schedule.problem @three devices 1 microbatches 1 {
// CHECK-NOT: weir.schedule.link
// CHECK: weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0{{$}}
// CHECK-NOT: weir.schedule.stage
// CHECK: weir.schedule.solution of @three
// CHECK-NEXT: weir.schedule.order 0
// CHECK-NEXT: weir.schedule.pass backward 0 microbatch 0
// CHECK-NEXT: weir.schedule.pass forward 0 microbatch 0
// CHECK-NEXT: }
// CHECK-NOT: weir.schedule

weir.schedule.problem @other devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.problem @three devices 3 microbatches 2 latency 0.5 limit 100 {
  weir.schedule.device 1 fixed 2
  weir.schedule.link 1 to 2 latency 0.2
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 2 on 2 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}
weir.schedule.solution of @three by "wrong" {
  weir.schedule.order 0 {
    weir.schedule.pass forward 0 microbatch 0
    weir.schedule.pass backward 0 microbatch 0
    weir.schedule.pass forward 0 microbatch 1
    weir.schedule.pass backward 0 microbatch 1
  }
  weir.schedule.order 1 {
    weir.schedule.pass forward 1 microbatch 0
    weir.schedule.pass backward 1 microbatch 0
    weir.schedule.pass backward 1 microbatch 1
    weir.schedule.pass forward 1 microbatch 1
  }
  weir.schedule.order 2 {
    weir.schedule.pass forward 2 microbatch 0
    weir.schedule.pass backward 2 microbatch 0
    weir.schedule.pass forward 2 microbatch 1
    weir.schedule.pass backward 2 microbatch 1
  }
}
