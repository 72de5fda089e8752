// RUN: weir-opt %s --weir-outline-stages -verify-diagnostics -split-input-file

// An op that was not given a stage and a pass.
func.func @m(%x: tensor<4xf32>) attributes {weir.joint} {
  // expected-error @+1 {{has no stage and pass; run weir-partition and weir-split-backward first}}
  %y = arith.addf %x, %x : tensor<4xf32>
  return
}

// -----

// A colour that lets an earlier stage need what a later one makes.
func.func @m(%x: tensor<4xf32>) attributes {weir.joint} {
  // expected-note @+1 {{value produced here}}
  %y = arith.addf %x, %x {weir.stage = 1 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  // expected-error @+1 {{needs a value that a later pass makes}}
  %z = arith.addf %y, %x {weir.stage = 0 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  return
}

// -----

// A body that uses what is no operand: no pass would know that it needs it. (A
// constant would be copied into the body.)
func.func @m(%x: tensor<4xf32>) attributes {weir.joint} {
  %one = arith.constant 1 : index
  %e = tensor.empty() : tensor<f32>
  // expected-error @+1 {{uses a value from outside in its body that is no constant; make it an operand}}
  %y = linalg.generic {
      indexing_maps = [affine_map<() -> ()>], iterator_types = []}
      outs(%e : tensor<f32>)
      attrs = {weir.stage = 0 : i64, weir.pass = #weir.pass<forward>} {
  ^bb0(%out: f32):
    %element = tensor.extract %x[%one] : tensor<4xf32>
    linalg.yield %element : f32
  } -> tensor<f32>
  return
}

// -----

// Stages are counted from 0, to a number that a machine could have.
func.func @m(%x: tensor<4xf32>) attributes {weir.joint} {
  // expected-error @+1 {{is of stage -1, but stages are 0 to 65535}}
  %y = arith.addf %x, %x {weir.stage = -1 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  return
}

// -----

func.func @m(%x: tensor<4xf32>) attributes {weir.joint} {
  // expected-error @+1 {{is of stage 9223372036854775807, but stages are 0 to 65535}}
  %y = arith.addf %x, %x {weir.stage = 9223372036854775807 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  return
}

// -----

// A fused backward is made of passes, not of ops.
func.func @m(%x: tensor<4xf32>) attributes {weir.joint} {
  // expected-error @+1 {{is of pass backward; an op is forward, backward_input or backward_weight}}
  %y = arith.addf %x, %x {weir.stage = 0 : i64, weir.pass = #weir.pass<backward>} : tensor<4xf32>
  return
}

// -----

// No stage is left out.
// expected-error @+1 {{has no forward op of stage 0, but ops of stage 1}}
func.func @m(%x: tensor<4xf32>) attributes {weir.joint} {
  %y = arith.addf %x, %x {weir.stage = 1 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  return
}

// -----

// What passes hand on is in buffers.
func.func @m(%x: tensor<4xf32>, %i: tensor<index>) attributes {weir.joint} {
  // expected-note @+1 {{value produced here}}
  %j = tensor.extract %i[] {weir.stage = 0 : i64, weir.pass = #weir.pass<forward>} : tensor<index>
  // expected-error @+1 {{needs a value of another pass that no buffer can hold: 'index'}}
  %y = tensor.extract %x[%j] {weir.stage = 1 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  return
}

// -----

// A joint graph that computes nothing.
// expected-error @+1 {{has no op that belongs to a stage}}
func.func @m() attributes {weir.joint} {
  return
}

// -----

// A gradient of a use is gathered once.
weir.variable @w <constant, 0.0> : tensor<f32>
func.func @m(%x: tensor<f32>) attributes {weir.joint} {
  // expected-note @+1 {{first here}}
  weir.accumulate @w use 0, %x {weir.stage = 0 : i64, weir.pass = #weir.pass<backward_weight>} : tensor<f32>
  // expected-error @+1 {{'weir.accumulate' op is there twice}}
  weir.accumulate @w use 0, %x {weir.stage = 0 : i64, weir.pass = #weir.pass<backward_weight>} : tensor<f32>
  return
}
