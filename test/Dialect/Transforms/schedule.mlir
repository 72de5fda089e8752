// RUN: weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition=stages=2 --weir-split-backward --weir-outline-stages --weir-add-optimizer -o %t
// RUN: weir-opt %t --weir-schedule="schedule=1f1b microbatches=2" --weir-verify-programs | FileCheck %s
// RUN: weir-opt %t --weir-schedule="schedule=zb-h1 microbatches=2" --weir-verify-programs | FileCheck %s --check-prefix=SPLIT
// RUN: weir-opt %t --weir-schedule="schedule=v-half microbatches=3" --weir-verify-programs | FileCheck %s --check-prefix=V
// RUN: weir-opt %t --weir-schedule="schedule=gpipe placement=1,0 microbatches=2" --weir-verify-programs | FileCheck %s --check-prefix=LISTED
// RUN: weir-opt %t --weir-schedule="schedule=auto placement=linear microbatches=4 memory-limit=4096" --weir-verify-programs --weir-plan-memory --remarks-filter=weir.schedule -o %t.auto 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: FileCheck %s --check-prefix=AUTO < %t.auto
// RUN: weir-opt %t --weir-schedule="schedule=1f1b microbatches=4" --remarks-filter=weir.schedule -o %t.named 2>&1 | FileCheck %s --check-prefix=NAMED
// RUN: not weir-opt %t --weir-schedule="schedule=auto placement=linear microbatches=4 memory-limit=1500" 2>&1 | FileCheck %s --check-prefix=LIMIT
// RUN: not weir-opt %t --weir-schedule="schedule=auto objective=speed" 2>&1 | FileCheck %s --check-prefix=OBJECTIVE
// RUN: not weir-opt %t --weir-schedule=schedule=2f2b 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not weir-opt %t --weir-schedule="schedule=1f1b devices=3" 2>&1 | FileCheck %s --check-prefix=DEVICES
// RUN: not weir-opt %t --weir-schedule="schedule=1f1b microbatches=0" 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not weir-opt %t --weir-schedule="schedule=1f1b microbatches=4294967297" 2>&1 | FileCheck %s --check-prefix=MANY
// RUN: not weir-opt %t --weir-schedule --weir-schedule 2>&1 | FileCheck %s --check-prefix=TWICE

// Warm-up of two forwards on device 0, each sent at once; the gradient is asked
// for before the pass ahead of the backward that reads it.
// CHECK-LABEL: weir.program @m_device0 of @m device 0 microbatches 2 schedule "1f1b"
// CHECK: weir.run forward 0 microbatch 0
// CHECK-NEXT: weir.send_start {{.*}} to 1 message 0 microbatch 0
// CHECK: %[[R:.*]] = weir.recv_start from 1
// CHECK: weir.run forward 0 microbatch 1
// CHECK: %[[G:.*]] = weir.wait %[[R]]
// CHECK: weir.run backward 0 microbatch 0 (%[[G]]
// CHECK: weir.run backward 0 microbatch 1
// The count comes from the device of the loss, then the update.
// CHECK: %[[C:.*]] = weir.recv_start from 1 {{.*}}!weir.receiving<tensor<f32>>
// CHECK: %[[N:.*]] = weir.wait %[[C]]
// CHECK: weir.run update @w0 ({{.*}}, {{.*}}, %[[N]])

// CHECK-LABEL: weir.program @m_device1
// CHECK: weir.resident loss
// CHECK: weir.run forward 1 microbatch 0
// CHECK: weir.run backward 1 microbatch 0 {{.*}} between
// CHECK: weir.run forward 1 microbatch 1
// CHECK: weir.run backward 1 microbatch 1

// SPLIT: weir.run backward_input 0 microbatch 0
// SPLIT: weir.run backward_weight 0 microbatch 1

// Both stages on one device: nothing to send.
// V-LABEL: weir.program @m_device0
// V-NOT: weir.send_start
// V-NOT: weir.program

// Devices by hand.
// LISTED-LABEL: weir.program @m_device0
// LISTED: weir.run forward 1 microbatch 0
// LISTED-LABEL: weir.program @m_device1
// LISTED: weir.run forward 0 microbatch 0

// The remark says what was chosen, how far it may be from the best, and what was the
// best that has a name.
// REMARK: remark: [Passed] schedule | Category:weir-schedule | Remark="scheduled by auto with stages on devices 0,1; predicted makespan {{[0-9.e-]+}} s, bubble {{[0-9.]+}}, lower bound {{[0-9.e-]+}} s, gap {{[0-9.]+}} %; largest arena {{[0-9]+}} of 4096 bytes on device {{[01]}}; best named schedule {{[a-z0-9-]+}} with {{[0-9.e-]+}} s"
// NAMED: Remark="scheduled by 1f1b with stages on devices 0,1; predicted makespan {{.*}}; largest peak {{[0-9]+}} bytes on device {{[01]}}"
// AUTO: weir.program @m_device0 of @m device 0 microbatches 4 schedule "auto" arena {{[0-9]+}} limit 4096
// AUTO: weir.program @m_device1

// LIMIT: error: device {{[01]}} needs at least {{[0-9]+}} bytes, the limit is 1500
// OBJECTIVE: error: unknown objective 'speed'; known are makespan and span

// UNKNOWN: error: unknown schedule '2f2b'; known are {{.*}}gpipe
// DEVICES: error: schedule 1f1b: cannot place 2 stages on 3 devices
// ZERO: error: needs at least one microbatch, got 0
// MANY: error: cannot schedule 4294967297 microbatches
// TWICE: error: the pipeline has programs already
