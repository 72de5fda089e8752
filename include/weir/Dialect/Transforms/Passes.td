//===- Passes.td - the passes, level by level -------------*- tablegen -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DIALECT_TRANSFORMS_PASSES_TD
#define WEIR_DIALECT_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def WeirDifferentiate : Pass<"weir-differentiate", "::mlir::ModuleOp"> {
  let summary = "Add the backward to the model: level 1 to level 2";
  let description = [{
    Turns the function with `weir.model`, which returns the sum of the losses and
    the count of labels, into the joint graph (`weir.joint`), which returns
    nothing: forward, `weir.report`, backward, and one `weir.accumulate` per use
    of a variable. The seed of the backward is 1.

    Every forward op gets a number in `weir.op`, every op of its adjoint the same
    number in `weir.adjoint_of`. The op that makes the whole gradient of a value
    that depends on the data (the arguments of the function) is marked
    `weir.activation_gradient`.

    Example:

    ```mlir
    weir.variable @w <normal, 0.02> : tensor<4xf32>
    func.func @m(%x: tensor<4xf32> {weir.input = "tokens"},
                 %n: tensor<f32> {weir.input = "labels"})
        -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
      %zero = arith.constant dense<0.0> : tensor<f32>
      %w = weir.read @w : tensor<4xf32>
      %y = arith.mulf %x, %w : tensor<4xf32>
      %loss = linalg.reduce { arith.addf } ins(%y : tensor<4xf32>)
          outs(%zero : tensor<f32>) dimensions = [0]
      return %loss, %n : tensor<f32>, tensor<f32>
    }
    ```

    becomes, with `...` for what is left out:

    ```mlir
    func.func @m(%x: tensor<4xf32> {weir.input = "tokens"},
                 %n: tensor<f32> {weir.input = "labels"}) attributes {weir.joint} {
      %w = weir.read @w : tensor<4xf32>
      %y = linalg.generic ... ins(%x, %w : ...) ... attrs = {weir.op = 0 : i64} {
      %loss = linalg.generic ... ins(%y : ...) ... attrs = {weir.op = 1 : i64} {
      weir.report %loss, %n : tensor<f32>, tensor<f32>
      %dy = linalg.generic ...
          attrs = {weir.activation_gradient, weir.adjoint_of = 1 : i64} {
      %dw = linalg.generic ... ins(%x, %dy : ...)
          ... attrs = {weir.adjoint_of = 0 : i64} {
      weir.accumulate @w use 0, %dw {weir.adjoint_of = 0 : i64} : tensor<4xf32>
      return
    ```
  }];
  let dependentDialects = ["::weir::WeirDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def WeirFixRounding : Pass<"weir-fix-rounding", "::mlir::ModuleOp"> {
  let summary = "Fix the order of reductions and the expansion of math functions";
  let description = [{
    After this pass the bits of every value of the joint graph are defined, so no
    cut, fusion or vectorisation can change them.

    - Elementwise ops on tensors and named structured ops, other than products
      and fills, become `linalg.generic`.
    - Every `linalg.generic` that reduces gets `weir.lanes = L`. The iteration
      space of its reduction dimensions, in row-major order, is dealt to L lanes
      round robin: element i to lane i mod L. Each lane folds its elements in
      order, starting from the first; lanes are then combined by halving: lane j
      with lane j + L/2, then L/4 and so on, lanes that got no element left out;
      last, the value of `outs` is combined with the result, `outs` on the left.
      L is `lanes` where the last dimension of the data (of the first input of
      the highest rank) is reduced, so that a vector holds the lanes of one
      result; else it is a quarter of that: there vectors hold neighbouring
      results, and each needs L of them.
    - Scalar `math` functions on f32 become their polynomials (`exp`, `expm1`,
      `log`, `log1p`, `log2`, `tanh`, `erf`), so every vector width gives the
      same bits. Other functions and types call libm.
    - Fast-math flags, which would leave rounding to the compiler, are dropped.
    - Matrix products (`linalg.contract`) keep the order of the product library,
      which depends on the shape and the number of threads only.

    Running the pass again changes nothing. Functions with `weir.model` are left
    alone: differentiation comes first.

    Example:

    ```mlir
    func.func @sums(%x: tensor<4x64xf32>, %zeros: tensor<4xf32>)
        -> tensor<4xf32> {
      %sums = linalg.reduce { arith.addf } ins(%x : tensor<4x64xf32>)
          outs(%zeros : tensor<4xf32>) dimensions = [1]
      return %sums : tensor<4xf32>
    }
    ```

    becomes

    ```mlir
    func.func @sums(%x: tensor<4x64xf32>, %zeros: tensor<4xf32>)
        -> tensor<4xf32> {
      %sums = linalg.generic {..., iterator_types = ["parallel", "reduction"]}
          ins(%x : tensor<4x64xf32>) outs(%zeros : tensor<4xf32>)
          attrs = {weir.lanes = 16 : i64} {
      ^bb0(%in: f32, %out: f32):
        %sum = arith.addf %out, %in : f32
        linalg.yield %sum : f32
      } -> tensor<4xf32>
      return %sums : tensor<4xf32>
    }
    ```
  }];
  let options = [
    Option<"lanes", "lanes", "int64_t", "16",
           "Lanes of a reduction; a power of two">,
  ];
  let dependentDialects = ["::weir::WeirDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::vector::VectorDialect",
                           "::mlir::linalg::LinalgDialect"];
}

