// CONTEXT: weir.read
weir.variable @embedding <normal, 0.02> : tensor<256x64xf32>
func.func @f() {
// EXAMPLE
  return
}

// CONTEXT: weir.accumulate
weir.variable @embedding <normal, 0.02> : tensor<256x64xf32>
func.func @f(%g: tensor<256x64xf32>) {
// EXAMPLE
  return
}

// CONTEXT: weir.scatter_add
func.func @f(%dx: tensor<2x8x64xf32>, %zero: tensor<256x64xf32>,
             %tokens: tensor<2x8xi32>) {
// EXAMPLE
  return
}

// CONTEXT: weir.report
func.func @f(%loss: tensor<f32>, %count: tensor<f32>) {
// EXAMPLE
  return
}

// CONTEXT: weir.pack
func.func @f(%x: tensor<4x8xf32>, %i: tensor<4xi32>) {
// EXAMPLE
  return
}

// CONTEXT: weir.unpack
func.func @f(%b: !weir.bundle<tensor<4x8xf32>, tensor<4xi32>>) {
// EXAMPLE
  return
}

// CONTEXT: weir.forward
weir.pipeline @net stages 2 (%x = "x" : tensor<4x8xf32>) {
// EXAMPLE
}

// CONTEXT: weir.pipeline
weir.variable @w <normal, 0.02> : tensor<8xf32>
// EXAMPLE

// CONTEXT: weir.backward_input
weir.pipeline @net stages 2 (%dy = "dy" : tensor<4x8xf32>) {
  %kept = weir.forward 1 (%x = %dy : tensor<4x8xf32>)
      -> !weir.bundle<tensor<4x8xf32>> {
    %b = weir.pack %x : (tensor<4x8xf32>) -> !weir.bundle<tensor<4x8xf32>>
    weir.yield %b : !weir.bundle<tensor<4x8xf32>>
  }
// EXAMPLE
}

// CONTEXT: weir.backward_weight
weir.variable @w <normal, 0.02> : tensor<8xf32>
weir.pipeline @net stages 2 (%dy = "dy" : tensor<8xf32>) {
// EXAMPLE
}

// CONTEXT: weir.yield
weir.pipeline @net stages 1 (%x = "x" : tensor<4x8xf32>) {
  weir.forward 0 (%y = %x : tensor<4x8xf32>)
      -> (tensor<4x8xf32>, !weir.bundle<tensor<4x8xf32>>) {
    %b = weir.pack %y : (tensor<4x8xf32>) -> !weir.bundle<tensor<4x8xf32>>
// EXAMPLE
  }
}

// CONTEXT: weir.update
weir.variable @w <normal, 0.02> : tensor<8xf32>
weir.pipeline @net stages 1 () {
// EXAMPLE
}

// CONTEXT: weir.program
weir.pipeline @net stages 2 () {
}
// EXAMPLE

// CONTEXT: weir.resident weir.load weir.recv_start
weir.variable @w <normal, 0.02> : tensor<8xf32>
weir.pipeline @net stages 2 () {
}
weir.program @net_0 of @net device 1 microbatches 8 {
// EXAMPLE
}

// CONTEXT: weir.run
weir.variable @w <normal, 0.02> : tensor<8xf32>
weir.pipeline @net stages 1 () {
}
weir.program @net_0 of @net device 0 microbatches 8 {
  %n = weir.resident count : tensor<f32>
  %g = weir.resident gradient @w 0 : tensor<8xf32>
  %x = weir.load "x" microbatch 3 : tensor<4x8xf32>
// EXAMPLE
}

// CONTEXT: weir.send_start
weir.pipeline @net stages 1 () {
}
weir.program @net_0 of @net device 0 microbatches 8 {
  %y = weir.load "y" microbatch 3 : tensor<4x8xf32>
// EXAMPLE
}

// CONTEXT: weir.wait
weir.pipeline @net stages 1 () {
}
weir.program @net_0 of @net device 1 microbatches 8 {
  %y = weir.load "y" microbatch 3 : tensor<4x8xf32>
  %s = weir.send_start %y to 0 message 5 : tensor<4x8xf32>
// EXAMPLE
}

// CONTEXT: weir.schedule.device weir.schedule.link
weir.schedule.problem @two devices 2 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
// EXAMPLE
}

// CONTEXT: weir.schedule.stage
weir.schedule.problem @one devices 1 microbatches 1 {
// EXAMPLE
}

// CONTEXT: weir.schedule.solution
weir.schedule.problem @two devices 2 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0
}
// EXAMPLE

// CONTEXT: weir.schedule.order
weir.schedule.problem @one devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0
}
weir.schedule.solution of @one by "gpipe" {
// EXAMPLE
}

// CONTEXT: weir.schedule.pass
weir.schedule.problem @one devices 1 microbatches 4 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @one by "given" {
  weir.schedule.order 0 {
// EXAMPLE
  }
}

// CONTEXT: weir.custom
weir.kernel @rmsnorm (tensor<8x4xf32>, tensor<4xf32>) -> (tensor<8x4xf32>)
    keeps (tensor<8xf32>)
func.func @f(%x: tensor<8x4xf32>, %gain: tensor<4xf32>) {
// EXAMPLE
  return
}

// CONTEXT: weir.call_kernel
func.func @f(%x: memref<8x4xf32>, %gain: memref<4xf32>, %y: memref<8x4xf32>,
             %scale: memref<8xf32>) {
// EXAMPLE
  return
}
