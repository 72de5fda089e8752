// A small model on bytes: every byte predicts the next one, by a layer between two
// RMSNorms that are kernels of our own, in rmsnorm.c. 128 bytes per microbatch.

#r_0 = affine_map<(r) -> ()>
#r_r = affine_map<(r) -> (r)>
#rc_rc = affine_map<(r, c) -> (r, c)>
#rc_r = affine_map<(r, c) -> (r)>
#rce_re = affine_map<(r, c, e) -> (r, e)>
#rce_ec = affine_map<(r, c, e) -> (e, c)>
#rce_rc = affine_map<(r, c, e) -> (r, c)>

weir.variable @embedding <normal, 1.0> decay : tensor<256x32xf32>
weir.variable @norm0.gain <constant, 1.0> : tensor<32xf32>
weir.variable @up <normal, 0.17> decay : tensor<32x64xf32>
weir.variable @down <normal, 0.12> decay : tensor<64x32xf32>
weir.variable @norm1.gain <constant, 1.0> : tensor<32xf32>
weir.variable @head <normal, 0.17> decay : tensor<32x256xf32>

// The functions of rmsnorm.c: x, gain, and the sizes in; y out. The factors of the
// rows are kept for the derivative.
weir.kernel @rmsnorm (tensor<128x32xf32>, tensor<32xf32>, tensor<2xi64>)
    -> (tensor<128x32xf32>) keeps (tensor<128xf32>) flops 16512
    derivative (%x: tensor<128x32xf32>, %gain: tensor<32xf32>, %sizes: tensor<2xi64>,
                %y: tensor<128x32xf32>, %s: tensor<128xf32>,
                %dy: tensor<128x32xf32>) {
  %dx = weir.custom @rmsnorm_input(%dy, %x, %gain, %s, %sizes)
      : (tensor<128x32xf32>, tensor<128x32xf32>, tensor<32xf32>, tensor<128xf32>,
         tensor<2xi64>) -> tensor<128x32xf32>
  %dgain = weir.custom @rmsnorm_gain(%dy, %x, %s, %sizes)
      : (tensor<128x32xf32>, tensor<128x32xf32>, tensor<128xf32>, tensor<2xi64>)
      -> tensor<32xf32>
  weir.yield %dx, %dgain : tensor<128x32xf32>, tensor<32xf32>
}
weir.kernel @rmsnorm_input (tensor<128x32xf32>, tensor<128x32xf32>, tensor<32xf32>,
                            tensor<128xf32>, tensor<2xi64>)
    -> (tensor<128x32xf32>) flops 32768
// Sums in double precision, in a workspace.
weir.kernel @rmsnorm_gain (tensor<128x32xf32>, tensor<128x32xf32>, tensor<128xf32>,
                           tensor<2xi64>)
    -> (tensor<32xf32>) workspace 256 flops 12288