def WeirEstimateCosts : Pass<"weir-estimate-costs", "::mlir::ModuleOp"> {
  let summary = "Estimate what every op of the joint graph costs";
  let description = [{
    Sets `weir.flops`, `weir.bytes` (read and written) and `weir.seconds`
    (the larger of flops over the peak and bytes over the bandwidth, plus a fixed
    cost per op) on every op of the joint graph that computes.

    Example, `--weir-estimate-costs="gbps=10 scalar-gflops=5 overhead=0"`: 1040 bytes
    at 10 GB/s take longer than 256 additions.

    ```mlir
    func.func @m(%x: tensor<4x64xf32> {weir.input = "tokens"},
                 %zeros: tensor<4xf32> {weir.input = "zeros"})
        attributes {weir.joint} {
      %sums = linalg.reduce { arith.addf } ins(%x : tensor<4x64xf32>)
          outs(%zeros : tensor<4xf32>) dimensions = [1] {weir.op = 0 : i64}
      return
    }
    ```

    becomes

    ```mlir
    linalg.reduce { arith.addf } ins(...) outs(...) dimensions = [1]
        {weir.bytes = 1040 : i64, weir.flops = 256 : i64, weir.op = 0 : i64,
         weir.seconds = 1.040000e-07 : f64}
    ```
  }];
  let options = [
    Option<"gflops", "gflops", "double", "80.0",
           "Speed of matrix products in 1e9 operations per second">,
    Option<"scalarGflops", "scalar-gflops", "double", "10.0",
           "Speed of other arithmetic in 1e9 operations per second">,
    Option<"gigabytesPerSecond", "gbps", "double", "12.0",
           "Memory bandwidth in 1e9 bytes per second">,
    Option<"overhead", "overhead", "double", "5e-7",
           "Fixed seconds per op">,
  ];
}

