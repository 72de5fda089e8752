// RUN: weir-opt %s --weir-outline-stages | FileCheck %s

// Stage 1 only adds, so the gradient of its result is that of its operand, and it
// has nothing to compute on the way back. It gets an empty pass there, a link in
// the chain that schedules are made of; the gradient goes straight to stage 0.
weir.variable @w <constant, 0.0> : tensor<4xf32>
func.func @m(%x: tensor<4xf32> {weir.input = "tokens"}) attributes {weir.joint} {
  %w = weir.read @w : tensor<4xf32>
  %y = arith.mulf %w, %x {weir.op = 0 : i64, weir.stage = 0 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  %z = arith.addf %y, %x {weir.op = 1 : i64, weir.stage = 1 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  %e = math.exp %z {weir.op = 2 : i64, weir.stage = 2 : i64, weir.pass = #weir.pass<forward>} : tensor<4xf32>
  %g = arith.mulf %e, %x {weir.adjoint_of = 2 : i64, weir.stage = 2 : i64, weir.pass = #weir.pass<backward_input>} : tensor<4xf32>
  %d = arith.mulf %g, %x {weir.adjoint_of = 0 : i64, weir.stage = 0 : i64, weir.pass = #weir.pass<backward_weight>} : tensor<4xf32>
  weir.accumulate @w use 0, %d {weir.adjoint_of = 0 : i64, weir.stage = 0 : i64, weir.pass = #weir.pass<backward_weight>} : tensor<4xf32>
  return
}

// CHECK: %[[G:.*]] = weir.backward_input 2
// CHECK: weir.backward_input 1 () {
// CHECK-NEXT: weir.yield
// CHECK-NEXT: }
// CHECK-NOT: weir.backward_weight 1
// CHECK: weir.backward_weight 0 (%{{.*}} = %[[G]] : tensor<4xf32>
