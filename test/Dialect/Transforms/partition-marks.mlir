// RUN: weir-opt %s --weir-estimate-costs --weir-partition="stages=3" | FileCheck %s
// RUN: weir-opt %s --weir-estimate-costs --weir-partition="stages=3 layers-per-stage=1,1,1" | FileCheck %s --check-prefix=LAYERS
// RUN: weir-opt %s --weir-estimate-costs --weir-partition="stages=4 devices=2 placement=v" | FileCheck %s --check-prefix=DEVICES
// RUN: weir-opt %s --weir-estimate-costs --weir-partition="stages=1" | FileCheck %s --check-prefix=ONE
// RUN: weir-opt %s --weir-estimate-costs --weir-partition="stages=3" --remarks-filter=weir-partition --remark-policy=all -o %t 2>&1 | FileCheck %s --check-prefix=REMARK
// RUN: not weir-opt %s --weir-estimate-costs --weir-partition="stages=2" 2>&1 | FileCheck %s --check-prefix=STAGES
// RUN: not weir-opt %s --weir-estimate-costs --weir-partition="stages=3 cuts=2,3" 2>&1 | FileCheck %s --check-prefix=CUTS
// RUN: not weir-opt %s --weir-estimate-costs --weir-partition="stages=4 cuts=1,2,4" 2>&1 | FileCheck %s --check-prefix=NUMBER
// RUN: not weir-opt %s --weir-estimate-costs --weir-partition="stages=3 layers-per-stage=1,1,2" 2>&1 | FileCheck %s --check-prefix=SUM
// RUN: not weir-opt %s --weir-estimate-costs --weir-partition="stages=3 layers-per-stage=1,2" 2>&1 | FileCheck %s --check-prefix=COUNT
// RUN: not weir-opt %s --weir-estimate-costs --weir-partition="stages=3 layers-per-stage=3,-1,1" 2>&1 | FileCheck %s --check-prefix=LEAST
// RUN: not weir-opt %s --weir-estimate-costs --weir-partition="stages=3 cuts=1,4 layers-per-stage=1,1,1" 2>&1 | FileCheck %s --check-prefix=BOTH
// RUN: sed 's/weir.layer = 1/weir.layer = 3/' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=3 layers-per-stage=1,1,1" 2>&1 | FileCheck %s --check-prefix=ORDER
// RUN: sed 's/weir.layer = 1 : i64, //' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=3 layers-per-stage=1,1,1" 2>&1 | FileCheck %s --check-prefix=MISSING
// RUN: sed 's/weir.layer = [0-9] : i64, //' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=3 layers-per-stage=1,1,1" 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: sed 's/weir.stage_begin,/weir.stage_begin = 2 : i64,/' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=3" 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: sed 's/weir.stage_begin = 2/weir.stage_begin = 9223372036854775807/' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=3" 2>&1 | FileCheck %s --check-prefix=LARGE
// RUN: sed 's/weir.stage_begin = 2 : i64/weir.stage_begin/' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=2" 2>&1 | FileCheck %s --check-prefix=COUNTED
// RUN: sed 's/weir.stage_begin = 2 : i64/weir.stage_begin = 1 : i64/' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=3" 2>&1 | FileCheck %s --check-prefix=PASSED
// RUN: sed 's/weir.stage_begin,/weir.stage_begin = 0 : i64,/' %s | not weir-opt --weir-estimate-costs --weir-partition="stages=3" 2>&1 | FileCheck %s --check-prefix=FIRST

// Stages begin where the marks are, however uneven that is.
// CHECK: weir.op = 0 : i64, {{.*}}weir.stage = 0
// CHECK: weir.op = 1 : i64, {{.*}}weir.stage = 1
// CHECK: weir.op = 2 : i64, {{.*}}weir.stage = 1
// CHECK: weir.op = 3 : i64, {{.*}}weir.stage = 1
// CHECK: weir.op = 4 : i64, {{.*}}weir.stage = 2
// CHECK: weir.op = 5 : i64, {{.*}}weir.stage = 2

