// RUN: weir-opt %s -verify-diagnostics -split-input-file

// A variable holds floating-point numbers: an optimizer changes it.
// expected-error@+1 {{'weir.variable' op must hold floating-point numbers, got 'tensor<4xi32>'}}
weir.variable @ids <constant, 0.0> : tensor<4xi32>

// -----

// A variable starts in one of two ways.
// expected-error@+1 {{unknown way to start a variable: 'uniform'; known are constant and normal}}
weir.variable @w <uniform, 1.0> : tensor<4xf32>

// -----

// Shapes are static.
// expected-error@+1 {{attribute 'type' failed to satisfy constraint}}
weir.variable @w <constant, 1.0> : tensor<?xf32>

// -----

// Numbers to start with are finite, deviations not negative.
// expected-error@+1 {{'weir.variable' op cannot start as #weir.init<normal, -1.000000e+00>}}
weir.variable @w <normal, -1.0> : tensor<4xf32>

// -----

// expected-error@+1 {{'weir.variable' op cannot start as #weir.init<constant, 0x7FF0000000000000>}}
weir.variable @w <constant, 0x7FF0000000000000> : tensor<4xf32>

// -----

// Whatever becomes a buffer has a size that is not zero and can be added up.
// expected-error@+1 {{attribute 'type' failed to satisfy constraint: type attribute of tensor of numbers, of static shape, with at least one element and at most 2^48 bytes}}
weir.variable @w <constant, 1.0> : tensor<4x0xf32>

// -----

// expected-error@+1 {{attribute 'type' failed to satisfy constraint}}
weir.variable @w <constant, 1.0> : tensor<4294967296x4294967296xf32>

// -----

// Reading needs a variable of that name.
func.func @f() {
  // expected-error@+1 {{'weir.read' op names no variable: @w}}
  %w = weir.read @w : tensor<4xf32>
  return
}

// -----

// A function is no variable, even under the right name.
func.func @f() {
  // expected-error@+1 {{'weir.read' op names no variable: @f}}
  %w = weir.read @f : tensor<4xf32>
  return
}

// -----

// Reading gives the whole variable, as it is.
// expected-note@+1 {{variable declared here}}
weir.variable @w <constant, 1.0> : tensor<4xf32>
func.func @f() {
  // expected-error@+1 {{'weir.read' op has type 'tensor<5xf32>' but variable @w has 'tensor<4xf32>'}}
  %w = weir.read @w : tensor<5xf32>
  return
}

// -----

func.func @f(%g: tensor<4xf32>) {
  // expected-error@+1 {{'weir.accumulate' op names no variable: @w}}
  weir.accumulate @w use 0, %g : tensor<4xf32>
  return
}

// -----

// A gradient has the type of its variable.
// expected-note@+1 {{variable declared here}}
weir.variable @w <constant, 1.0> : tensor<4xf32>
func.func @f(%g: tensor<4xf64>) {
  // expected-error@+1 {{'weir.accumulate' op has type 'tensor<4xf64>' but variable @w has 'tensor<4xf32>'}}
  weir.accumulate @w use 0, %g : tensor<4xf64>
  return
}

// -----

weir.variable @w <constant, 1.0> : tensor<4xf32>
func.func @f(%g: tensor<4xf32>) {
  // expected-error@+1 {{'weir.accumulate' op attribute 'use' failed to satisfy constraint: number of 64 bits that is not negative}}
  weir.accumulate @w use -1, %g : tensor<4xf32>
  return
}

// -----

func.func @f(%u: tensor<3x4xf32>, %t: tensor<2x8x4xf32>, %i: tensor<3xi32>) {
  // expected-error@+1 {{'weir.scatter_add' op needs a table of rank 2, got 'tensor<2x8x4xf32>'}}
  %0 = weir.scatter_add %u into %t[%i]
      : tensor<3x4xf32> into tensor<2x8x4xf32>[tensor<3xi32>]
  return
}

// -----

