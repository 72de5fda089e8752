// RUN: weir-opt %s --weir-plan-memory -verify-diagnostics
// RUN: echo 'module {}' | not weir-opt --weir-plan-memory 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: no weir.program to plan; run weir-schedule first

// A limit that the plan exceeds is refused with the one that would do: 64 bytes
// each for the input and two results.
weir.pipeline @p stages 1 (%t = "tokens" : tensor<f32>) {
  %y, %z = weir.forward 0 (%x = %t : tensor<f32>) -> (tensor<f32>, tensor<f32>) {
    weir.yield %x, %x : tensor<f32>, tensor<f32>
  }
}
// expected-error @+1 {{device 0 needs 192 bytes, but the memory limit is 100; the smallest limit that this cut and schedule can meet is 192}}
weir.program @d of @p device 0 microbatches 1 limit 100 {
  %t = weir.load "tokens" microbatch 0 : tensor<f32>
  %y, %z = weir.run forward 0 microbatch 0 (%t) : (tensor<f32>) -> (tensor<f32>, tensor<f32>)
}
