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