func.func @f(%u: tensor<3x4xf32>, %t: tensor<8x4xf32>, %i: tensor<3xf32>) {
  // expected-error@+1 {{'weir.scatter_add' op needs integer indices, got 'tensor<3xf32>'}}
  %0 = weir.scatter_add %u into %t[%i]
      : tensor<3x4xf32> into tensor<8x4xf32>[tensor<3xf32>]
  return
}

// -----

func.func @f(%u: tensor<3x4xf64>, %t: tensor<8x4xf32>, %i: tensor<3xi32>) {
  // expected-error@+1 {{'weir.scatter_add' op adds elements of type 'f64' to a table of 'f32'}}
  %0 = weir.scatter_add %u into %t[%i]
      : tensor<3x4xf64> into tensor<8x4xf32>[tensor<3xi32>]
  return
}

// -----

func.func @f(%u: tensor<3x5xf32>, %t: tensor<8x4xf32>, %i: tensor<3xi32>) {
  // expected-error@+1 {{'weir.scatter_add' op needs updates of the shape of the indices and then a row of the table, got 'tensor<3x5xf32>' for indices 'tensor<3xi32>' and table 'tensor<8x4xf32>'}}
  %0 = weir.scatter_add %u into %t[%i]
      : tensor<3x5xf32> into tensor<8x4xf32>[tensor<3xi32>]
  return
}

// -----

// The loss and the count are scalars.
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{'weir.report' op operand #0 must be 0D tensor of floating-point values}}
  weir.report %x, %x : tensor<4xf32>, tensor<4xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// Bundles
//===----------------------------------------------------------------------===//

// expected-error@+1 {{members of a bundle must have static shapes, got 'tensor<?xf32>'}}
func.func @f(%b: !weir.bundle<tensor<?xf32>>) { return }

// -----

// expected-error@+1 {{no buffer can hold this member of a bundle: 'tensor<4xcomplex<f32>>'}}
func.func @f(%b: !weir.bundle<tensor<4xcomplex<f32>>>) { return }

// -----

// expected-error@+1 {{no buffer can hold what is received: 'tensor<?xf32>'}}
func.func @f(%r: !weir.receiving<tensor<?xf32>>) { return }

// -----

func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{'weir.pack' op has members 'tensor<4xf32>' but the bundle is '!weir.bundle<tensor<4xf32>, tensor<4xf32>>'}}
  %b = weir.pack %x : (tensor<4xf32>) -> !weir.bundle<tensor<4xf32>, tensor<4xf32>>
  return
}

// -----

func.func @f(%b: !weir.bundle<tensor<4xf32>>) {
  // expected-error@+1 {{'weir.unpack' op has members 'tensor<4xf64>' but the bundle is '!weir.bundle<tensor<4xf32>>'}}
  %x = weir.unpack %b : (!weir.bundle<tensor<4xf32>>) -> tensor<4xf64>
  return
}

// -----

//===----------------------------------------------------------------------===//
// Pipelines and their passes
//===----------------------------------------------------------------------===//

// A pass belongs in a pipeline.
func.func @f() {
  // expected-error@+1 {{'weir.forward' op expects parent op 'weir.pipeline'}}
  weir.forward 0 () {
  }
  return
}

// -----

// A pipeline needs a stage; the generic form may leave anything out.
// expected-error@+1 {{'weir.pipeline' op needs at least one stage}}
weir.pipeline @p stages 0 () {
}

// -----

// expected-error@+1 {{'weir.pipeline' op names 0 inputs but has 1}}
"weir.pipeline"() ({
^bb0(%x: tensor<4xi32>):
}) {sym_name = "p", stages = 1 : i64, inputs = []} : () -> ()

// -----

// More stages than any machine has devices are a slip of the pen.
// expected-error@+1 {{'weir.pipeline' op has 1000000000000 stages, more than 65536}}
weir.pipeline @p stages 1000000000000 () {
}

// -----

