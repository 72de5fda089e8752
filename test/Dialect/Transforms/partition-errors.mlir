// RUN: split-file %s %t
// RUN: not weir-opt %S/Inputs/products.mlir --weir-partition=stages=2 2>&1 | FileCheck %s --check-prefix=COSTS
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition=stages=9 2>&1 | FileCheck %s --check-prefix=MANY
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition=stages=0 2>&1 | FileCheck %s --check-prefix=ZERO
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=2 placement=ring" 2>&1 | FileCheck %s --check-prefix=PLACE
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=2 placement=0,0,1" 2>&1 | FileCheck %s --check-prefix=LENGTH
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=2 placement=0,2" 2>&1 | FileCheck %s --check-prefix=HOLE
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=2 devices=1 placement=0,1" 2>&1 | FileCheck %s --check-prefix=BEYOND
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=3 devices=2" 2>&1 | FileCheck %s --check-prefix=DEVICES
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=2 memory-limit=100" 2>&1 | FileCheck %s --check-prefix=LIMIT
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=3 cuts=1" 2>&1 | FileCheck %s --check-prefix=FEW
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=2 cuts=77" 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs --weir-partition="stages=3 cuts=2,1" 2>&1 | FileCheck %s --check-prefix=DOWN
// RUN: not weir-opt %t/none.mlir --weir-partition=stages=2 2>&1 | FileCheck %s --check-prefix=JOINT
// RUN: not weir-opt %S/Inputs/products.mlir --weir-estimate-costs=gflops=0 2>&1 | FileCheck %s --check-prefix=SPEED
// RUN: sed 's/weir.op = 2 : i64/weir.op = 1 : i64/' %S/Inputs/products.mlir | not weir-opt --weir-partition=stages=2 2>&1 | FileCheck %s --check-prefix=NUMBER
// RUN: sed 's/weir.op = 2 : i64/weir.op = 2 : i64, weir.seconds = -1.0 : f64/' %S/Inputs/products.mlir | not weir-opt --weir-partition=stages=2 2>&1 | FileCheck %s --check-prefix=NEGATIVE
// Any number will do.
// RUN: sed 's/weir.op = 0 : i64/weir.op = 9223372036854775807 : i64/' %S/Inputs/products.mlir | weir-opt --weir-estimate-costs --weir-partition=stages=2 | FileCheck %s --check-prefix=LARGE

// LARGE: weir.op = 9223372036854775807 : i64, {{.*}}weir.stage = 0
// NUMBER: error: {{.*}}has the number 1 of another op
// NUMBER: note: the other op is here
// NEGATIVE: error: {{.*}}takes -1.0{{.*}} seconds
// COSTS: error: no costs on the joint graph; run weir-estimate-costs first
// MANY: error: cannot cut the model into 9 stages: it has only 4 operations to cut between
// ZERO: error: needs at least one stage, got 0
// PLACE: error: unknown placement 'ring'; known are linear, loop, v and a list of devices such as 0,1,1,0
// LENGTH: error: placement 0,0,1 is for 3 stages, but there are 2
// HOLE: error: placement 0,2 leaves device 1 without a stage
// BEYOND: error: placement 0,1 names device 1, but there are 1 devices
// DEVICES: error: cannot place 3 stages on 2 devices: the number of stages must be a multiple
// LIMIT: error: no cut into 2 stages fits 100 bytes per device; the largest op alone needs
// FEW: error: got 1 cuts for 3 stages; needs one less than stages
// NONE: error: cannot cut at op 77: no op of the forward has that number
// DOWN: error: cut at op 1 leaves a stage without ops; cuts must ascend
// JOINT: error: no joint graph: no function marked 'weir.joint'; run weir-differentiate first
// SPEED: error: speeds and bandwidth of the cost model must be positive

//--- none.mlir
module {}
