// RUN: weir-opt %s --convert-weir-to-host --split-input-file | FileCheck %s

#id = affine_map<(i) -> (i)>

// A pass becomes a function that loads its buffers and runs over them: whole
// vectors first, then the rest under a mask. Nothing is copied or allocated.
// CHECK-LABEL: weir.pipeline @elementwise
// CHECK: weir.forward 0 {{.*}}attributes {kernel = @f0}
// CHECK: module @weir_kernels
// CHECK: llvm.func @f0(%[[CONTEXT:.*]]: !llvm.ptr, %[[BUFFERS:.*]]: !llvm.ptr)
// CHECK: llvm.getelementptr %[[BUFFERS]][0]
// CHECK: llvm.getelementptr %[[BUFFERS]][1]
// CHECK: %[[X:.*]] = llvm.load {{.*}} -> vector<16xf32>
// CHECK: %[[Y:.*]] = llvm.fadd %[[X]], %[[X]] : vector<16xf32>
// CHECK: llvm.store %[[Y]]
// CHECK: llvm.intr.masked.load
// CHECK: llvm.intr.masked.store
// CHECK-NOT: call
// CHECK-NOT: memcpy
// CHECK: llvm.return
weir.pipeline @elementwise stages 1 (%x = "tokens" : tensor<70xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<70xf32>) -> (tensor<70xf32>) {
    %e = tensor.empty() : tensor<70xf32>
    %b = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
        ins(%a : tensor<70xf32>) outs(%e : tensor<70xf32>) {
    ^bb0(%in: f32, %out: f32):
      %d = arith.addf %in, %in : f32
      linalg.yield %d : f32
    } -> tensor<70xf32>
    weir.yield %b : tensor<70xf32>
  }
}

// -----

// A gradient product adds to the accumulator in place: one call, no workspace.
// Its descriptor: f32, m = 5, n = 4, k = 6, A transposed by its strides (1, 5), B
// (4, 1), C (4, 1), accumulating, no batch.
// CHECK-LABEL: weir.pipeline @gradient
// CHECK: weir.backward_weight 0 {{.*}}attributes {kernel = @w0} {
// CHECK: llvm.mlir.global internal constant @weir_product_0(dense<[0, 5, 4, 6, 1, 5, 4, 1, 4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]>
// CHECK: llvm.mlir.global internal constant @weir_products
// CHECK: llvm.func @weir_host_product
// CHECK: llvm.func @w0(%[[CONTEXT:[^:]*]]
// CHECK: %[[PRODUCT:.*]] = llvm.mlir.addressof @weir_product_0
// CHECK: llvm.call @weir_host_product(%[[CONTEXT]], %[[PRODUCT]],
// CHECK-NEXT: llvm.return
#a = affine_map<(f, e, t) -> (t, f)>
#b = affine_map<(f, e, t) -> (t, e)>
#c = affine_map<(f, e, t) -> (f, e)>
weir.variable @w <constant, 0.0> : tensor<5x4xf32>
weir.pipeline @gradient stages 1 (%x = "x" : tensor<6x5xf32>, %y = "y" : tensor<6x4xf32>) {
  weir.backward_weight 0 (%g = %x : tensor<6x5xf32>, %h = %y : tensor<6x4xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<5x4xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x4xf32>) -> tensor<5x4xf32>
    %w = linalg.contract indexing_maps = [#a, #b, #c] ins(%g, %h : tensor<6x5xf32>, tensor<6x4xf32>) outs(%f : tensor<5x4xf32>) -> tensor<5x4xf32>
    weir.accumulate @w use 0, %w : tensor<5x4xf32>
    weir.yield
  }
}

// -----

