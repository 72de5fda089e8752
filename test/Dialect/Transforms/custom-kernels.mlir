// RUN: weir-opt %s --weir-differentiate --weir-fix-rounding \
// RUN:     --weir-estimate-costs="scalar-gflops=1 gbps=1 overhead=1" | FileCheck %s --check-prefix=COSTS
// RUN: weir-opt %s --weir-differentiate --weir-fix-rounding --weir-estimate-costs \
// RUN:     --weir-partition=stages=2 --weir-split-backward --weir-outline-stages \
// RUN:     | FileCheck %s --check-prefix=STAGES

// A model of two calls in a row, each with a parameter. The kernel of B gives the
// gradient of the data and something that W takes, and W reads what F keeps.
weir.variable @w0 <normal, 1.0> : tensor<4xf32>
weir.variable @w1 <normal, 1.0> : tensor<4xf32>
weir.kernel @f (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>) keeps (tensor<6xf32>)
    flops 1000 bytes 500
    derivative (%x: tensor<4xf32>, %w: tensor<4xf32>, %y: tensor<4xf32>,
                %kept: tensor<6xf32>, %dy: tensor<4xf32>) {
  %dx, %between = weir.custom @b(%dy, %w) : (tensor<4xf32>, tensor<4xf32>)
      -> (tensor<4xf32>, tensor<5xf32>)
  %dw = weir.custom @w(%between, %kept) : (tensor<5xf32>, tensor<6xf32>) -> tensor<4xf32>
  weir.yield %dx, %dw : tensor<4xf32>, tensor<4xf32>
}
weir.kernel @b (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>, tensor<5xf32>)
    seconds 0.25
weir.kernel @w (tensor<5xf32>, tensor<6xf32>) -> (tensor<4xf32>)

// What the declaration says is what a call costs: operations or bytes, whatever
// takes longer, and an overhead; or seconds. Bytes that are not given are those of
// operands and results.
// COSTS-LABEL: func.func @model
// COSTS: weir.custom @f({{.*}}weir.bytes = 500 : i64, weir.flops = 1000 : i64, weir.op = 0 : i64, weir.seconds = 1.0000009
// COSTS: weir.custom @b({{.*}}weir.bytes = 68 : i64, weir.flops = 0 : i64, weir.seconds = 2.500000e-01
// COSTS: weir.custom @w({{.*}}weir.bytes = 60 : i64, weir.flops = 0 : i64

// The call of @b is what stage 0 waits for, that of @w is not. What F keeps for W
// goes there in a bundle of its own, as does what B makes for W.
// STAGES: %{{.*}}:2 = weir.forward 0 {{.*}} -> (tensor<4xf32>, !weir.bundle<tensor<6xf32>>)
// STAGES: weir.forward 1
// STAGES: %[[B1:.*]]:2 = weir.backward_input 1 {{.*}} -> (tensor<4xf32>, !weir.bundle<tensor<5xf32>>)
// STAGES: weir.read @w1
// STAGES-NEXT: weir.custom @b
// STAGES-NOT: weir.custom
// STAGES: weir.backward_weight 1 ({{.*}} = %[[B1]]#1 : !weir.bundle<tensor<5xf32>>
// STAGES-NOT: weir.custom @b
// STAGES: weir.custom @w
// STAGES: weir.accumulate @w1 use 0
// STAGES-NOT: weir.backward_input 0
// STAGES: weir.backward_weight 0
// STAGES: weir.custom @b
// STAGES: weir.custom @w
// STAGES: weir.accumulate @w0 use 0
func.func @model(%x: tensor<4xf32> {weir.input = "tokens"}, %n: tensor<f32>)
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %w0 = weir.read @w0 : tensor<4xf32>
  %y0, %k0 = weir.custom @f(%x, %w0) : (tensor<4xf32>, tensor<4xf32>)
      -> (tensor<4xf32>, tensor<6xf32>)
  %w1 = weir.read @w1 : tensor<4xf32>
  %y1, %k1 = weir.custom @f(%y0, %w1) : (tensor<4xf32>, tensor<4xf32>)
      -> (tensor<4xf32>, tensor<6xf32>)
  %zero = arith.constant dense<0.0> : tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%y1 : tensor<4xf32>)
      outs(%zero : tensor<f32>) dimensions = [0]
  return %l, %n : tensor<f32>, tensor<f32>
}