// The first layer has what comes before it, the last what comes after it.
// LAYERS: weir.op = 0 : i64, {{.*}}weir.stage = 0
// LAYERS: weir.op = 1 : i64, {{.*}}weir.stage = 1
// LAYERS: weir.op = 4 : i64, {{.*}}weir.stage = 2
// LAYERS: weir.op = 5 : i64, {{.*}}weir.stage = 2

// The cut that is not marked is chosen: a number leaves room for it.
// DEVICES: weir.op = 0 : i64, {{.*}}weir.stage = 0
// DEVICES: weir.op = 1 : i64, {{.*}}weir.stage = 1
// DEVICES: weir.op = 4 : i64, {{.*}}weir.stage = 2
// DEVICES: weir.op = 5 : i64, {{.*}}weir.stage = 3

// One stage is no cut.
// ONE: weir.op = 5 : i64, {{.*}}weir.stage = 0

// The remarks say where stages begin, what is held and what is sent.
// REMARK: stage 1 begins at op 1 (arith.mulf), layer 1, estimated seconds {{.*}}, receives 32 bytes per microbatch
// REMARK: holds most by estimate: 128 bytes of parameters, gradients and optimizer states and 0 bytes that microbatches keep
// REMARK: cut into 3 stages; the slowest device takes {{.*}} of the mean; 64 bytes per microbatch go from device to device

// STAGES: error: 'arith.mulf' op is marked as the beginning of stage 2, but the model is cut into 2 stages
// CUTS: error: 'arith.mulf' op is marked as the beginning of a stage, but the given cuts have none begin here
// NUMBER: error: {{.*}}is marked as the beginning of stage 2, but the given cuts have stage 3 begin here
// SUM: error: {{.*}}got 4 layers in 3 stages, but the model has 3
// COUNT: error: {{.*}}got the layers of 2 stages, but the model is cut into 3
// LEAST: error: {{.*}}needs at least one layer in each stage, got -1
// BOTH: error: {{.*}}cuts and layers-per-stage exclude each other
// ORDER: error: {{.*}}is marked weir.layer = 2, behind a larger number
// ORDER: note: marked 3 here
// MISSING: error: {{.*}}is marked weir.layer = 2, but no op is marked weir.layer = 1
// NONE: error: {{.*}}cannot count layers: no op is marked weir.layer
// TWICE: error: {{.*}}is marked weir.stage_begin = 2, as another op is
// TWICE: note: the other op is here
// LARGE: error: {{.*}}the beginning of stage 9223372036854775807, but the
// COUNTED: error: {{.*}}is marked as the beginning of stage 2, by the number of the marks before it, but the model is cut into 2 stages
// PASSED: error: {{.*}}is marked as the beginning of stage 1, but the marks before it count up to stage 1
// FIRST: error: {{.*}}is marked as the beginning of stage 0, but stage 0 begins at the first op of the model and the stages after it at marks 1, 2, ...
weir.variable @w <normal, 0.02> : tensor<8xf32>
func.func @m(%x: tensor<8xf32>) attributes {weir.joint} {
  %w = weir.read @w : tensor<8xf32>
  %a = arith.mulf %x, %w {weir.layer = 0 : i64, weir.op = 0 : i64} : tensor<8xf32>
  %b = arith.mulf %a, %a {weir.layer = 1 : i64, weir.stage_begin, weir.op = 1 : i64} : tensor<8xf32>
  %c = arith.mulf %b, %b {weir.op = 2 : i64} : tensor<8xf32>
  %d = arith.mulf %c, %c {weir.op = 3 : i64} : tensor<8xf32>
  %e = arith.mulf %d, %d {weir.layer = 2 : i64, weir.op = 4 : i64, weir.stage_begin = 2 : i64} : tensor<8xf32>
  %f = arith.mulf %e, %e {weir.op = 5 : i64} : tensor<8xf32>
  return
}
