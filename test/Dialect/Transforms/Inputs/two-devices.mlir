// A planned step of two stages on two devices and two microbatches, small enough
// to be broken by hand: y = w + x on stage 0, loss = y on stage 1.
weir.variable @w <normal, 0.02> : tensor<f32>
weir.pipeline @p stages 2 (%t = "tokens" : tensor<f32>) {
  %y, %k = weir.forward 0 (%x = %t : tensor<f32>) -> (tensor<f32>, !weir.bundle<tensor<f32>>) {
    %w = weir.read @w : tensor<f32>
    %s = arith.addf %w, %x : tensor<f32>
    %b = weir.pack %x : (tensor<f32>) -> !weir.bundle<tensor<f32>>
    weir.yield %s, %b : tensor<f32>, !weir.bundle<tensor<f32>>
  }
  weir.forward 1 (%a = %y : tensor<f32>) {
    %one = arith.constant dense<1.0> : tensor<f32>
    weir.report %a, %one : tensor<f32>, tensor<f32>
  }
  %g = weir.backward_input 1 (%a = %y : tensor<f32>) -> tensor<f32> {
    weir.yield %a : tensor<f32>
  }
  weir.backward_weight 0 (%a = %g : tensor<f32>, %b = %k : !weir.bundle<tensor<f32>>) {
    weir.accumulate @w use 0, %a : tensor<f32>
  }
  weir.update @w uses 1 states [] (%w: tensor<f32>, %d: tensor<f32>, %n: tensor<f32>, %l: tensor<f32>, %s: tensor<f32>) {
    weir.yield %w : tensor<f32>
  }
}
weir.program @d0 of @p device 0 microbatches 2 arena 832 {
  %w = weir.resident parameter @w at [0] : tensor<f32>
  %d = weir.resident gradient @w 0 at [64] : tensor<f32>
  %lr = weir.resident learning_rate at [128] : tensor<f32>
  %step = weir.resident step at [192] : tensor<f32>
  %t0 = weir.load "tokens" microbatch 0 at [256] : tensor<f32>
  %y0, %k0 = weir.run forward 0 microbatch 0 (%t0) at [320, 384] : (tensor<f32>) -> (tensor<f32>, !weir.bundle<tensor<f32>>)
  %s0 = weir.send_start %y0 to 1 message 0 : tensor<f32>
  %t1 = weir.load "tokens" microbatch 1 at [448] : tensor<f32>
  %y1, %k1 = weir.run forward 0 microbatch 1 (%t1) at [512, 576] : (tensor<f32>) -> (tensor<f32>, !weir.bundle<tensor<f32>>)
  %s1 = weir.send_start %y1 to 1 message 1 : tensor<f32>
  %r0 = weir.recv_start from 1 message 2 at [640] : !weir.receiving<tensor<f32>>
  %r1 = weir.recv_start from 1 message 3 at [704] : !weir.receiving<tensor<f32>>
  weir.wait %s0 : !weir.sending
  weir.wait %s1 : !weir.sending
  %g0 = weir.wait %r0 : !weir.receiving<tensor<f32>> -> tensor<f32>
  weir.run backward_weight 0 microbatch 0 (%g0, %k0) : (tensor<f32>, !weir.bundle<tensor<f32>>) -> ()
  %g1 = weir.wait %r1 : !weir.receiving<tensor<f32>> -> tensor<f32>
  weir.run backward_weight 0 microbatch 1 (%g1, %k1) : (tensor<f32>, !weir.bundle<tensor<f32>>) -> ()
  %rc = weir.recv_start from 1 message 4 at [768] : !weir.receiving<tensor<f32>>
  %c = weir.wait %rc : !weir.receiving<tensor<f32>> -> tensor<f32>
  weir.run update @w (%d, %c) : (tensor<f32>, tensor<f32>) -> ()
}
weir.program @d1 of @p device 1 microbatches 2 arena 384 {
  %l = weir.resident loss at [0] : tensor<f32>
  %n = weir.resident count at [64] : tensor<f32>
  %r0 = weir.recv_start from 0 message 0 at [128] : !weir.receiving<tensor<f32>>
  %r1 = weir.recv_start from 0 message 1 at [192] : !weir.receiving<tensor<f32>>
  %y0 = weir.wait %r0 : !weir.receiving<tensor<f32>> -> tensor<f32>
  weir.run forward 1 microbatch 0 (%y0) : (tensor<f32>) -> ()
  %g0 = weir.run backward_input 1 microbatch 0 (%y0) at [256] : (tensor<f32>) -> tensor<f32>
  %s0 = weir.send_start %g0 to 0 message 2 : tensor<f32>
  %y1 = weir.wait %r1 : !weir.receiving<tensor<f32>> -> tensor<f32>
  weir.run forward 1 microbatch 1 (%y1) : (tensor<f32>) -> ()
  %g1 = weir.run backward_input 1 microbatch 1 (%y1) at [320] : (tensor<f32>) -> tensor<f32>
  %s1 = weir.send_start %g1 to 0 message 3 : tensor<f32>
  weir.wait %s0 : !weir.sending
  weir.wait %s1 : !weir.sending
  %sc = weir.send_start %n to 0 message 4 : tensor<f32>
  weir.wait %sc : !weir.sending
}
