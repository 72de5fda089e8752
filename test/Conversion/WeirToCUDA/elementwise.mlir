// RUN: weir-opt %s --convert-weir-to-cuda --split-input-file | FileCheck %s

// Neighbours of 16 bytes are one thread's; the last block has threads to spare.
// 5000 elements are 1250 vectors, 5 blocks of 256 threads.

// CHECK: module @weir_kernels
// CHECK-SAME: weir.device_kernels = ["elementwise_0"]
// Kernel 0 on 5 blocks of 256 threads, with 2 addresses, moves 2 x 20000 bytes.
// CHECK: llvm.mlir.global internal constant @weir_launch_0(dense<[0, 5, 1, 1, 256, 1, 1, 0, 2, 40000]>
// CHECK: gpu.module @weir_device [#nvvm.target<chip = "sm_90a", features = "+ptx88">]
// CHECK: gpu.func @elementwise_0(%[[X:.*]]: !llvm.ptr, %[[Y:.*]]: !llvm.ptr) kernel
// CHECK-SAME: known_block_size = array<i32: 256, 1, 1>
// CHECK: %[[END:.*]] = arith.constant 1250 : i32
// CHECK: arith.cmpi ult, %{{.*}}, %[[END]] : i32
// CHECK: %[[FROM:.*]] = llvm.getelementptr %[[X]]
// CHECK: llvm.load %[[FROM]] {alignment = 16 : i64} : !llvm.ptr -> vector<4xf32>
// CHECK-COUNT-4: arith.addf
// CHECK: %[[TO:.*]] = llvm.getelementptr %[[Y]]
// CHECK: llvm.store %{{.*}}, %[[TO]] {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr
// CHECK: llvm.func @f0(%[[CONTEXT:.*]]: !llvm.ptr, %[[BUFFERS:.*]]: !llvm.ptr)
// CHECK: %[[LIST:.*]] = llvm.alloca
// CHECK: %[[LAUNCH:.*]] = llvm.mlir.addressof @weir_launch_0
// CHECK: llvm.call @weir_cuda_launch_kernel(%[[CONTEXT]], %[[LAUNCH]], %[[LIST]])

weir.pipeline @m stages 1 (%tokens = "tokens" : tensor<5000xf32>) {
  %y = weir.forward 0 (%x = %tokens : tensor<5000xf32>) -> tensor<5000xf32> {
    %e = tensor.empty() : tensor<5000xf32>
    %b = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
                         iterator_types = ["parallel"]}
        ins(%x : tensor<5000xf32>) outs(%e : tensor<5000xf32>) {
    ^bb0(%in: f32, %out: f32):
      %d = arith.addf %in, %in : f32
      linalg.yield %d : f32
    } -> tensor<5000xf32>
    weir.yield %b : tensor<5000xf32>
  }
}

// -----

// Rows of 770 with a value for each row: vectors of 2, since 4 do not divide
// them.

// CHECK-LABEL: weir.pipeline @rows_of_770
// Both of 197120 bytes, and the values of the rows once.
// CHECK: dense<[0, 97, 1, 1, 256, 1, 1, 0, 3, 394496]>
// CHECK: gpu.func @elementwise_0
// CHECK: llvm.load %{{.*}} {alignment = 8 : i64} : !llvm.ptr -> vector<2xf32>
// CHECK: llvm.load %{{.*}} : !llvm.ptr -> f32
// CHECK-NOT: llvm.load
// CHECK: llvm.store %{{.*}} {alignment = 8 : i64} : vector<2xf32>, !llvm.ptr

weir.pipeline @rows_of_770 stages 1 (%tokens = "tokens" : tensor<64x770xf32>, %labels = "labels" : tensor<64xf32>) {
  %y = weir.forward 0 (%x = %tokens : tensor<64x770xf32>, %s = %labels : tensor<64xf32>) -> tensor<64x770xf32> {
    %e = tensor.empty() : tensor<64x770xf32>
    %b = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
                         iterator_types = ["parallel", "parallel"]}
        ins(%x, %s : tensor<64x770xf32>, tensor<64xf32>) outs(%e : tensor<64x770xf32>) {
    ^bb0(%in: f32, %scale: f32, %out: f32):
      %d = arith.mulf %in, %scale : f32
      linalg.yield %d : f32
    } -> tensor<64x770xf32>
    weir.yield %b : tensor<64x770xf32>
  }
}

// -----

// A product, 2 x 3 = 2 x 4 . 4 x 3, with 4 MiB of workspace in its descriptor; the
// pass has room for aligning it.

// CHECK-LABEL: weir.pipeline @product
// CHECK: workspace = 4194560
// CHECK: llvm.mlir.global internal constant @weir_product_0(dense<[0, 2, 3, 4, 4, 1, 3, 1, 3, 1, 0, 0,
// CHECK-SAME: 0, 4194304]>
// CHECK: llvm.mlir.global internal constant @weir_cuda_products()
// CHECK: llvm.func @f0(%[[CONTEXT:.*]]: !llvm.ptr,
// CHECK: %[[NULL:.*]] = llvm.mlir.zero : !llvm.ptr
// CHECK: llvm.call @weir_cuda_multiply(%[[CONTEXT]], %{{.*}}, %{{.*}}, %{{.*}}, %{{.*}}, %[[NULL]], %[[NULL]], %{{.*}})

weir.pipeline @product stages 1 (%tokens = "tokens" : tensor<2x4xf32>, %labels = "labels" : tensor<4x3xf32>) {
  %y = weir.forward 0 (%a = %tokens : tensor<2x4xf32>, %b = %labels : tensor<4x3xf32>) -> tensor<2x3xf32> {
    %zero = arith.constant dense<0.0> : tensor<2x3xf32>
    %c = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>]
        ins(%a, %b : tensor<2x4xf32>, tensor<4x3xf32>) outs(%zero : tensor<2x3xf32>) -> tensor<2x3xf32>
    weir.yield %c : tensor<2x3xf32>
  }
}
