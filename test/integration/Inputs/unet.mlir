// A U-net of products: each level on the way down is read again on the way up, the
// first one last, so that skips nest.
#rc = affine_map<(b, e, f) -> (b, e)>
#kc = affine_map<(b, e, f) -> (e, f)>
#oc = affine_map<(b, e, f) -> (b, f)>
#bv_be = affine_map<(b, v, e) -> (b, e)>
#bv_ve = affine_map<(b, v, e) -> (v, e)>
#bv_bv = affine_map<(b, v, e) -> (b, v)>
#bv = affine_map<(b, v) -> (b, v)>
#b = affine_map<(b, v) -> (b)>
#i = affine_map<(b) -> (b)>
#n = affine_map<(b) -> ()>
module {
  weir.variable @wte <normal, 0.25> decay : tensor<128x32xf32>
  weir.variable @d1 <normal, 0.25> decay : tensor<32x16xf32>
  weir.variable @d2 <normal, 0.25> decay : tensor<16x8xf32>
  weir.variable @d3 <normal, 0.25> decay : tensor<8x4xf32>
  weir.variable @u2 <normal, 0.25> decay : tensor<4x8xf32>
  weir.variable @m2 <normal, 0.25> decay : tensor<16x8xf32>
  weir.variable @u1 <normal, 0.25> decay : tensor<8x16xf32>
  weir.variable @m1 <normal, 0.25> decay : tensor<32x16xf32>
  weir.variable @u0 <normal, 0.25> decay : tensor<16x32xf32>
  weir.variable @m0 <normal, 0.25> decay : tensor<64x32xf32>

  func.func @unet(
      %tokens: tensor<6x1xi32> {weir.input = "tokens"},
      %labels: tensor<6x1xi32> {weir.input = "labels"})
      -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
    %zero = arith.constant 0.0 : f32
    %e4 = tensor.empty() : tensor<6x4xf32>
    %z4 = linalg.fill ins(%zero : f32) outs(%e4 : tensor<6x4xf32>) -> tensor<6x4xf32>
    %e8 = tensor.empty() : tensor<6x8xf32>
    %z8 = linalg.fill ins(%zero : f32) outs(%e8 : tensor<6x8xf32>) -> tensor<6x8xf32>
    %e16 = tensor.empty() : tensor<6x16xf32>
    %z16 = linalg.fill ins(%zero : f32) outs(%e16 : tensor<6x16xf32>) -> tensor<6x16xf32>
    %e32 = tensor.empty() : tensor<6x32xf32>
    %z32 = linalg.fill ins(%zero : f32) outs(%e32 : tensor<6x32xf32>) -> tensor<6x32xf32>
    %wte = weir.read @wte : tensor<128x32xf32>
    %x0 = tensor.gather %wte[%tokens] gather_dims([0]) : (tensor<128x32xf32>, tensor<6x1xi32>) -> tensor<6x32xf32>

    %w_d1 = weir.read @d1 : tensor<32x16xf32>
    %p_x1 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%x0, %w_d1 : tensor<6x32xf32>, tensor<32x16xf32>) outs(%z16 : tensor<6x16xf32>) -> tensor<6x16xf32>
    %x1 = math.tanh %p_x1 : tensor<6x16xf32>

    %w_d2 = weir.read @d2 : tensor<16x8xf32>
    %p_x2 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%x1, %w_d2 : tensor<6x16xf32>, tensor<16x8xf32>) outs(%z8 : tensor<6x8xf32>) -> tensor<6x8xf32>
    %x2 = math.tanh %p_x2 : tensor<6x8xf32>

    %w_d3 = weir.read @d3 : tensor<8x4xf32>
    %p_y3 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%x2, %w_d3 : tensor<6x8xf32>, tensor<8x4xf32>) outs(%z4 : tensor<6x4xf32>) -> tensor<6x4xf32>
    %y3 = math.tanh %p_y3 : tensor<6x4xf32>

    %w_u2 = weir.read @u2 : tensor<4x8xf32>
    %v2 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%y3, %w_u2 : tensor<6x4xf32>, tensor<4x8xf32>) outs(%z8 : tensor<6x8xf32>) -> tensor<6x8xf32>
    %c2 = tensor.concat dim(1) %v2, %x2 : (tensor<6x8xf32>, tensor<6x8xf32>) -> tensor<6x16xf32>

    %w_m2 = weir.read @m2 : tensor<16x8xf32>
    %p_y2 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%c2, %w_m2 : tensor<6x16xf32>, tensor<16x8xf32>) outs(%z8 : tensor<6x8xf32>) -> tensor<6x8xf32>
    %y2 = math.tanh %p_y2 : tensor<6x8xf32>

    %w_u1 = weir.read @u1 : tensor<8x16xf32>
    %v1 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%y2, %w_u1 : tensor<6x8xf32>, tensor<8x16xf32>) outs(%z16 : tensor<6x16xf32>) -> tensor<6x16xf32>
    %c1 = tensor.concat dim(1) %v1, %x1 : (tensor<6x16xf32>, tensor<6x16xf32>) -> tensor<6x32xf32>

    %w_m1 = weir.read @m1 : tensor<32x16xf32>
    %p_y1 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%c1, %w_m1 : tensor<6x32xf32>, tensor<32x16xf32>) outs(%z16 : tensor<6x16xf32>) -> tensor<6x16xf32>
    %y1 = math.tanh %p_y1 : tensor<6x16xf32>

    %w_u0 = weir.read @u0 : tensor<16x32xf32>
    %v0 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%y1, %w_u0 : tensor<6x16xf32>, tensor<16x32xf32>) outs(%z32 : tensor<6x32xf32>) -> tensor<6x32xf32>
    %c0 = tensor.concat dim(1) %v0, %x0 : (tensor<6x32xf32>, tensor<6x32xf32>) -> tensor<6x64xf32>

    %w_m0 = weir.read @m0 : tensor<64x32xf32>
    %p_y0 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%c0, %w_m0 : tensor<6x64xf32>, tensor<64x32xf32>) outs(%z32 : tensor<6x32xf32>) -> tensor<6x32xf32>
    %y0 = math.tanh %p_y0 : tensor<6x32xf32>

    %e128 = tensor.empty() : tensor<6x128xf32>
    %z128 = linalg.fill ins(%zero : f32) outs(%e128 : tensor<6x128xf32>) -> tensor<6x128xf32>
    %logits = linalg.contract indexing_maps = [#bv_be, #bv_ve, #bv_bv] ins(%y0, %wte : tensor<6x32xf32>, tensor<128x32xf32>) outs(%z128 : tensor<6x128xf32>) -> tensor<6x128xf32>
    %rows = tensor.empty() : tensor<6xf32>
    %zeros = linalg.fill ins(%zero : f32) outs(%rows : tensor<6xf32>) -> tensor<6xf32>
    %exps = math.exp %logits : tensor<6x128xf32>
    %total = linalg.reduce { arith.addf } ins(%exps : tensor<6x128xf32>) outs(%zeros : tensor<6xf32>) dimensions = [1]
    %label = tensor.collapse_shape %labels [[0, 1]] : tensor<6x1xi32> into tensor<6xi32>
    %picked = linalg.generic {indexing_maps = [#bv, #b, #b], iterator_types = ["parallel", "reduction"]}
        ins(%logits, %label : tensor<6x128xf32>, tensor<6xi32>) outs(%zeros : tensor<6xf32>) {
    ^bb0(%l: f32, %want: i32, %acc: f32):
      %v = linalg.index 1 : index
      %w = arith.index_cast %v : index to i32
      %is = arith.cmpi eq, %w, %want : i32
      %z = arith.constant 0.0 : f32
      %p = arith.select %is, %l, %z : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    } -> tensor<6xf32>
    %log = math.log %total : tensor<6xf32>
    %losses = arith.subf %log, %picked : tensor<6xf32>
    %point = tensor.empty() : tensor<f32>
    %nil = linalg.fill ins(%zero : f32) outs(%point : tensor<f32>) -> tensor<f32>
    %loss = linalg.reduce { arith.addf } ins(%losses : tensor<6xf32>) outs(%nil : tensor<f32>) dimensions = [0]
    %count = arith.constant dense<6.0> : tensor<f32>
    return %loss, %count : tensor<f32>, tensor<f32>
  }
}
