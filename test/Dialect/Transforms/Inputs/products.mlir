// A joint graph of three products: y = x W0 W0 W1, loss = sum(y).
weir.variable @w0 <normal, 0.02> decay : tensor<8x8xf32>
weir.variable @w1 <normal, 0.02> decay : tensor<8x8xf32>
func.func @m(%x: tensor<8x8xf32> {weir.input = "tokens"}) attributes {weir.joint} {
  %z = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<8x8xf32>
  %f = linalg.fill ins(%z : f32) outs(%e : tensor<8x8xf32>) -> tensor<8x8xf32>
  %w0 = weir.read @w0 : tensor<8x8xf32>
  %h = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,k)>, affine_map<(m,n,k)->(k,n)>, affine_map<(m,n,k)->(m,n)>] {weir.op = 0 : i64} ins(%x, %w0 : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  %h2 = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,k)>, affine_map<(m,n,k)->(k,n)>, affine_map<(m,n,k)->(m,n)>] {weir.op = 1 : i64} ins(%h, %w0 : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  %w1 = weir.read @w1 : tensor<8x8xf32>
  %y = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,k)>, affine_map<(m,n,k)->(k,n)>, affine_map<(m,n,k)->(m,n)>] {weir.op = 2 : i64} ins(%h2, %w1 : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  %e0 = tensor.empty() : tensor<f32>
  %f0 = linalg.fill ins(%z : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.generic {indexing_maps = [affine_map<(m,n)->(m,n)>, affine_map<(m,n)->()>], iterator_types = ["reduction","reduction"]} ins(%y : tensor<8x8xf32>) outs(%f0 : tensor<f32>) attrs = {weir.op = 3 : i64} {
  ^bb0(%a: f32, %b: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  weir.report %l, %one : tensor<f32>, tensor<f32>
  %gy = linalg.generic {indexing_maps = [affine_map<(m,n)->()>, affine_map<(m,n)->(m,n)>], iterator_types = ["parallel","parallel"]} ins(%one : tensor<f32>) outs(%e : tensor<8x8xf32>) attrs = {weir.adjoint_of = 3 : i64, weir.activation_gradient} {
  ^bb0(%a: f32, %b: f32):
    linalg.yield %a : f32
  } -> tensor<8x8xf32>
  %gw1 = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,k)>, affine_map<(m,n,k)->(m,n)>, affine_map<(m,n,k)->(k,n)>] {weir.adjoint_of = 2 : i64} ins(%h2, %gy : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  weir.accumulate @w1 use 0, %gw1 : tensor<8x8xf32>
  %gh = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,n)>, affine_map<(m,n,k)->(k,n)>, affine_map<(m,n,k)->(m,k)>] {weir.adjoint_of = 2 : i64, weir.activation_gradient} ins(%gy, %w1 : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  %gw0 = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,k)>, affine_map<(m,n,k)->(m,n)>, affine_map<(m,n,k)->(k,n)>] {weir.adjoint_of = 1 : i64} ins(%h, %gh : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  weir.accumulate @w0 use 1, %gw0 : tensor<8x8xf32>
  %gh0 = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,n)>, affine_map<(m,n,k)->(k,n)>, affine_map<(m,n,k)->(m,k)>] {weir.adjoint_of = 1 : i64, weir.activation_gradient} ins(%gh, %w0 : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  %gw00 = linalg.contract indexing_maps = [affine_map<(m,n,k)->(m,k)>, affine_map<(m,n,k)->(m,n)>, affine_map<(m,n,k)->(k,n)>] {weir.adjoint_of = 0 : i64} ins(%x, %gh0 : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
  weir.accumulate @w0 use 0, %gw00 : tensor<8x8xf32>
  return
}