func.func @bytes(%tokens: tensor<8x16xi32> {weir.input = "tokens"},
                 %labels: tensor<8x16xi32> {weir.input = "labels"})
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %lowest = arith.constant -3.0e38 : f32
  %sizes = arith.constant dense<[128, 32]> : tensor<2xi64>

  %rows = tensor.collapse_shape %tokens [[0, 1]] : tensor<8x16xi32> into tensor<128xi32>
  %indices = tensor.expand_shape %rows [[0, 1]] output_shape [128, 1]
      : tensor<128xi32> into tensor<128x1xi32>
  %embedding = weir.read @embedding : tensor<256x32xf32>
  %x0 = tensor.gather %embedding[%indices] gather_dims([0])
      : (tensor<256x32xf32>, tensor<128x1xi32>) -> tensor<128x32xf32>

  %gain0 = weir.read @norm0.gain : tensor<32xf32>
  %n0, %s0 = weir.custom @rmsnorm(%x0, %gain0, %sizes)
      : (tensor<128x32xf32>, tensor<32xf32>, tensor<2xi64>)
      -> (tensor<128x32xf32>, tensor<128xf32>)

  %up = weir.read @up : tensor<32x64xf32>
  %h_empty = tensor.empty() : tensor<128x64xf32>
  %h_start = linalg.fill ins(%zero : f32) outs(%h_empty : tensor<128x64xf32>) -> tensor<128x64xf32>
  %h = linalg.contract indexing_maps = [#rce_re, #rce_ec, #rce_rc]
      ins(%n0, %up : tensor<128x32xf32>, tensor<32x64xf32>)
      outs(%h_start : tensor<128x64xf32>) -> tensor<128x64xf32>
  %a_empty = tensor.empty() : tensor<128x64xf32>
  %a = linalg.generic {indexing_maps = [#rc_rc, #rc_rc], iterator_types = ["parallel", "parallel"]}
      ins(%h : tensor<128x64xf32>) outs(%a_empty : tensor<128x64xf32>) {
  ^bb0(%in: f32, %out: f32):
    %y = math.tanh %in : f32
    linalg.yield %y : f32
  } -> tensor<128x64xf32>
  %down = weir.read @down : tensor<64x32xf32>
  %d_empty = tensor.empty() : tensor<128x32xf32>
  %d_start = linalg.fill ins(%zero : f32) outs(%d_empty : tensor<128x32xf32>) -> tensor<128x32xf32>
  %d = linalg.contract indexing_maps = [#rce_re, #rce_ec, #rce_rc]
      ins(%a, %down : tensor<128x64xf32>, tensor<64x32xf32>)
      outs(%d_start : tensor<128x32xf32>) -> tensor<128x32xf32>
  %x1_empty = tensor.empty() : tensor<128x32xf32>
  %x1 = linalg.generic {indexing_maps = [#rc_rc, #rc_rc, #rc_rc], iterator_types = ["parallel", "parallel"]}
      ins(%x0, %d : tensor<128x32xf32>, tensor<128x32xf32>) outs(%x1_empty : tensor<128x32xf32>) {
  ^bb0(%left: f32, %right: f32, %out: f32):
    %y = arith.addf %left, %right : f32
    linalg.yield %y : f32
  } -> tensor<128x32xf32>

  %gain1 = weir.read @norm1.gain : tensor<32xf32>
  %n1, %s1 = weir.custom @rmsnorm(%x1, %gain1, %sizes)
      : (tensor<128x32xf32>, tensor<32xf32>, tensor<2xi64>)
      -> (tensor<128x32xf32>, tensor<128xf32>)

  %head = weir.read @head : tensor<32x256xf32>
  %logits_empty = tensor.empty() : tensor<128x256xf32>
  %logits_start = linalg.fill ins(%zero : f32) outs(%logits_empty : tensor<128x256xf32>) -> tensor<128x256xf32>
  %logits = linalg.contract indexing_maps = [#rce_re, #rce_ec, #rce_rc]
      ins(%n1, %head : tensor<128x32xf32>, tensor<32x256xf32>)
      outs(%logits_start : tensor<128x256xf32>) -> tensor<128x256xf32>

  // Cross-entropy: log(sum of exp(logits)) less the logit of the label.
  %targets = tensor.collapse_shape %labels [[0, 1]] : tensor<8x16xi32> into tensor<128xi32>
  %max_empty = tensor.empty() : tensor<128xf32>
  %max_start = linalg.fill ins(%lowest : f32) outs(%max_empty : tensor<128xf32>) -> tensor<128xf32>
  %max = linalg.generic {indexing_maps = [#rc_rc, #rc_r], iterator_types = ["parallel", "reduction"]}
      ins(%logits : tensor<128x256xf32>) outs(%max_start : tensor<128xf32>)
      attrs = {weir.stop_gradient} {
  ^bb0(%in: f32, %acc: f32):
    %m = arith.maximumf %acc, %in : f32
    linalg.yield %m : f32
  } -> tensor<128xf32>
  %total_empty = tensor.empty() : tensor<128xf32>
  %total_start = linalg.fill ins(%zero : f32) outs(%total_empty : tensor<128xf32>) -> tensor<128xf32>
  %total = linalg.generic {indexing_maps = [#rc_rc, #rc_r, #rc_r], iterator_types = ["parallel", "reduction"]}
      ins(%logits, %max : tensor<128x256xf32>, tensor<128xf32>) outs(%total_start : tensor<128xf32>) {
  ^bb0(%in: f32, %largest: f32, %acc: f32):
    %shifted = arith.subf %in, %largest : f32
    %e = math.exp %shifted : f32
    %sum = arith.addf %acc, %e : f32
    linalg.yield %sum : f32
  } -> tensor<128xf32>
  %picked_empty = tensor.empty() : tensor<128xf32>
  %picked_start = linalg.fill ins(%zero : f32) outs(%picked_empty : tensor<128xf32>) -> tensor<128xf32>
  %picked = linalg.generic {indexing_maps = [#rc_rc, #rc_r, #rc_r], iterator_types = ["parallel", "reduction"]}
      ins(%logits, %targets : tensor<128x256xf32>, tensor<128xi32>) outs(%picked_start : tensor<128xf32>) {
  ^bb0(%in: f32, %label: i32, %acc: f32):
    %none = arith.constant 0.0 : f32
    %c = linalg.index 1 : index
    %column = arith.index_cast %c : index to i32
    %is = arith.cmpi eq, %column, %label : i32
    %one = arith.select %is, %in, %none : f32
    %sum = arith.addf %acc, %one : f32
    linalg.yield %sum : f32
  } -> tensor<128xf32>
  %loss_empty = tensor.empty() : tensor<f32>
  %loss_start = linalg.fill ins(%zero : f32) outs(%loss_empty : tensor<f32>) -> tensor<f32>
  %loss = linalg.generic {indexing_maps = [#r_r, #r_r, #r_r, #r_0], iterator_types = ["reduction"]}
      ins(%total, %max, %picked : tensor<128xf32>, tensor<128xf32>, tensor<128xf32>)
      outs(%loss_start : tensor<f32>) {
  ^bb0(%in: f32, %largest: f32, %label: f32, %acc: f32):
    %log = math.log %in : f32
    %lse = arith.addf %log, %largest : f32
    %one = arith.subf %lse, %label : f32
    %sum = arith.addf %acc, %one : f32
    linalg.yield %sum : f32
  } -> tensor<f32>
  %count = arith.constant dense<128.0> : tensor<f32>
  return %loss, %count : tensor<f32>, tensor<f32>
}
