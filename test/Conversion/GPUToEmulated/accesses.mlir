// RUN: weir-opt --convert-gpu-to-emulated %s | FileCheck %s

// Accesses to buffers are said in front of them, each place under its number;
// those to private memory and constants are not. A lane that is masked out
// touches no bytes.

gpu.module @d {
  memref.global "private" constant @table : memref<2xf32> = dense<[1.0, 2.0]>
  gpu.func @k(%x: memref<64xf32>, %y: memref<64xf32>)
      private(%p: memref<2xf32, #gpu.address_space<private>>) kernel {
    %i = gpu.thread_id x
    %two = arith.constant 2 : index
    %zero = arith.constant dense<0.0> : vector<2xf32>
    %table = memref.get_global @table : memref<2xf32>
    %t = memref.load %table[%i] : memref<2xf32>
    memref.store %t, %p[%i] : memref<2xf32, #gpu.address_space<private>>
    %v = vector.load %x[%i] : memref<64xf32>, vector<2xf32>
    %mask = vector.create_mask %i : vector<2xi1>
    vector.maskedstore %y[%i], %mask, %v
        : memref<64xf32>, vector<2xi1>, vector<2xf32>
    gpu.return
  }
}

// CHECK: llvm.func internal @d_k(%{{.*}}: !llvm.ptr, %[[THREAD:.*]]: !llvm.ptr)
// CHECK-NOT: llvm.call
// CHECK: %[[AT:.*]] = llvm.getelementptr %{{.*}} : (!llvm.ptr, i64) -> !llvm.ptr, f32
// CHECK-NEXT: %[[EIGHT:.*]] = llvm.mlir.constant(8 : i64)
// CHECK-NEXT: %[[SITE:.*]] = llvm.mlir.constant(0 : i64)
// CHECK-NEXT: %[[READ:.*]] = llvm.mlir.constant(0 : i64)
// CHECK-NEXT: llvm.call @weir_emulated_access(%[[THREAD]], %[[SITE]], %[[AT]], %[[EIGHT]], %[[READ]])
// CHECK-NEXT: llvm.load %[[AT]] {{.*}} -> vector<2xf32>
// CHECK: %[[FOUR:.*]] = llvm.mlir.constant(4 : i64)
// CHECK: %[[BYTES:.*]] = llvm.select %{{.*}}, %[[FOUR]], %{{.*}} : i1, i64
// CHECK: llvm.call @weir_emulated_access(%[[THREAD]], %{{.*}}, %{{.*}}, %[[BYTES]]
// CHECK: llvm.select
// CHECK: llvm.call @weir_emulated_access
// CHECK: llvm.intr.masked.store
// CHECK-NOT: llvm.call @weir_emulated_access
// The image says so: two arguments, no shared memory, and the flag.
// CHECK: llvm.mlir.global internal constant @d_kernels
// CHECK: llvm.mlir.constant(2 : i64)
// CHECK: llvm.mlir.constant(0 : i64)
// CHECK: llvm.mlir.constant(2 : i64)
