// Six products in a row: what the first makes is read by the third and the fifth as
// well, a shared matrix is used in three, and the embedding is tied to the head.
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
  weir.variable @wte <normal, 0.2> decay : tensor<128x16xf32>
  weir.variable @shared <normal, 0.25> decay : tensor<16x16xf32>
  weir.variable @w0 <normal, 0.25> decay : tensor<16x16xf32>
  weir.variable @w2 <normal, 0.25> decay : tensor<16x16xf32>
  weir.variable @w4 <normal, 0.25> decay : tensor<16x16xf32>

  func.func @skips(
      %tokens: tensor<6x1xi32> {weir.input = "tokens"},
      %labels: tensor<6x1xi32> {weir.input = "labels"})
      -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
    %zero = arith.constant 0.0 : f32
    %lowest = arith.constant -3.0e38 : f32
    %none = tensor.empty() : tensor<6x16xf32>
    %start = linalg.fill ins(%zero : f32) outs(%none : tensor<6x16xf32>) -> tensor<6x16xf32>
    %shared = weir.read @shared : tensor<16x16xf32>
    %wte = weir.read @wte : tensor<128x16xf32>

    %x = tensor.gather %wte[%tokens] gather_dims([0]) : (tensor<128x16xf32>, tensor<6x1xi32>) -> tensor<6x16xf32>
    %w0 = weir.read @w0 : tensor<16x16xf32>
    %p0 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%x, %w0 : tensor<6x16xf32>, tensor<16x16xf32>) outs(%start : tensor<6x16xf32>) -> tensor<6x16xf32>
    %h0 = math.tanh %p0 : tensor<6x16xf32>

    %p1 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%h0, %shared : tensor<6x16xf32>, tensor<16x16xf32>) outs(%start : tensor<6x16xf32>) -> tensor<6x16xf32>
    %h1 = math.tanh %p1 : tensor<6x16xf32>

    %w2 = weir.read @w2 : tensor<16x16xf32>
    %p2 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%h1, %w2 : tensor<6x16xf32>, tensor<16x16xf32>) outs(%start : tensor<6x16xf32>) -> tensor<6x16xf32>
    %s2 = arith.addf %p2, %h0 : tensor<6x16xf32>
    %h2 = math.tanh %s2 : tensor<6x16xf32>

    %p3 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%h2, %shared : tensor<6x16xf32>, tensor<16x16xf32>) outs(%start : tensor<6x16xf32>) -> tensor<6x16xf32>
    %h3 = math.tanh %p3 : tensor<6x16xf32>

    %w4 = weir.read @w4 : tensor<16x16xf32>
    %p4 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%h3, %w4 : tensor<6x16xf32>, tensor<16x16xf32>) outs(%start : tensor<6x16xf32>) -> tensor<6x16xf32>
    %m4 = arith.mulf %p4, %h0 : tensor<6x16xf32>
    %h4 = math.tanh %m4 : tensor<6x16xf32>

    %p5 = linalg.contract indexing_maps = [#rc, #kc, #oc] ins(%h4, %shared : tensor<6x16xf32>, tensor<16x16xf32>) outs(%start : tensor<6x16xf32>) -> tensor<6x16xf32>
    %s5 = arith.addf %p5, %h1 : tensor<6x16xf32>

    %e6 = tensor.empty() : tensor<6x128xf32>
    %z6 = linalg.fill ins(%zero : f32) outs(%e6 : tensor<6x128xf32>) -> tensor<6x128xf32>
    %logits = linalg.contract indexing_maps = [#bv_be, #bv_ve, #bv_bv] ins(%s5, %wte : tensor<6x16xf32>, tensor<128x16xf32>) outs(%z6 : tensor<6x128xf32>) -> tensor<6x128xf32>
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
