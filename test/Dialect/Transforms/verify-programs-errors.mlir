// RUN: weir-opt %s --weir-verify-programs -verify-diagnostics -split-input-file
// RUN: echo 'module {}' | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=NONE

// Nothing is proved of a module without programs.
// NONE: error: no weir.program to verify; run weir-schedule first

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

// -----

// Both ends of a message must be of one type.
weir.pipeline @p stages 1 (%t = "tokens" : tensor<f32>) {
  weir.forward 0 (%x = %t : tensor<f32>) {
  }
}
weir.program @d0 of @p device 0 microbatches 1 {
  %t = weir.load "tokens" microbatch 0 : tensor<f32>
  // expected-note @+1 {{sent here}}
  %s = weir.send_start %t to 1 message 0 : tensor<f32>
  weir.wait %s : !weir.sending
}
weir.program @d1 of @p device 1 microbatches 1 {
  // expected-error @+1 {{transfer 0 from device 0 to device 1 is received as message 0 of type tensor<1xf32> but sent as message 0 of type tensor<f32>}}
  %r = weir.recv_start from 0 message 0 : !weir.receiving<tensor<1xf32>>
  %t = weir.wait %r : !weir.receiving<tensor<1xf32>> -> tensor<1xf32>
}

// -----

// A deadlock of three devices, each of which waits for the next one: the whole
// cycle is named, wait by wait, with the start that each of them misses.
weir.pipeline @p stages 1 (%t = "tokens" : tensor<f32>) {
  weir.forward 0 (%x = %t : tensor<f32>) {
  }
}
weir.program @d0 of @p device 0 microbatches 1 {
  %t = weir.load "tokens" microbatch 0 : tensor<f32>
  weir.run forward 0 microbatch 0 (%t) : (tensor<f32>) -> ()
  %r = weir.recv_start from 1 message 0 : !weir.receiving<tensor<f32>>
  // expected-error @+2 {{deadlock: device 0 waits here for message 0 from device 1}}
  // expected-note @+1 {{after device 0 has waited here, where the cycle closes (program order)}}
  %x = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>
  // expected-note @+1 {{which device 0 sends only here (rendezvous)}}
  %s = weir.send_start %t to 2 message 2 : tensor<f32>
  weir.wait %s : !weir.sending
}
weir.program @d1 of @p device 1 microbatches 1 {
  %t = weir.load "tokens" microbatch 0 : tensor<f32>
  %r = weir.recv_start from 2 message 1 : !weir.receiving<tensor<f32>>
  // expected-note @+1 {{after device 1 has waited here for message 1 from device 2 (program order)}}
  %x = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>
  // expected-note @+1 {{which device 1 sends only here (rendezvous)}}
  %s = weir.send_start %t to 0 message 0 : tensor<f32>
  weir.wait %s : !weir.sending
}
weir.program @d2 of @p device 2 microbatches 1 {
  %t = weir.load "tokens" microbatch 0 : tensor<f32>
  %r = weir.recv_start from 0 message 2 : !weir.receiving<tensor<f32>>
  // expected-note @+1 {{after device 2 has waited here for message 2 from device 0 (program order)}}
  %x = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>
  // expected-note @+1 {{which device 2 sends only here (rendezvous)}}
  %s = weir.send_start %t to 1 message 1 : tensor<f32>
  weir.wait %s : !weir.sending
}
