// RUN: weir-opt %s --weir-schedule-problems=schedule=v-half -verify-diagnostics -split-input-file
// RUN: not weir-opt %s --weir-schedule-problems=schedule=auto -split-input-file 2>&1 | FileCheck %s --check-prefix=LIMIT
// RUN: not weir-opt %s --weir-schedule-problems=schedule=block:%t.absent -split-input-file 2>&1 | FileCheck %s --check-prefix=ABSENT
// RUN: not weir-opt %s --weir-schedule-problems=schedule=2f2b -split-input-file 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not weir-opt %s --weir-schedule-problems="schedule=auto objective=speed" -split-input-file 2>&1 | FileCheck %s --check-prefix=OBJECTIVE
// RUN: not weir-opt %s --weir-schedule-problems="schedule=auto time-budget=-1" -split-input-file 2>&1 | FileCheck %s --check-prefix=BUDGET

// UNKNOWN: error: unknown schedule '2f2b'; known are gpipe, {{.*}}, auto
// OBJECTIVE: error: unknown objective 'speed'; known are makespan and span
// BUDGET: error: the time budget must be at least 0 and finite

// The search refuses only what nothing fits into, and says where.
// LIMIT-NOT: error
// LIMIT: schedule-problems-errors.mlir:{{[0-9]+}}:1: error: device 0 needs at least 2 bytes, the limit is 1
// ABSENT: error: cannot open block file '{{.*}}absent': No such file or directory

// The placement is the problem's; a schedule for another one does not fit.
// expected-error @+1 {{v-half needs 4 stages on 2 devices in v placement}}
weir.schedule.problem @linear devices 2 microbatches 2 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0
}

// -----

// A named schedule does not look at the limit; what it needs is held against it.
// expected-error @+1 {{schedule v-half: device 0 needs 2 bytes}}
weir.schedule.problem @tight devices 1 microbatches 2 limit 1 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
  weir.schedule.stage 1 on 0 forward 1.0 backward_input 1.0 backward_weight 1.0 activation 1
}