// Data is told apart by name, and comes in buffers.
// expected-error@+1 {{'weir.pipeline' op has two inputs of the name "tokens"}}
weir.pipeline @p stages 1 (%x = "tokens" : tensor<4xi32>, %y = "tokens" : tensor<4xi32>) {
}

// -----

// expected-error@+1 {{'weir.pipeline' op has input "tokens", which no buffer can hold: 'i32'}}
weir.pipeline @p stages 1 (%x = "tokens" : i32) {
}

// -----

weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'arith.constant' op does not belong in a pipeline}}
  %c = arith.constant dense<1.0> : tensor<4xf32>
}

// -----

weir.pipeline @p stages 2 () {
  // expected-error@+1 {{'weir.forward' op is of stage 2, but the pipeline has 2 stages}}
  weir.forward 2 () {
  }
}

// -----

weir.pipeline @p stages 2 () {
  // expected-error@+1 {{'weir.forward' op attribute 'stage' failed to satisfy constraint: number of 64 bits that is not negative}}
  weir.forward -1 () {
  }
}

// -----

// One pass of each kind per stage.
weir.pipeline @p stages 1 () {
  // expected-note@+1 {{which is here}}
  weir.forward 0 () {
  }
  // expected-error@+1 {{'weir.forward' op of stage 0 comes after weir.forward of the same stage}}
  weir.forward 0 () {
  }
}

// -----

// F before B before W.
weir.pipeline @p stages 1 () {
  // expected-note@+1 {{which is here}}
  weir.backward_weight 0 () {
  }
  // expected-error@+1 {{'weir.backward_input' op of stage 0 comes after weir.backward_weight of the same stage}}
  weir.backward_input 0 () {
  }
}

// -----

// A body that is not told all of its inputs.
weir.pipeline @p stages 1 (%x = "tokens" : tensor<4xi32>) {
  // expected-error@+1 {{'weir.forward' op has a body whose arguments differ from its inputs}}
  "weir.forward"(%x) ({
    "weir.yield"() : () -> ()
  }) {stage = 0 : i64} : (tensor<4xi32>) -> ()
}

// -----

weir.pipeline @p stages 1 (%x = "tokens" : tensor<4xi32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xi32>) -> tensor<4xf32> {
    // expected-error@+1 {{'weir.yield' op gives other types than the pass it ends: 'tensor<4xi32>' against 'tensor<4xf32>'}}
    weir.yield %a : tensor<4xi32>
  }
}

// -----

// A pass sees nothing but what it is given.
weir.pipeline @p stages 1 (%x = "tokens" : tensor<4xi32>) {
  // expected-note@+1 {{required by region isolation constraints}}
  %y = weir.forward 0 () -> tensor<4xi32> {
    // expected-error@+1 {{using value defined outside the region}}
    weir.yield %x : tensor<4xi32>
  }
}

// -----

// Gradients of variables are the business of backward_weight alone.
weir.variable @w <constant, 1.0> : tensor<f32>
weir.pipeline @p stages 1 () {
  // expected-note@+1 {{the pass it is in}}
  weir.backward_input 0 () {
    %g = arith.constant dense<1.0> : tensor<f32>
    // expected-error@+1 {{'weir.accumulate' op belongs in a backward_weight pass}}
    weir.accumulate @w use 0, %g : tensor<f32>
  }
}

// -----

weir.pipeline @p stages 1 () {
  // expected-note@+1 {{the pass it is in}}
  weir.backward_weight 0 () {
    %x = arith.constant dense<1.0> : tensor<f32>
    // expected-error@+1 {{'weir.report' op belongs in a forward pass}}
    weir.report %x, %x : tensor<f32>, tensor<f32>
  }
}

// -----

