// RUN: weir-opt %s --convert-weir-to-cuda=fuse-bias --split-input-file | FileCheck %s

// A product whose only reader adds a parameter's row to it has it as its bias:
// epilogue 1, and no kernel.

// CHECK-LABEL: weir.pipeline @bias
// CHECK: module @weir_kernels attributes {weir.device_kernels = []}
// CHECK: @weir_product_0(dense<{{.*}}, 1, 4194304]>
// CHECK: llvm.call @weir_cuda_multiply(%{{.*}}, %{{.*}}, %[[A:.*]], %[[B:.*]], %[[C:.*]], %[[BIAS:.*]], %[[NULL:.*]], %{{.*}})
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
weir.variable @w <normal, 1.0> : tensor<8x16xf32>
weir.variable @v <constant, 0.0> : tensor<16xf32>
weir.pipeline @bias stages 1 (%x = "x" : tensor<4x8xf32>) {
  %y = weir.forward 0 (%in = %x : tensor<4x8xf32>) -> (tensor<4x16xf32>) {
    %w = weir.read @w : tensor<8x16xf32>
    %v = weir.read @v : tensor<16xf32>
    %zero = arith.constant dense<0.0> : tensor<4x16xf32>
    %p = linalg.contract indexing_maps = [#a, #b, #c] ins(%in, %w : tensor<4x8xf32>, tensor<8x16xf32>) outs(%zero : tensor<4x16xf32>) -> tensor<4x16xf32>
    %e = tensor.empty() : tensor<4x16xf32>
    %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
        ins(%p, %v : tensor<4x16xf32>, tensor<16xf32>) outs(%e : tensor<4x16xf32>) {
    ^bb0(%l: f32, %r: f32, %o: f32):
      %t = arith.addf %l, %r : f32
      linalg.yield %t : f32
    } -> tensor<4x16xf32>
    weir.yield %s : tensor<4x16xf32>
  }
}

// -----

// Not where the product itself has another reader.

// CHECK-LABEL: weir.pipeline @other_reader
// CHECK: weir.device_kernels = ["elementwise_0"]
// CHECK: @weir_product_0(dense<{{.*}}, 0, 4194304]>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
weir.variable @w <normal, 1.0> : tensor<8x16xf32>
weir.variable @v <constant, 0.0> : tensor<16xf32>
weir.pipeline @other_reader stages 1 (%x = "x" : tensor<4x8xf32>) {
  %y, %z = weir.forward 0 (%in = %x : tensor<4x8xf32>) -> (tensor<4x16xf32>, tensor<4x16xf32>) {
    %w = weir.read @w : tensor<8x16xf32>
    %v = weir.read @v : tensor<16xf32>
    %zero = arith.constant dense<0.0> : tensor<4x16xf32>
    %p = linalg.contract indexing_maps = [#a, #b, #c] ins(%in, %w : tensor<4x8xf32>, tensor<8x16xf32>) outs(%zero : tensor<4x16xf32>) -> tensor<4x16xf32>
    %e = tensor.empty() : tensor<4x16xf32>
    %s = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
        ins(%p, %v : tensor<4x16xf32>, tensor<16xf32>) outs(%e : tensor<4x16xf32>) {
    ^bb0(%l: f32, %r: f32, %o: f32):
      %t = arith.addf %l, %r : f32
      linalg.yield %t : f32
    } -> tensor<4x16xf32>
    weir.yield %s, %p : tensor<4x16xf32>, tensor<4x16xf32>
  }
}

// -----

// Neither where the row is one of values that repeat along columns.

// CHECK-LABEL: weir.pipeline @per_row
// CHECK: weir.device_kernels = ["elementwise_0"]
// CHECK: @weir_product_0(dense<{{.*}}, 0, 4194304]>
#a = affine_map<(m, n, k) -> (m, k)>
#b = affine_map<(m, n, k) -> (k, n)>
#c = affine_map<(m, n, k) -> (m, n)>
#id = affine_map<(i, j) -> (i, j)>
#column = affine_map<(i, j) -> (i)>
weir.variable @w <normal, 1.0> : tensor<8x4xf32>
weir.variable @v <constant, 0.0> : tensor<4xf32>
weir.pipeline @per_row stages 1 (%x = "x" : tensor<4x8xf32>) {
  %y = weir.forward 0 (%in = %x : tensor<4x8xf32>) -> (tensor<4x4xf32>) {
    %w = weir.read @w : tensor<8x4xf32>
    %v = weir.read @v : tensor<4xf32>
    %zero = arith.constant dense<0.0> : tensor<4x4xf32>
    %p = linalg.contract indexing_maps = [#a, #b, #c] ins(%in, %w : tensor<4x8xf32>, tensor<8x4xf32>) outs(%zero : tensor<4x4xf32>) -> tensor<4x4xf32>
    %e = tensor.empty() : tensor<4x4xf32>
    %s = linalg.generic {indexing_maps = [#id, #column, #id], iterator_types = ["parallel", "parallel"]}
        ins(%p, %v : tensor<4x4xf32>, tensor<4xf32>) outs(%e : tensor<4x4xf32>) {
    ^bb0(%l: f32, %r: f32, %o: f32):
      %t = arith.addf %l, %r : f32
      linalg.yield %t : f32
    } -> tensor<4x4xf32>
    weir.yield %s : tensor<4x4xf32>
  }
}

// -----

// A matrix that is dense along neither dimension becomes loops: in A, rows and
// reduced elements are 5 apart, and the batch is between.

// CHECK-LABEL: weir.pipeline @no_matrix
// CHECK: weir.device_kernels = ["rows_0"]
// CHECK-NOT: @weir_product_0
weir.pipeline @no_matrix stages 1 (%x = "x" : tensor<3x7x5xf32>, %y = "y" : tensor<5x7x4xf32>) {
  %r = weir.forward 0 (%a = %x : tensor<3x7x5xf32>, %b = %y : tensor<5x7x4xf32>) -> (tensor<5x3x4xf32>) {
    %zero = arith.constant dense<0.0> : tensor<5x3x4xf32>
    %p = linalg.contract indexing_maps = [affine_map<(z, m, n, k) -> (m, k, z)>, affine_map<(z, m, n, k) -> (z, k, n)>, affine_map<(z, m, n, k) -> (z, m, n)>]
        ins(%a, %b : tensor<3x7x5xf32>, tensor<5x7x4xf32>) outs(%zero : tensor<5x3x4xf32>) -> tensor<5x3x4xf32>
    weir.yield %p : tensor<5x3x4xf32>
  }
}
