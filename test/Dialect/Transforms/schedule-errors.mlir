// RUN: weir-opt %s --weir-schedule="schedule=v-half devices=1 microbatches=2" -verify-diagnostics -split-input-file
// RUN: echo 'module {}' | not weir-opt --weir-schedule 2>&1 | FileCheck %s --check-prefix=NONE

// A module that is not there yet is not scheduled in silence.
// NONE: error: no weir.pipeline to schedule; run weir-outline-stages and weir-add-optimizer first

// v-half places two stages on a device.
// expected-error @+1 {{v-half needs 2 stages on 1 devices in v placement}}
weir.pipeline @p stages 3 (%t = "tokens" : tensor<f32>) {
  %a = weir.forward 0 (%x = %t : tensor<f32>) -> tensor<f32> {
    weir.yield %x : tensor<f32>
  }
  %b = weir.forward 1 (%x = %a : tensor<f32>) -> tensor<f32> {
    weir.yield %x : tensor<f32>
  }
  weir.forward 2 (%x = %b : tensor<f32>) {
  }
}

// -----

// An update whose gradient nobody makes.
weir.variable @w <constant, 1.0> : tensor<f32>
weir.pipeline @p stages 2 (%t = "tokens" : tensor<f32>) {
  %a = weir.forward 0 (%x = %t : tensor<f32>) -> tensor<f32> {
    weir.yield %x : tensor<f32>
  }
  weir.forward 1 (%x = %a : tensor<f32>) {
  }
  weir.backward_weight 0 (%x = %a : tensor<f32>) {
    weir.accumulate @w use 1, %x : tensor<f32>
  }
  // expected-error @+1 {{no pass gathers the gradient of use 0 of @w}}
  weir.update @w uses 2 states [] (%w: tensor<f32>, %g0: tensor<f32>,
      %g1: tensor<f32>, %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
    weir.yield %w : tensor<f32>
  }
}

// -----

// Programs that are there are not overwritten.
weir.pipeline @p stages 1 (%t = "tokens" : tensor<f32>) {
  weir.forward 0 (%x = %t : tensor<f32>) {
  }
}
// expected-error @+1 {{the pipeline has programs already}}
weir.program @d of @p device 0 microbatches 1 {
}

// -----

// Schedules are made of forward passes and what follows them.
// expected-error @+1 {{has no forward pass of stage 1}}
weir.pipeline @p stages 2 (%t = "tokens" : tensor<f32>) {
  weir.forward 0 (%x = %t : tensor<f32>) {
  }
  weir.backward_input 1 (%x = %t : tensor<f32>) {
  }
}