// Each gradient is gathered in one place, so that one device has it, and its
// order of additions is one.
weir.variable @w <constant, 1.0> : tensor<f32>
weir.pipeline @p stages 2 () {
  weir.backward_weight 1 () {
    %g = arith.constant dense<1.0> : tensor<f32>
    // expected-note@+1 {{gathered here}}
    weir.accumulate @w use 0, %g : tensor<f32>
    weir.accumulate @w use 1, %g : tensor<f32>
  }
  weir.backward_weight 0 () {
    %g = arith.constant dense<1.0> : tensor<f32>
    // expected-error@+1 {{'weir.accumulate' op adds to a gradient that is gathered already}}
    weir.accumulate @w use 0, %g : tensor<f32>
  }
}

// -----

// No gradient is lost.
weir.variable @w <constant, 1.0> : tensor<f32>
weir.pipeline @p stages 1 () {
  weir.backward_weight 0 () {
    %g = arith.constant dense<1.0> : tensor<f32>
    // expected-error@+1 {{'weir.accumulate' op is of a use that the update does not take}}
    weir.accumulate @w use 1, %g : tensor<f32>
  }
  // expected-note@+1 {{update here}}
  weir.update @w uses 1 states [] (%w: tensor<f32>, %g: tensor<f32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<f32>
  }
}

// -----

// One pass knows the loss.
weir.pipeline @p stages 2 () {
  weir.forward 0 () {
    %x = arith.constant dense<1.0> : tensor<f32>
    // expected-note@+1 {{first one here}}
    weir.report %x, %x : tensor<f32>, tensor<f32>
  }
  weir.forward 1 () {
    %x = arith.constant dense<1.0> : tensor<f32>
    // expected-error@+1 {{'weir.report' op is the second of the pipeline}}
    weir.report %x, %x : tensor<f32>, tensor<f32>
  }
}

// -----

weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.forward' op attribute 'workspace' failed to satisfy constraint: number of 64 bits that is not negative}}
  weir.forward 0 () attributes {workspace = -64 : i64} {
  }
}

// -----

// Bundles do not travel: what crosses stages is a tensor.
weir.pipeline @p stages 2 () {
  // expected-note@+1 {{value produced here}}
  %b = weir.forward 0 () -> !weir.bundle<tensor<f32>> {
    %x = arith.constant dense<1.0> : tensor<f32>
    %b = weir.pack %x : (tensor<f32>) -> !weir.bundle<tensor<f32>>
    weir.yield %b : !weir.bundle<tensor<f32>>
  }
  // expected-error@+1 {{'weir.forward' op takes a bundle that another stage made}}
  weir.forward 1 (%a = %b : !weir.bundle<tensor<f32>>) {
  }
}

// -----

// A pass takes what has been made when it runs, whatever the schedule: nothing
// waits for a W, and no B for that of an earlier stage.
weir.pipeline @p stages 2 () {
  // expected-note@+1 {{value produced here}}
  %x = weir.backward_weight 1 () -> tensor<f32> {
    %x = arith.constant dense<1.0> : tensor<f32>
    weir.yield %x : tensor<f32>
  }
  // expected-error@+1 {{'weir.backward_input' op takes a value of a pass that need not have run yet}}
  weir.backward_input 0 (%a = %x : tensor<f32>) {
  }
}

// -----

weir.pipeline @p stages 2 () {
  // expected-note@+1 {{value produced here}}
  %x = weir.backward_input 0 () -> tensor<f32> {
    %x = arith.constant dense<1.0> : tensor<f32>
    weir.yield %x : tensor<f32>
  }
  // expected-error@+1 {{'weir.forward' op takes a value of a pass that need not have run yet}}
  weir.forward 1 (%a = %x : tensor<f32>) {
  }
}

// -----

// Nor are bundles data.
weir.pipeline @p stages 1 (%b = "tokens" : !weir.bundle<tensor<f32>>) {
  // expected-error@+1 {{'weir.forward' op takes a bundle that another stage made}}
  weir.forward 0 (%a = %b : !weir.bundle<tensor<f32>>) {
  }
}

// -----

//===----------------------------------------------------------------------===//
// Updates
//===----------------------------------------------------------------------===//

weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-note@+1 {{first update here}}
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
  // expected-error@+1 {{'weir.update' op updates a variable that has an update already}}
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-note@+1 {{first update here}}
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
  // expected-error@+1 {{'weir.forward' op comes after an update}}
  weir.forward 0 () {
  }
}

// -----

weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op names no variable: @w}}
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

// expected-note@+1 {{variable declared here}}
weir.variable @w <constant, 1.0> : tensor<5xf32>
weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op has type 'tensor<4xf32>' but variable @w has 'tensor<5xf32>'}}
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op needs at least one use of the variable}}
  weir.update @w uses 0 states [] (%w: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

// A number of uses that no update could have arguments for.
weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op needs 9223372036854775811 arguments}}
  weir.update @w uses 9223372036854775807 states [] (%w: tensor<4xf32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op needs 7 arguments: the variable, 2 gradients, 1 states, count, learning rate and step; got 5}}
  weir.update @w uses 2 states ["m"] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op needs count, learning rate and step of type 'tensor<f32>', got 'tensor<f64>'}}
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f64>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op needs gradients and states of the variable's type 'tensor<4xf32>', got 'tensor<3xf32>'}}
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<3xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<4xf32>
  }
}

// -----

// An update gives back all of its states.
weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  weir.update @w uses 1 states ["m"] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %m: tensor<4xf32>, %count: tensor<f32>, %lr: tensor<f32>,
      %step: tensor<f32>) {
    // expected-error@+1 {{'weir.yield' op must give the new variable and 1 states, each 'tensor<4xf32>'}}
    weir.yield %w : tensor<4xf32>
  }
}

// -----

// An update has its own variable, and no other.
weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  weir.update @w uses 1 states [] (%w: tensor<4xf32>, %g: tensor<4xf32>,
      %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    // expected-error@+1 {{'weir.read' op does not belong in an update, which has all it needs as arguments}}
    %v = weir.read @w : tensor<4xf32>
    weir.yield %v : tensor<4xf32>
  }
}

// -----

// An update without a body.
weir.variable @w <constant, 1.0> : tensor<4xf32>
weir.pipeline @p stages 1 () {
  // expected-error@+1 {{'weir.update' op needs 5 arguments: the variable, 1 gradients, 0 states, count, learning rate and step; got 0}}
  weir.update @w uses 1 states [] () {
  }
}

// -----

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

// expected-error@+1 {{'weir.program' op names no pipeline: @p}}
weir.program @d0 of @p device 0 microbatches 1 {
}

// -----

weir.pipeline @p stages 1 () {
}
// expected-error@+1 {{'weir.program' op attribute 'device' failed to satisfy constraint: number of 64 bits that is not negative}}
weir.program @d0 of @p device -1 microbatches 1 {
}

// -----

weir.pipeline @p stages 1 () {
}
// expected-error@+1 {{'weir.program' op needs at least one microbatch}}
weir.program @d0 of @p device 0 microbatches 0 {
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'tensor.empty' op does not belong in a program}}
  %x = tensor.empty() : tensor<4xf32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  %t = weir.load "tokens" microbatch 0 : tensor<4xi32>
  // expected-error@+1 {{'weir.resident' op must come before all actions of the program}}
  %n = weir.resident count : tensor<f32>
}

// -----

// A program sees nothing but what it makes.
weir.pipeline @p stages 1 () {
}
// expected-note@below {{required by region isolation constraints}}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{using value defined outside the region}}
  weir.run forward 0 microbatch 0 (%c) : (tensor<4xf32>) -> ()
}
%c = arith.constant dense<1.0> : tensor<4xf32>

// -----

