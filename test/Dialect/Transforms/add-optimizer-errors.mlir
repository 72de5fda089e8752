// RUN: weir-opt %s --weir-add-optimizer -verify-diagnostics -split-input-file

// A pipeline is given its updates once.
weir.variable @w <constant, 0.0> : tensor<f32>
// expected-error @+1 {{has updates already}}
weir.pipeline @p stages 1 () {
  weir.update @w uses 1 states [] (%w: tensor<f32>, %g: tensor<f32>, %n: tensor<f32>, %l: tensor<f32>, %s: tensor<f32>) {
    weir.yield %w : tensor<f32>
  }
}

// -----

// An update computes in the type of its variable.
// expected-error @+1 {{cannot be trained: updates are for f32 and f64, not for 'f16'}}
weir.variable @w <constant, 0.0> : tensor<f16>
weir.pipeline @p stages 1 (%x = "tokens" : tensor<f16>) {
  weir.backward_weight 0 (%g = %x : tensor<f16>) {
    weir.accumulate @w use 0, %g : tensor<f16>
  }
}

// -----

// Uses are counted from 0, and none is left out.
weir.variable @w <constant, 0.0> : tensor<f32>
weir.pipeline @p stages 1 (%x = "tokens" : tensor<f32>) {
  weir.backward_weight 0 (%g = %x : tensor<f32>) {
    // expected-error @+1 {{is use 9223372036854775807 of @w, of which there are only 1}}
    weir.accumulate @w use 9223372036854775807, %g : tensor<f32>
  }
}
