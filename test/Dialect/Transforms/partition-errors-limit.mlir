// RUN: weir-opt %s --weir-estimate-costs --weir-partition="stages=2 memory-limit=64" -verify-diagnostics

// The variable of one op, its gradient and its states are more than a device has.
weir.variable @w <normal, 0.02> : tensor<8xf32>
// expected-error @+1 {{no cut into 2 stages fits 64 bytes per device; the largest op alone needs 128}}
func.func @m(%x: tensor<8xf32>) attributes {weir.joint} {
  %w = weir.read @w : tensor<8xf32>
  %y = arith.mulf %x, %w {weir.op = 0 : i64} : tensor<8xf32>
  %z = arith.addf %y, %x {weir.op = 1 : i64} : tensor<8xf32>
  return
}
