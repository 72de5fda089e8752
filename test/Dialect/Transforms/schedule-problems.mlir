// RUN: split-file %s %t
// RUN: weir-opt %t/chain.mlir --weir-schedule-problems=schedule=gpipe | FileCheck %s --check-prefix=GPIPE
// RUN: weir-opt %t/chain.mlir --weir-schedule-problems=schedule=1f1b | FileCheck %s --check-prefix=ONE
// RUN: weir-opt %t/chain.mlir --weir-schedule-problems=schedule=zb-h1 | FileCheck %s --check-prefix=H1
// RUN: weir-opt %t/chain.mlir --weir-schedule-problems=schedule=zb-h2 | FileCheck %s --check-prefix=H2
// RUN: weir-opt %t/loop.mlir --weir-schedule-problems=schedule=interleaved-1f1b | FileCheck %s --check-prefix=INTERLEAVED
// RUN: weir-opt %t/loop.mlir --weir-schedule-problems=schedule=gis | FileCheck %s --check-prefix=GIS
// RUN: weir-opt %t/v.mlir --weir-schedule-problems=schedule=v-half | FileCheck %s --check-prefix=HALF
// RUN: weir-opt %t/v.mlir --weir-schedule-problems=schedule=1f1b-v | FileCheck %s --check-prefix=FUSED
// RUN: weir-opt %t/v.mlir --weir-schedule-problems=schedule=zb-v --weir-schedule-problems=schedule=v-min --weir-schedule-problems=schedule=v-zb --weir-schedule-problems=schedule=dualpipe-v --weir-schedule-problems=schedule=v-half | FileCheck %s --check-prefix=FAMILY
// RUN: weir-opt %t/long.mlir --weir-schedule-problems=schedule=1f1b | FileCheck %s --check-prefix=COSTS
// RUN: weir-opt %t/long.mlir --weir-schedule-problems="schedule=auto objective=span" | FileCheck %s --check-prefix=SPAN
// RUN: weir-opt %t/limits.mlir --weir-schedule-problems="schedule=auto time-budget=0.2" --weir-check-schedules | FileCheck %s --check-prefix=AUTO
// RUN: weir-opt %t/limits.mlir --weir-schedule-problems="schedule=auto time-budget=0.2" -o %t/one
// RUN: weir-opt %t/limits.mlir --weir-schedule-problems="schedule=auto time-budget=0.2" | cmp - %t/one
// RUN: weir-opt %t/v.mlir --weir-schedule-problems=schedule=block:%t/block.json | FileCheck %s --check-prefix=BLOCK
// RUN: weir-opt %t/recompute.mlir --weir-schedule-problems=schedule=gpipe | FileCheck %s --check-prefix=AGAIN

// All forward passes, then all backward passes: everything is kept. With passes of
// one unit the times can be counted by hand.
// GPIPE: weir.schedule.solution of @chain by "gpipe" makespan 15.0 span 15.0 bound 13.0 peaks [4, 4] {
// GPIPE-NEXT: weir.schedule.order 0 {
// GPIPE-NEXT: weir.schedule.pass forward 0 microbatch 0 at 0.0 to 1.0
// GPIPE: weir.schedule.pass forward 0 microbatch 3 at 3.0 to 4.0
// GPIPE-NEXT: weir.schedule.pass backward 0 microbatch 0 at 7.0 to 9.0

// Device 0 keeps as many microbatches as there are devices, the last one keeps one.
// ONE: by "1f1b" makespan 15.0 span 15.0 bound 13.0 peaks [2, 1]
// ONE: weir.schedule.order 1 {
// ONE-NEXT: forward 1 microbatch 0 at 1.0 to 2.0
// ONE-NEXT: backward 1 microbatch 0 at 2.0 to 4.0
// ONE-NEXT: forward 1 microbatch 1 at 4.0 to 5.0

// W's fill what 1f1b leaves idle, at its memory: nothing is shorter.
// H1: by "zb-h1" makespan 13.0 span 13.0 bound 13.0 peaks [2, 2]
// H1: weir.schedule.order 1 {
// H1-NEXT: forward 1 microbatch 0 at 1.0 to 2.0
// H1-NEXT: backward_input 1 microbatch 0 at 2.0 to 3.0
// H1-NEXT: forward 1 microbatch 1 at 3.0 to 4.0
// H1-NEXT: backward_input 1 microbatch 1 at 4.0 to 5.0
// H1-NEXT: backward_weight 1 microbatch 0 at 5.0 to 6.0

// 2p - 1 microbatches, and no device idle between its first pass and its last.
// H2: by "zb-h2" makespan 13.0 span 12.0 bound 13.0 peaks [3, 3]

// Round by round: two microbatches through the first chunk, then through the second.
// INTERLEAVED: by "interleaved-1f1b"
// INTERLEAVED: weir.schedule.order 0 {
// INTERLEAVED-NEXT: forward 0 microbatch 0 at 0.0
// INTERLEAVED-NEXT: forward 0 microbatch 1 at 1.0
// INTERLEAVED-NEXT: forward 2 microbatch 0 at 2.0
// INTERLEAVED-NEXT: forward 2 microbatch 1 at 3.0
// INTERLEAVED: backward 2 microbatch 0

// GIS: by "gis"
// GIS-NOT: pass backward {{[0-9]}}
// GIS: weir.schedule.pass backward_weight 3 microbatch 3