// The temporary between two products is the workspace: 8 x 8 floats. The bias is
// added where the result is, in the place of the second product's output.
// CHECK-LABEL: weir.pipeline @chain
// CHECK: weir.forward 0 {{.*}}attributes {kernel = @f0, workspace = 256 : i64}
// CHECK: weir.forward 1 {{.*}}attributes {kernel = @f0, workspace = 256 : i64}
// CHECK: llvm.func @f0
// CHECK-COUNT-2: llvm.call @weir_host_product
// CHECK-NOT: llvm.func @f1
#m = affine_map<(m, n, k) -> (m, k)>
#n = affine_map<(m, n, k) -> (k, n)>
#o = affine_map<(m, n, k) -> (m, n)>
#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
weir.variable @u <normal, 0.02> : tensor<8x8xf32>
weir.variable @v <normal, 0.02> : tensor<8x8xf32>
weir.variable @p <normal, 0.02> : tensor<8xf32>
weir.variable @q <normal, 0.02> : tensor<8xf32>
weir.pipeline @chain stages 2 (%x0 = "x" : tensor<8x8xf32>) {
  %x1 = weir.forward 0 (%a = %x0 : tensor<8x8xf32>) -> (tensor<8x8xf32>) {
    %w = weir.read @u : tensor<8x8xf32>
    %b = weir.read @p : tensor<8xf32>
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<8x8xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8xf32>) -> tensor<8x8xf32>
    %y = linalg.contract indexing_maps = [#m, #n, #o] ins(%a, %w : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
    %z = linalg.contract indexing_maps = [#m, #n, #o] ins(%y, %w : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
    %s = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
        ins(%z, %b : tensor<8x8xf32>, tensor<8xf32>) outs(%e : tensor<8x8xf32>) attrs = {weir.op = 4 : i64} {
    ^bb0(%in: f32, %in1: f32, %out: f32):
      %d = arith.addf %in, %in1 : f32
      linalg.yield %d : f32
    } -> tensor<8x8xf32>
    weir.yield %s : tensor<8x8xf32>
  }
  // The same but for the names of its variables: the same function.
  %x2 = weir.forward 1 (%a = %x1 : tensor<8x8xf32>) -> (tensor<8x8xf32>) {
    %w = weir.read @v : tensor<8x8xf32>
    %b = weir.read @q : tensor<8xf32>
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<8x8xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<8x8xf32>) -> tensor<8x8xf32>
    %y = linalg.contract indexing_maps = [#m, #n, #o] ins(%a, %w : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
    %z = linalg.contract indexing_maps = [#m, #n, #o] ins(%y, %w : tensor<8x8xf32>, tensor<8x8xf32>) outs(%f : tensor<8x8xf32>) -> tensor<8x8xf32>
    %s = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
        ins(%z, %b : tensor<8x8xf32>, tensor<8xf32>) outs(%e : tensor<8x8xf32>) attrs = {weir.op = 9 : i64} {
    ^bb0(%in: f32, %in1: f32, %out: f32):
      %d = arith.addf %in, %in1 : f32
      linalg.yield %d : f32
    } -> tensor<8x8xf32>
    weir.yield %s : tensor<8x8xf32>
  }
}

// -----

// An update works in place on the variable and its state: three loads, two
// stores, one loop, and no workspace.
// CHECK-LABEL: weir.pipeline @update
// CHECK: weir.update @w {{.*}}attributes {kernel = @update_16}
// CHECK: llvm.func @update_16
// CHECK-COUNT-3: llvm.load {{.*}} -> vector<16xf32>
// CHECK-NOT: -> vector<16xf32>{{$}}
// CHECK-COUNT-2: llvm.store {{.*}}vector<16xf32>
// CHECK-NOT: llvm.store
// CHECK-NOT: memcpy
// CHECK: llvm.return
#id = affine_map<(i) -> (i)>
#none = affine_map<(i) -> ()>
weir.variable @w <normal, 0.02> : tensor<16xf32>
weir.pipeline @update stages 1 () {
  weir.update @w uses 1 states ["m"] (%w: tensor<16xf32>, %g: tensor<16xf32>, %m: tensor<16xf32>,
      %count: tensor<f32>, %rate: tensor<f32>, %step: tensor<f32>) {
    %e = tensor.empty() : tensor<16xf32>
    %v = linalg.generic {indexing_maps = [#id, #id, #none, #id], iterator_types = ["parallel"]}
        ins(%g, %m, %count : tensor<16xf32>, tensor<16xf32>, tensor<f32>) outs(%e : tensor<16xf32>) {
    ^bb0(%a: f32, %b: f32, %n: f32, %out: f32):
      %q = arith.divf %a, %n : f32
      %s = arith.addf %q, %b : f32
      linalg.yield %s : f32
    } -> tensor<16xf32>
    %new = linalg.generic {indexing_maps = [#id, #id, #none, #id], iterator_types = ["parallel"]}
        ins(%w, %v, %rate : tensor<16xf32>, tensor<16xf32>, tensor<f32>) outs(%e : tensor<16xf32>) {
    ^bb0(%a: f32, %b: f32, %r: f32, %out: f32):
      %p = arith.mulf %b, %r : f32
      %s = arith.subf %a, %p : f32
      linalg.yield %s : f32
    } -> tensor<16xf32>
    weir.yield %new, %v : tensor<16xf32>, tensor<16xf32>
  }
}