// An action belongs in a program.
func.func @f() {
  // expected-error@+1 {{'weir.load' op expects parent op 'weir.program'}}
  %t = weir.load "tokens" microbatch 0 : tensor<4xi32>
  return
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.resident' op gradient needs a variable}}
  %g = weir.resident gradient : tensor<4xf32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.resident' op loss takes no variable}}
  %l = weir.resident loss @w : tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.resident' op state needs an index}}
  %s = weir.resident state @w : tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.resident' op parameter takes no index}}
  %w = weir.resident parameter @w 0 : tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  %n = weir.resident count : tensor<f32>
  %s = weir.send_start %n to 1 message 0 : tensor<f32>
  // expected-error@+1 {{'weir.wait' op for a send gives no tensor}}
  %x = weir.wait %s : !weir.sending -> tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  %r = weir.recv_start from 1 message 0 : !weir.receiving<tensor<f32>>
  // expected-error@+1 {{'weir.wait' op for a receive gives a 'tensor<f32>'}}
  weir.wait %r : !weir.receiving<tensor<f32>>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{unknown pass 'sideways'}}
  weir.run sideways 0 microbatch 0 () : () -> ()
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.run' op of an update needs a variable}}
  weir.run update 0 microbatch 0 () : () -> ()
}

// -----

weir.pipeline @p stages 1 () {
}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.run' op of a stage's pass takes no variable}}
  weir.run forward @w () : () -> ()
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.run' op of a stage's pass needs a stage and a microbatch}}
  "weir.run"() {pass = #weir.pass<forward>, stage = 0 : i64,
      resultSegmentSizes = array<i32: 0, 0>} : () -> ()
}

// -----

// Only a fused backward has values that live during one action.
weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.run' op has values between passes but is no fused backward}}
  %x = weir.run forward 0 microbatch 0 () : () -> () between (tensor<f32>)
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.run' op has 2 offsets for 1 results}}
  %x = weir.run forward 0 microbatch 0 () at [0, 64] : () -> tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.run' op of an update gives no values}}
  %x = weir.run update @w () : () -> tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.run' op of an update takes no stage and no microbatch}}
  "weir.run"() {pass = #weir.pass<update>, variable = @w, microbatch = 0 : i64,
      resultSegmentSizes = array<i32: 0, 0>} : () -> ()
}

// -----

weir.pipeline @p stages 1 () {
}
// expected-note@+1 {{variable declared here}}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.resident' op has type 'tensor<4xf32>' but variable @w has 'tensor<f32>'}}
  %s = weir.resident state @w 0 : tensor<4xf32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.variable @w <constant, 1.0> : tensor<f32>
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.resident' op attribute 'index' failed to satisfy constraint: number of 64 bits that is not negative}}
  %s = weir.resident state @w -1 : tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.resident' op count is a 'tensor<f32>', got 'tensor<f64>'}}
  %n = weir.resident count : tensor<f64>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.load' op has 2 offsets for one buffer}}
  %t = weir.load "tokens" microbatch 0 at [0, 64] : tensor<f32>
}

// -----

weir.pipeline @p stages 1 () {
}
weir.program @d0 of @p device 0 microbatches 1 {
  // expected-error@+1 {{'weir.recv_start' op attribute 'message' failed to satisfy constraint: number of 64 bits that is not negative}}
  %r = weir.recv_start from 1 message -1 : !weir.receiving<tensor<f32>>
}

// -----

// What ends a pass ends nothing else.
// expected-error@+1 {{'weir.yield' op expects parent op to be one of 'weir.kernel, weir.forward, weir.backward_input, weir.backward_weight, weir.update'}}
weir.yield

// -----

// A mark that no pass could read is not passed over.
func.func @m(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{'arith.addf' op is marked weir.layer = "a"; a layer is an i64, counted from 0}}
  %y = arith.addf %x, %x {weir.layer = "a"} : tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

func.func @m(%x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error@+1 {{'arith.addf' op is marked weir.stage_begin = -1 : i64; the stages after stage 0 begin at marks without a value or with the i64 1, 2, ...}}
  %y = arith.addf %x, %x {weir.stage_begin = -1 : i64} : tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// expected-error@+1 {{'func.func' op argument 1 has weir.input = 3 : i64; the name of an input is a string}}
func.func @m(%x: tensor<4xf32>, %y: tensor<4xf32> {weir.input = 3}) {
  return
}