// HALF: by "v-half" makespan 25.0 span 24.0 bound 25.0 peaks [4, 4]
// HALF-NEXT: weir.schedule.order 0 {
// HALF-NEXT: forward 0 microbatch 0 at 0.0 to 1.0
// HALF-NEXT: forward 0 microbatch 1 at 1.0 to 2.0
// HALF-NEXT: forward 0 microbatch 2 at 2.0 to 3.0
// HALF-NEXT: forward 3 microbatch 0 at 3.0 to 4.0
// HALF-NEXT: backward_input 3 microbatch 0 at 4.0 to 5.0
// HALF-NEXT: backward_weight 3 microbatch 0 at 5.0 to 6.0
// HALF-NEXT: forward 3 microbatch 1 at 6.0 to 7.0
// HALF-NEXT: backward_input 3 microbatch 1 at 7.0 to 8.0
// HALF-NEXT: backward_input 0 microbatch 0 at 8.0 to 9.0
// HALF: weir.schedule.order 1 {
// HALF-NEXT: forward 1 microbatch 0 at 1.0 to 2.0
// HALF-NEXT: forward 2 microbatch 0 at 2.0 to 3.0

// FUSED: by "1f1b-v" {{.*}} peaks [4, 4]
// FUSED-NOT: backward_input
// FUSED-NOT: backward_weight

// Solutions stand behind their problem, the last one first; no schedule is shorter
// than any of these.
// FAMILY: by "v-half" makespan 25.0 span 24.0 bound 25.0 peaks [4, 4]
// FAMILY: by "dualpipe-v" makespan 25.0 {{.*}} peaks [5, 5]
// FAMILY: by "v-zb" makespan 25.0 span 24.0 bound 25.0 peaks [4, 4]
// FAMILY: by "v-min" makespan 25.0 {{.*}} peaks [4, 4]
// FAMILY: by "zb-v" makespan 25.0 span 24.0 bound 25.0 peaks [4, 4]

// A transfer of 4 bytes over 8 bytes a second that arrives a quarter later, and back
// over a link of its own; buffers, workspace and what is held all the time count.
// COSTS: weir.schedule.solution of @long by "1f1b" makespan 5.25
// COSTS-SAME: peaks [117, 9]
// COSTS: forward 0 microbatch 0 at 0.0 to 1.0
// COSTS-NEXT: backward 0 microbatch 0 at 4.25 to 5.25
// COSTS: forward 1 microbatch 0 at 1.75 to 2.75
// COSTS-NEXT: backward 1 microbatch 0 at 2.75 to 3.75

// A pass that computes again comes before the backward pass that reads it.
// AGAIN: forward 0 microbatch 0 at 0.0 to 1.0
// AGAIN: recompute 0 microbatch 0
// AGAIN-NEXT: backward 0 microbatch 0

// Without a limit, that of no bubble but the fill and drain; with less memory the
// steps get longer, down to the least that any order needs: one microbatch after the
// other.
// AUTO: weir.schedule.solution of @free by "auto" makespan 25.0 {{.*}} bound 25.0
// AUTO: weir.schedule.solution of @half by "auto" makespan 25.0 {{.*}} peaks [4, 4]
// AUTO: weir.schedule.solution of @least by "auto" makespan {{[0-9.]+}} {{.*}} peaks [2, 2]
// A limit of one device alone.
// AUTO: weir.schedule.solution of @one by "auto" {{.*}} peaks [2, {{[2-8]}}]

// SPAN: weir.schedule.solution of @long by "auto"

// A building block in a file, repeated every six units.
// BLOCK: by "block:{{.*}}block.json" makespan 25.0 {{.*}} peaks [4, 4]
// BLOCK-NEXT: weir.schedule.order 0 {
// BLOCK-NEXT: forward 0 microbatch 0 at 0.0 to 1.0

//--- block.json
{"devices": 2, "placement": "v", "interval": 6,
 "stages": [{"forward": 0, "backward_input": 7},
            {"forward": 1, "backward_input": 6},
            {"forward": 2, "backward_input": 5},
            {"forward": 3, "backward_input": 4}]}

//--- limits.mlir

weir.schedule.problem @free devices 2 microbatches 4 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 2 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 3 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}
weir.schedule.problem @half devices 2 microbatches 4 limit 4 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 2 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 3 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}
weir.schedule.problem @least devices 2 microbatches 4 limit 2 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 2 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 3 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}
weir.schedule.problem @one devices 2 microbatches 4 {
  weir.schedule.device 0 limit 2
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 2 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 3 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}

//--- chain.mlir

weir.schedule.problem @chain devices 2 microbatches 4 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}

//--- loop.mlir

weir.schedule.problem @loop devices 2 microbatches 4 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 2 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 3 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}

//--- v.mlir

weir.schedule.problem @v devices 2 microbatches 4 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 2 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 3 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}

//--- long.mlir

weir.schedule.problem @long devices 2 microbatches 1 latency 0.25 bandwidth 8.0 {
  weir.schedule.device 0 fixed 100
  weir.schedule.link 1 to 0 latency 0.5
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 0.5 backward_weight 0.5 activation 10 forward_transfer 4 workspace {forward = 3, backward = 1}
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 0.5 backward_weight 0.5 backward 1.0 activation 5 released 2 taken 3 backward_transfer 1
}

//--- recompute.mlir

weir.schedule.problem @again devices 1 microbatches 2 {
  weir.schedule.stage 0 on 0 forward 1.0 recompute 1.0 backward_input 1.0 backward_weight 1.0 activation 8 kept 1
}
