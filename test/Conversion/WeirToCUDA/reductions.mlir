// RUN: weir-opt %s --convert-weir-to-cuda --split-input-file | FileCheck %s

// Rows of 768: a warp has a row, a lane chunks of 4. Lanes are added by shuffles,
// with no memory and no barrier between; the first one adds the initial value.

// CHECK-LABEL: weir.pipeline @rows
// 64 rows are 8 blocks of 8 warps; sums that start at zero are not read.
// CHECK: dense<[0, 8, 1, 1, 256, 1, 1, 0, 2, 196864]>
// CHECK: gpu.func @rows_0
// CHECK-NOT: workgroup
// CHECK: scf.for {{.*}} iter_args(%{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}, %{{[^,]*}}) -> (f32, f32, f32, f32)
// CHECK: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<4xf32>
// CHECK-COUNT-5: gpu.shuffle xor
// CHECK-NOT: gpu.barrier
// CHECK: scf.if
// CHECK: llvm.store {{.*}} : f32, !llvm.ptr
weir.pipeline @rows stages 1 (%x = "x" : tensor<64x768xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<64x768xf32>) -> (tensor<64xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<64xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64xf32>) -> tensor<64xf32>
    %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                         iterator_types = ["parallel", "reduction"]}
        ins(%a : tensor<64x768xf32>) outs(%f : tensor<64xf32>) {
    ^bb0(%in: f32, %acc: f32):
      %t = arith.addf %acc, %in : f32
      linalg.yield %t : f32
    } -> tensor<64xf32>
    weir.yield %s : tensor<64xf32>
  }
}

// -----

// Columns: 8192 rows for 768 results are split over 64 blocks for every 128
// columns, and a second kernel adds their 64 sums of each column.

// CHECK-LABEL: weir.pipeline @columns
// The scratch of 768 x 64 sums, and room to align it.
// CHECK: workspace = 196864
// CHECK: dense<[0, 6, 64, 1, 256, 1, 1, 0, 2, 25362432]>
// CHECK: dense<[1, 96, 1, 1, 256, 1, 1, 0, 2, 199680]>
// CHECK: gpu.func @columns_0
// CHECK-SAME: workgroup(%{{.*}} : memref<1024xf32, #gpu.address_space<workgroup>>)
// CHECK: gpu.block_id y
// CHECK: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<4xf32>
// CHECK-COUNT-3: gpu.barrier
// CHECK: gpu.func @sums_1
// CHECK-COUNT-5: gpu.shuffle xor
weir.pipeline @columns stages 1 (%x = "x" : tensor<8192x768xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<8192x768xf32>) -> (tensor<768xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<768xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<768xf32>) -> tensor<768xf32>
    %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>],
                         iterator_types = ["reduction", "parallel"]}
        ins(%a : tensor<8192x768xf32>) outs(%f : tensor<768xf32>) {
    ^bb0(%in: f32, %acc: f32):
      %t = arith.addf %acc, %in : f32
      linalg.yield %t : f32
    } -> tensor<768xf32>
    weir.yield %s : tensor<768xf32>
  }
}

// -----

// Scattered rows: a block takes a share of 64 of the rows, and
// looks at all indices in their order.

// CHECK-LABEL: weir.pipeline @scatter
// 64 rows of 256 bytes are added to as many.
// CHECK: dense<[{{[0-9]+}}, 1, 64, 1, 256, 1, 1, 0, 3, 49152]>
// CHECK: gpu.func @scatter_
// CHECK: scf.for
// CHECK: scf.for
// CHECK: llvm.load {{.*}} -> i32
// CHECK: %[[SHARE:.*]] = arith.andi %{{.*}}, %{{.*}} : i64
// CHECK: arith.cmpi eq, %[[SHARE]]
weir.variable @table <normal, 1.0> : tensor<1000x64xf32>
weir.pipeline @scatter stages 1 (%t = "tokens" : tensor<4x16xi32>, %x = "x" : tensor<4x16x64xf32>) {
  weir.backward_weight 0 (%i = %t : tensor<4x16xi32>, %g = %x : tensor<4x16x64xf32>) {
    %zero = arith.constant dense<0.0> : tensor<1000x64xf32>
    %r = weir.scatter_add %g into %zero[%i] : tensor<4x16x64xf32> into tensor<1000x64xf32>[tensor<4x16xi32>]
    weir.accumulate @table use 0, %r : tensor<1000x64xf32>
    weir.yield
  }
}
