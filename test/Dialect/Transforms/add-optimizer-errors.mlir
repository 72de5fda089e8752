// RUN: weir-opt %s --weir-add-optimizer -verify-diagnostics -split-input-file

// A pipeline is given its updates once.
weir.variable @w <constant, 0.0> : tensor<f32>
// expected-error @+1 {{has updates already}}
weir.pipeline @p stages 1 () {
  weir.update @w uses 1 states [] (%w: tensor<f32>, %g: tensor<f32>, %n: tensor<f32>, %l: tensor<f32>, %s: tensor<f32>) {
    weir.yield %w : tensor<f32>
  }
}