def WeirPartition : Pass<"weir-partition", "::mlir::ModuleOp"> {
  let summary = "Give every op of the joint graph a stage";
  let description = [{
    Cuts the forward ops, in their order, into `stages` pieces; a stage costs its
    forward and its backward. Two kinds of cuts are looked for: the one whose
    slowest device is as fast as can be, and among those whose slowest device is
    at most a tenth slower the one that sends the fewest bytes, and then needs
    little memory. They are exact where every device holds one stage. Where a
    device holds several, its own time counts, and cuts are improved by moving one
    or two positions at a time, which need not find the best. Those with the
    shortest predicted steps under `schedule`, transfers included, are moved while
    that shortens the step; of all whose step is at most a hundredth longer than
    the shortest, the one with the smallest peak of memory is taken.

    With `memory-limit`, a cut that fits goes before one that does not. A device
    needs its variables with their gradients and optimizer states, and what
    microbatches keep for their backward, for as many of them as it holds at once
    under `schedule` (`1f1b`: stage s of p holds p - s). That is an estimate,
    without workspaces and transfer buffers. If no cut is found that fits, the
    one that exceeds the limit least is taken, as long as one microbatch fits;
    the plan tells in the end. For `auto` one microbatch per stage has to fit.

    The user can say where to cut:

    - `cuts`: the numbers (`weir.op`) of the first ops of stages 1, 2, ...
    - `layers-per-stage`: how many layers each stage has. Where a layer begins,
      the model says by `weir.layer = N` on its first op. What comes before the
      first layer belongs to the first stage, what comes after the last to the
      last.
    - `weir.stage_begin` on ops of the model: a stage begins here, or with a
      number that stage. The cuts between are chosen as above. In one stage nothing
      is cut, and the marks have no meaning.

    An adjoint gets the stage of its forward op.
    Constants, reads of variables and empty tensors stay without a stage: every
    pass has its own.

    Ops are cut in the order in which the model has them. A value may skip stages:
    it is sent from the stage that makes it to each device that reads it, and its
    gradient is added up on the way back, in the order that differentiation fixed.

    The placement says which device holds a stage: `linear` (runs of stages on
    one device after another), `loop` (stage i on device i mod devices), `v` (back
    and forth), or the device of each stage, separated by commas: `0,1,2,2,1,0`.

    Example, `--weir-partition=stages=2`:

    ```mlir
    weir.variable @w <normal, 0.02> : tensor<4xf32>
    func.func @m(%x: tensor<4xf32> {weir.input = "tokens"}) attributes {weir.joint} {
      %w = weir.read @w : tensor<4xf32>
      %y = arith.mulf %x, %w {weir.op = 0 : i64, weir.seconds = 1.0} : tensor<4xf32>
      %z = arith.mulf %y, %y {weir.op = 1 : i64, weir.seconds = 1.0} : tensor<4xf32>
      %dy = arith.addf %y, %y {weir.activation_gradient, weir.adjoint_of = 1 : i64,
                               weir.seconds = 1.0} : tensor<4xf32>
      %dw = arith.mulf %dy, %x {weir.adjoint_of = 0 : i64, weir.seconds = 1.0}
          : tensor<4xf32>
      weir.accumulate @w use 0, %dw {weir.adjoint_of = 0 : i64} : tensor<4xf32>
      return
    }
    ```

    becomes

    ```mlir
    %w = weir.read @w : tensor<4xf32>
    %y = arith.mulf %x, %w {weir.op = 0 : i64, ..., weir.stage = 0 : i64}
    %z = arith.mulf %y, %y {weir.op = 1 : i64, ..., weir.stage = 1 : i64}
    %dy = arith.addf %y, %y {..., weir.adjoint_of = 1 : i64, ..., weir.stage = 1 : i64}
    %dw = arith.mulf %dy, %x {weir.adjoint_of = 0 : i64, ..., weir.stage = 0 : i64}
    weir.accumulate @w use 0, %dw {weir.adjoint_of = 0 : i64, weir.stage = 0 : i64}
    ```
  }];
  let options = [
    Option<"stages", "stages", "int64_t", "1", "Number of stages">,
    Option<"devices", "devices", "int64_t", "0",
           "Number of devices; 0 means one per stage">,
    Option<"placement", "placement", "std::string", "\"linear\"",
           "linear, loop, v or a list of devices">,
    Option<"memoryLimit", "memory-limit", "int64_t", "0",
           "Bytes per device; 0 means no limit">,
    Option<"stateTensors", "state-tensors", "int64_t", "2",
           "Optimizer states per parameter, for the memory limit">,
    ListOption<"cuts", "cuts", "int64_t",
           "Numbers (weir.op) of the first op of stages 1, 2, ...: cut there">,
    ListOption<"layersPerStage", "layers-per-stage", "int64_t",
           "How many layers (weir.layer) each stage has: cut there">,
    Option<"schedule", "schedule", "std::string", "\"1f1b\"",
           "The schedule to come, for what devices hold: a name, block:FILE or "
           "auto">,
    Option<"microbatches", "microbatches", "int64_t", "0",
           "Microbatches per step; 0 means two per device">,
    Option<"linkGigabytesPerSecond", "link-gbps", "double", "10.0",
           "Bandwidth between devices in 1e9 bytes per second">,
  ];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirSplitBackward : Pass<"weir-split-backward", "::mlir::ModuleOp"> {
  let summary = "Tell backward_input and backward_weight apart by slicing";
  let description = [{
    Sets `weir.pass` on every op that has a stage. A backward op is
    backward_input if a gradient that another stage waits for, or the gradient of
    any value that depends on the data, depends on it; all others, which only
    variables wait for, are backward_weight.

    Example:

    ```mlir
    weir.variable @w <normal, 0.02> : tensor<4xf32>
    func.func @m(%x: tensor<4xf32> {weir.input = "tokens"}) attributes {weir.joint} {
      %w = weir.read @w : tensor<4xf32>
      %y = arith.mulf %x, %w {weir.op = 0 : i64, weir.stage = 0 : i64} : tensor<4xf32>
      %z = arith.mulf %y, %y {weir.op = 1 : i64, weir.stage = 1 : i64} : tensor<4xf32>
      %dy = arith.addf %y, %y {weir.activation_gradient, weir.adjoint_of = 1 : i64,
                               weir.stage = 1 : i64} : tensor<4xf32>
      %dw = arith.mulf %dy, %x {weir.adjoint_of = 0 : i64, weir.stage = 0 : i64}
          : tensor<4xf32>
      weir.accumulate @w use 0, %dw {weir.adjoint_of = 0 : i64, weir.stage = 0 : i64}
          : tensor<4xf32>
      return
    }
    ```

    becomes: stage 0 waits for %dy, and only @w for %dw.

    ```mlir
    %y = arith.mulf %x, %w {..., weir.pass = #weir.pass<forward>, weir.stage = 0 : i64}
    %z = arith.mulf %y, %y {..., weir.pass = #weir.pass<forward>, weir.stage = 1 : i64}
    %dy = arith.addf %y, %y {..., weir.pass = #weir.pass<backward_input>, ...}
    %dw = arith.mulf %dy, %x {..., weir.pass = #weir.pass<backward_weight>, ...}
    weir.accumulate @w use 0, %dw {..., weir.pass = #weir.pass<backward_weight>, ...}
    ```
  }];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirOutlineStages : Pass<"weir-outline-stages", "::mlir::ModuleOp"> {
  let summary = "Cut the joint graph into passes of stages: level 2 to level 3";
  let description = [{
    Makes a `weir.pipeline` of the coloured joint graph. What one pass of a stage
    keeps for a later one goes into a bundle per reader; stage inputs, outputs
    and gradients are plain values. Ops without a stage (constants, reads) are
    repeated where they are used, reshapes in every pass that reads their result,
    so that a value is kept once. A stage between others that has nothing to
    compute on the way back gets an empty backward_input, a link in the chain of
    passes that schedules are made of.

    Example:

    ```mlir
    weir.variable @w <normal, 0.02> : tensor<4xf32>
    func.func @m(%x: tensor<4xf32> {weir.input = "tokens"}) attributes {weir.joint} {
      %w = weir.read @w : tensor<4xf32>
      %y = arith.mulf %x, %w {weir.op = 0 : i64, weir.pass = #weir.pass<forward>,
                              weir.stage = 0 : i64} : tensor<4xf32>
      %e = math.exp %y {weir.op = 1 : i64, weir.pass = #weir.pass<forward>,
                        weir.stage = 1 : i64} : tensor<4xf32>
      %dy = arith.addf %e, %e {weir.activation_gradient, weir.adjoint_of = 1 : i64,
                               weir.pass = #weir.pass<backward_input>,
                               weir.stage = 1 : i64} : tensor<4xf32>
      %dw = arith.mulf %dy, %x {weir.adjoint_of = 0 : i64,
                                weir.pass = #weir.pass<backward_weight>,
                                weir.stage = 0 : i64} : tensor<4xf32>
      weir.accumulate @w use 0, %dw {weir.adjoint_of = 0 : i64,
                                     weir.pass = #weir.pass<backward_weight>,
                                     weir.stage = 0 : i64} : tensor<4xf32>
      return
    }
    ```

    becomes: %e is kept in a bundle, %y and %dy go from stage to stage.

    ```mlir
    weir.pipeline @m stages 2 (%x = "tokens" : tensor<4xf32>) {
      %y = weir.forward 0 (%x0 = %x : tensor<4xf32>) -> tensor<4xf32> {
        %w = weir.read @w : tensor<4xf32>
        %y0 = arith.mulf %x0, %w : tensor<4xf32>
        weir.yield %y0 : tensor<4xf32>
      }
      %kept = weir.forward 1 (%y1 = %y : tensor<4xf32>)
          -> !weir.bundle<tensor<4xf32>> {
        %e1 = math.exp %y1 : tensor<4xf32>
        %b1 = weir.pack %e1 : (tensor<4xf32>) -> !weir.bundle<tensor<4xf32>>
        weir.yield %b1 : !weir.bundle<tensor<4xf32>>
      }
      %dy = weir.backward_input 1 (%b2 = %kept : !weir.bundle<tensor<4xf32>>)
          -> tensor<4xf32> {
        %e2 = weir.unpack %b2 : (!weir.bundle<tensor<4xf32>>) -> tensor<4xf32>
        %dy2 = arith.addf %e2, %e2 : tensor<4xf32>
        weir.yield %dy2 : tensor<4xf32>
      }
      weir.backward_weight 0 (%dy3 = %dy : tensor<4xf32>, %x3 = %x : tensor<4xf32>) {
        %dw = arith.mulf %dy3, %x3 : tensor<4xf32>
        weir.accumulate @w use 0, %dw : tensor<4xf32>
        weir.yield
      }
    }
    ```
  }];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirAddOptimizer : Pass<"weir-add-optimizer", "::mlir::ModuleOp"> {
  let summary = "Add the updates of the variables";
  let description = [{
    Adds one `weir.update` per variable of the pipeline.

    - `sgd`: v = momentum * v + g; w = w - lr * (v + weight_decay * w)
    - `adamw`: as in "Decoupled Weight Decay Regularization" (arXiv 1711.05101):
      m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
      w = w - lr * (m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)
      + weight_decay * w)

    where g is the sum of the gradients of all uses, in the order of the uses,
    divided by the step's count of labels. Only variables marked `decay` decay.

    Example, `--weir-add-optimizer="optimizer=sgd momentum=0.5"`:

    ```mlir
    weir.variable @w <normal, 0.02> : tensor<4xf32>
    weir.pipeline @m stages 1 (%x = "tokens" : tensor<4xf32>) {
      weir.backward_weight 0 (%g = %x : tensor<4xf32>) {
        weir.accumulate @w use 0, %g : tensor<4xf32>
      }
    }
    ```

    gets an update behind its passes:

    ```mlir
    weir.update @w uses 1 states ["momentum"]
        (%w: tensor<4xf32>, %g: tensor<4xf32>, %v: tensor<4xf32>,
         %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
      %new:2 = linalg.generic ...
          ins(%g, %count, %lr, %step : ...
          outs(%w, %v : tensor<4xf32>, tensor<4xf32>) {
      ^bb0(%gi: f32, %n: f32, %rate: f32, %t: f32, %wi: f32, %vi: f32):
        %one = arith.constant 1.000000e+00 : f32
        %atLeastOne = arith.maximumf %n, %one : f32
        %mean = arith.divf %gi, %atLeastOne : f32
        %momentum = arith.constant 5.000000e-01 : f32
        %slowed = arith.mulf %momentum, %vi : f32
        %newV = arith.addf %slowed, %mean : f32
        %change = arith.mulf %rate, %newV : f32
        %newW = arith.subf %wi, %change : f32
        linalg.yield %newW, %newV : f32, f32
      } -> (tensor<4xf32>, tensor<4xf32>)
      weir.yield %new#0, %new#1 : tensor<4xf32>, tensor<4xf32>
    }
    ```
  }];
  let options = [
    Option<"optimizer", "optimizer", "std::string", "\"adamw\"",
           "adamw or sgd">,
    Option<"momentum", "momentum", "double", "0.9", "Momentum of sgd">,
    Option<"beta1", "beta1", "double", "0.9", "First decay rate of adamw">,
    Option<"beta2", "beta2", "double", "0.95", "Second decay rate of adamw">,
    Option<"epsilon", "epsilon", "double", "1e-8", "Epsilon of adamw">,
    Option<"weightDecay", "weight-decay", "double", "0.1", "Weight decay">,
  ];
  let dependentDialects = ["::weir::WeirDialect", "::mlir::arith::ArithDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect"];
}

def WeirSchedule : Pass<"weir-schedule", "::mlir::ModuleOp"> {
  let summary = "Order the passes on the devices: level 3 to level 4";
  let description = [{
    Makes one `weir.program` per device of a pipeline, with the loads, sends,
    receives and waits it needs. Sends start as soon as their value is there;
    receives start right before the pass that runs ahead of the pass that needs
    them.

    The order is that of a named schedule of the scheduling library, of a building
    block in a file (`block:FILE`), or the best that `auto` finds: the shortest
    makespan, or span with `objective=span`, by the estimated seconds of the
    passes, among the orders that fit `memory-limit`. The limit is held against
    the arena that `weir-plan-memory` will plan, workspaces included where kernels
    have been lowered. A limit that no order meets is an error that names the
    device that needs more, and what it needs. The search makes as many trials as a given machine
    makes in `time-budget` seconds, so that it finds the same on every machine.

    A remark says what was chosen and why.

    Example, one microbatch of a forward in two stages:

    ```mlir
    weir.pipeline @m stages 2 (%tokens = "tokens" : tensor<f32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<f32>) -> tensor<f32> {
        weir.yield %x : tensor<f32>
      }
      weir.forward 1 (%x = %y : tensor<f32>) {
        weir.report %x, %x : tensor<f32>, tensor<f32>
      }
    }
    ```

    gets

    ```mlir
    weir.program @m_device0 of @m device 0 microbatches 1 schedule "1f1b" {
      %x0 = weir.load "tokens" microbatch 0 : tensor<f32>
      %y0 = weir.run forward 0 microbatch 0 (%x0) : (tensor<f32>) -> tensor<f32>
      %sending = weir.send_start %y0 to 1 message 0 microbatch 0 : tensor<f32>
      weir.wait %sending : !weir.sending
    }
    weir.program @m_device1 of @m device 1 microbatches 1 schedule "1f1b" {
      %loss = weir.resident loss : tensor<f32>
      %count = weir.resident count : tensor<f32>
      %coming = weir.recv_start from 0 message 0 microbatch 0
          : !weir.receiving<tensor<f32>>
      %y1 = weir.wait %coming : !weir.receiving<tensor<f32>> -> tensor<f32>
      weir.run forward 1 microbatch 0 (%y1) : (tensor<f32>) -> ()
    }
    ```
  }];
  let options = [
    Option<"schedule", "schedule", "std::string", "\"1f1b\"",
           "The name of a schedule, block:FILE or auto">,
    Option<"devices", "devices", "int64_t", "0",
           "Number of devices; 0 means as many as the placement needs for the "
           "stages">,
    Option<"placement", "placement", "std::string", "\"\"",
           "linear, loop, v or a list of devices; empty means the schedule's own, "
           "v for auto">,
    Option<"microbatches", "microbatches", "int64_t", "1",
           "Microbatches per step">,
    Option<"memoryLimit", "memory-limit", "int64_t", "0",
           "Bytes per device; 0 means no limit">,
    Option<"objective", "objective", "std::string", "\"makespan\"",
           "What auto makes small: makespan or span">,
    Option<"timeBudget", "time-budget", "double", "2",
           "How long auto searches, in seconds of two cores of the year 2020">,
    Option<"seed", "seed", "int64_t", "1", "Seed of the search of auto">,
  ];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirExtractProblems : Pass<"weir-extract-problems", "::mlir::ModuleOp"> {
  let summary = "Write down the scheduling problem of each pipeline";
  let description = [{
    Adds a `weir.schedule.problem` for each pipeline, named after it with
    `_problem`: what `weir-schedule` would hand to the scheduling library. So a
    schedule can be studied, and searched for, without the model.

    Example, `--weir-extract-problems=microbatches=4`:

    ```mlir
    weir.pipeline @m stages 2 (%tokens = "tokens" : tensor<f32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<f32>) -> tensor<f32>
          attributes {seconds = 0.5} {
        weir.yield %x : tensor<f32>
      }
      weir.forward 1 (%x = %y : tensor<f32>) attributes {seconds = 0.25} {
        weir.report %x, %x : tensor<f32>, tensor<f32>
      }
    }
    ```

    gets

    ```mlir
    weir.schedule.problem @m_problem devices 2 microbatches 4 {
      weir.schedule.stage 0 on 0 forward 0.5 forward_transfer 4
      weir.schedule.stage 1 on 1 forward 0.25
    }
    ```
  }];
  let options = [
    Option<"devices", "devices", "int64_t", "0",
           "Number of devices; 0 means as many as the placement needs for the "
           "stages">,
    Option<"placement", "placement", "std::string", "\"linear\"",
           "linear, loop, v or a list of devices">,
    Option<"microbatches", "microbatches", "int64_t", "1",
           "Microbatches per step">,
    Option<"memoryLimit", "memory-limit", "int64_t", "0",
           "Bytes per device; 0 means no limit">,
  ];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirScheduleProblems
    : Pass<"weir-schedule-problems", "::mlir::ModuleOp"> {
  let summary = "Solve the scheduling problems of the module";
  let description = [{
    Adds a `weir.schedule.solution` behind each `weir.schedule.problem`, by a named
    schedule or by `auto`, with the start and end of every pass, the makespan and
    span, a lower bound and the memory of each device. A solution of the same
    problem by the same schedule is replaced. A schedule that the problem does not
    admit, or that does not fit its limits, is an error.

    Example, `--weir-schedule-problems=schedule=1f1b`:

    ```mlir
    weir.schedule.problem @two devices 2 microbatches 2 {
      weir.schedule.stage 0 on 0 forward 1.0 backward_weight 2.0 activation 3
      weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0 backward_weight 1.0
          activation 2
    }
    ```

    gets

    ```mlir
    weir.schedule.solution of @two by "1f1b" makespan 9.0 span 9.0 bound 7.0 peaks [6, 2] {
      weir.schedule.order 0 {
        weir.schedule.pass forward 0 microbatch 0 at 0.0 to 1.0
        weir.schedule.pass forward 0 microbatch 1 at 1.0 to 2.0
        weir.schedule.pass backward 0 microbatch 0 at 4.0 to 6.0
        weir.schedule.pass backward 0 microbatch 1 at 7.0 to 9.0
      }
      weir.schedule.order 1 {
        weir.schedule.pass forward 1 microbatch 0 at 1.0 to 2.0
        weir.schedule.pass backward 1 microbatch 0 at 2.0 to 4.0
        weir.schedule.pass forward 1 microbatch 1 at 4.0 to 5.0
        weir.schedule.pass backward 1 microbatch 1 at 5.0 to 7.0
      }
    }
    ```
  }];
  let options = [
    Option<"schedule", "schedule", "std::string", "\"auto\"",
           "The name of a schedule, block:FILE or auto">,
    Option<"objective", "objective", "std::string", "\"makespan\"",
           "What auto makes small: makespan or span">,
    Option<"timeBudget", "time-budget", "double", "2",
           "How long auto searches, in seconds of two cores of the year 2020">,
    Option<"seed", "seed", "int64_t", "1", "Seed of the search of auto">,
  ];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirCheckSchedules : Pass<"weir-check-schedules", "::mlir::ModuleOp"> {
  let summary = "Prove the solutions of scheduling problems and time them";
  let description = [{
    Checks each `weir.schedule.solution` against its problem: every pass once and
    on the device of its stage, microbatches in order, no deadlock, memory within
    the limits. The error is at the pass at fault, with notes at the others that it
    names. Sets the start and end of every pass and the totals of the solution.

    Example, an order by hand:

    ```mlir
    weir.schedule.problem @two devices 2 microbatches 1 {
      weir.schedule.stage 0 on 0 forward 1.0 backward_weight 2.0 activation 3
      weir.schedule.stage 1 on 1 forward 1.5 backward_input 1.0 activation 2
    }
    weir.schedule.solution of @two by "hand" {
      weir.schedule.order 0 {
        weir.schedule.pass forward 0 microbatch 0
        weir.schedule.pass backward_weight 0 microbatch 0
      }
      weir.schedule.order 1 {
        weir.schedule.pass forward 1 microbatch 0
        weir.schedule.pass backward_input 1 microbatch 0
      }
    }
    ```

    becomes

    ```mlir
    weir.schedule.solution of @two by "hand" makespan 5.5 span 5.5 bound 5.5 peaks [3, 2] {
      weir.schedule.order 0 {
        weir.schedule.pass forward 0 microbatch 0 at 0.0 to 1.0
        weir.schedule.pass backward_weight 0 microbatch 0 at 3.5 to 5.5
      }
      weir.schedule.order 1 {
        weir.schedule.pass forward 1 microbatch 0 at 1.0 to 2.5
        weir.schedule.pass backward_input 1 microbatch 0 at 2.5 to 3.5
      }
    }
    ```
  }];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirPlanMemory : Pass<"weir-plan-memory", "::mlir::ModuleOp"> {
  let summary = "Give every buffer an offset in its device's arena: level 4 to 5";
  let description = [{
    Residents first, then everything else by its live range: from the action that
    makes a value (a receive: from its start) to the last that uses it (a send: to
    its wait). Fails if a program's limit is exceeded, and says by how much.

    A remark per device says how large the arena is, how much of it is gaps between
    buffers, and what the rest is for.

    Example: the second microbatch takes the places of the first.

    ```mlir
    weir.pipeline @m stages 2 (%tokens = "tokens" : tensor<32xf32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<32xf32>) -> tensor<32xf32> {
        weir.yield %x : tensor<32xf32>
      }
      weir.forward 1 (%x = %y : tensor<32xf32>) {
      }
    }
    weir.program @d0 of @m device 0 microbatches 2 {
      %t0 = weir.load "tokens" microbatch 0 : tensor<32xf32>
      %y0 = weir.run forward 0 microbatch 0 (%t0) : (tensor<32xf32>) -> tensor<32xf32>
      weir.run forward 1 microbatch 0 (%y0) : (tensor<32xf32>) -> ()
      %t1 = weir.load "tokens" microbatch 1 : tensor<32xf32>
      %y1 = weir.run forward 0 microbatch 1 (%t1) : (tensor<32xf32>) -> tensor<32xf32>
      weir.run forward 1 microbatch 1 (%y1) : (tensor<32xf32>) -> ()
    }
    ```

    becomes

    ```mlir
    weir.program @d0 of @m device 0 microbatches 2 arena 256 {
      %t0 = weir.load "tokens" microbatch 0 at [0] : tensor<32xf32>
      %y0 = weir.run forward 0 microbatch 0 (%t0) at [128] : (tensor<32xf32>) -> tensor<32xf32>
      weir.run forward 1 microbatch 0 (%y0) : (tensor<32xf32>) -> ()
      %t1 = weir.load "tokens" microbatch 1 at [0] : tensor<32xf32>
      %y1 = weir.run forward 0 microbatch 1 (%t1) at [128] : (tensor<32xf32>) -> tensor<32xf32>
      weir.run forward 1 microbatch 1 (%y1) : (tensor<32xf32>) -> ()
    }
    ```
  }];
  let dependentDialects = ["::weir::WeirDialect"];
}

def WeirVerifyPrograms : Pass<"weir-verify-programs", "::mlir::ModuleOp"> {
  let summary = "Prove that the programs are right before anything runs";
  let description = [{
    On the programs of each pipeline together:

    - every pass of every stage runs once per microbatch, on one device, in the
      order of the microbatches, on the values that the pipeline says;
    - every variable is updated once where it is held, after its last gradient;
    - sends and receives match in order per pair of devices and direction, by
      message, microbatch and type; every transfer is waited for once;
    - no deadlock: program order, in-order queues and rendezvous transfers have no
      cycle; a refusal names every op on the cycle;
    - planned: offsets are aligned and inside the arena; no byte is written before
      the last use of what it holds, a transfer using its bytes from start to wait;
      the arena is as large as its buffers take and within the limit.

    What is said of bytes is derived from the programs alone, not from the analysis
    that the plan comes from. Every refusal names the ops at fault.

    Example:

    ```mlir
    weir.pipeline @m stages 1 (%tokens = "tokens" : tensor<f32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<f32>) -> tensor<f32> {
        weir.yield %x : tensor<f32>
      }
    }
    weir.program @d0 of @m device 0 microbatches 1 arena 128 {
      %t = weir.load "tokens" microbatch 0 at [64] : tensor<f32>
      %y = weir.run forward 0 microbatch 0 (%t) at [64] : (tensor<f32>) -> tensor<f32>
    }
    ```

    is refused:

    ```text
    error: bytes 64 to 68 of device 0 are still in use: a buffer that lives here holds 64 to 68
      %y = weir.run forward 0 microbatch 0 (%t) at [64]
    note: made here
      %t = weir.load "tokens" microbatch 0 at [64]
    ```

    Here each device waits for the other to send:

    ```mlir
    weir.pipeline @p stages 2 (%tokens = "tokens" : tensor<f32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<f32>) -> tensor<f32> {
        weir.yield %x : tensor<f32>
      }
      %z = weir.forward 1 (%x = %y : tensor<f32>) -> tensor<f32> {
        weir.yield %x : tensor<f32>
      }
      weir.backward_input 0 (%x = %z : tensor<f32>) {
      }
    }
    weir.program @d0 of @p device 0 microbatches 1 {
      %t = weir.load "tokens" microbatch 0 : tensor<f32>
      %y = weir.run forward 0 microbatch 0 (%t) : (tensor<f32>) -> tensor<f32>
      %r = weir.recv_start from 1 message 1 microbatch 0 : !weir.receiving<tensor<f32>>
      %z = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>
      %s = weir.send_start %y to 1 message 0 microbatch 0 : tensor<f32>
      weir.wait %s : !weir.sending
      weir.run backward_input 0 microbatch 0 (%z) : (tensor<f32>) -> ()
    }
    weir.program @d1 of @p device 1 microbatches 1 {
      %r = weir.recv_start from 0 message 0 microbatch 0 : !weir.receiving<tensor<f32>>
      %y = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>
      %z = weir.run forward 1 microbatch 0 (%y) : (tensor<f32>) -> tensor<f32>
      %s = weir.send_start %z to 0 message 1 microbatch 0 : tensor<f32>
      weir.wait %s : !weir.sending
    }
    ```

    is refused; the notes go round the cycle:

    ```text
    error: deadlock: device 0 waits here for message 1 from device 1
      %z = weir.wait %r :
    note: which device 1 sends only here (rendezvous)
      %s = weir.send_start %z to 0 message 1
    note: after device 1 has waited here for message 0 from device 0 (program order)
    note: which device 0 sends only here (rendezvous)
    note: after device 0 has waited here, where the cycle closes (program order)
    ```
  }];
}

#endif // WEIR_DIALECT_TRANSFORMS_PASSES_TD
