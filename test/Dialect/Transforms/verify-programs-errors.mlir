// RUN: weir-opt %s --weir-verify-programs -verify-diagnostics -split-input-file

// A stage belongs to one device; both runs are named.
weir.pipeline @p stages 1 (%t = "tokens" : tensor<f32>) {
  weir.forward 0 (%x = %t : tensor<f32>) {
  }
}
weir.program @d0 of @p device 0 microbatches 2 {
  %t = weir.load "tokens" microbatch 0 : tensor<f32>
  // expected-note @+1 {{it runs here too}}
  weir.run forward 0 microbatch 0 (%t) : (tensor<f32>) -> ()
}
weir.program @d1 of @p device 1 microbatches 2 {
  %t = weir.load "tokens" microbatch 1 : tensor<f32>
  // expected-error @+1 {{stage 0 runs on two devices}}
  weir.run forward 0 microbatch 1 (%t) : (tensor<f32>) -> ()
}

// -----

// Two buffers that live at the same time share bytes; both makers are named.
weir.pipeline @p stages 1 (%t = "tokens" : tensor<f32>) {
  %y = weir.forward 0 (%x = %t : tensor<f32>) -> tensor<f32> {
    weir.yield %x : tensor<f32>
  }
}
weir.program @d0 of @p device 0 microbatches 1 arena 128 {
  // expected-note @+1 {{made here}}
  %t = weir.load "tokens" microbatch 0 at [64] : tensor<f32>
  // expected-error @+1 {{bytes 64 to 68 of device 0 are still in use: a buffer that lives here holds 64 to 68}}
  %y = weir.run forward 0 microbatch 0 (%t) at [64] : (tensor<f32>) -> tensor<f32>
}
