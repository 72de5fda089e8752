// RUN: weir-opt --convert-gpu-to-emulated=report-accesses=false --split-input-file %s | FileCheck %s

// A thread reads its id from the structure that the device passes, and its
// parameters from an array of addresses; the image lists the kernel.

gpu.module @d {
  gpu.func @double(%x: memref<64xf32>, %y: !llvm.ptr) kernel {
    %i = gpu.thread_id x
    %v = memref.load %x[%i] : memref<64xf32>
    %w = arith.addf %v, %v : f32
    %k = arith.index_cast %i : index to i64
    %at = llvm.getelementptr %y[%k] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %w, %at : f32, !llvm.ptr
    gpu.return
  }
}

// CHECK-NOT: {{gpu[.]|unrealized}}
// CHECK: llvm.func internal @d_double(%[[ARGUMENTS:.*]]: !llvm.ptr, %[[THREAD:.*]]: !llvm.ptr)
// CHECK: %[[AT:.*]] = llvm.getelementptr %[[ARGUMENTS]][8]
// CHECK: %[[Y:.*]] = llvm.load %[[AT]] : !llvm.ptr -> !llvm.ptr
// CHECK: %[[I:.*]] = llvm.load %[[THREAD]] : !llvm.ptr -> i64
// CHECK: llvm.fadd
// CHECK: llvm.getelementptr %[[Y]][%[[I]]]
// CHECK: llvm.mlir.global internal constant @d_double_name("double\00")
// CHECK: llvm.mlir.global internal constant @d_kernels()
// CHECK: llvm.mlir.addressof @d_double :
// Two arguments, no shared memory, no stack per thread.
// CHECK: llvm.mlir.constant(2 : i64)
// CHECK: llvm.mlir.constant(0 : i64)
// CHECK: llvm.mlir.constant(0 : i64)
// CHECK: llvm.mlir.global external constant @d_image()
// CHECK: llvm.mlir.constant(3554832441007490391 : i64)

// -----

// Shared memory is the block's, private memory is the function's; barriers are
// told apart by numbers; a shuffle exchanges bits.

gpu.module @d {
  gpu.func @communicate(%x: memref<64xf32>)
      workgroup(%a: memref<3xf32, #gpu.address_space<workgroup>>,
                %b: memref<5xf32, #gpu.address_space<workgroup>>)
      private(%p: memref<2xf32, #gpu.address_space<private>>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : i32
    %c32 = arith.constant 32 : i32
    %v = memref.load %x[%c0] : memref<64xf32>
    %s, %valid = gpu.shuffle xor %v, %c1, %c32 : f32
    memref.store %s, %p[%c0] : memref<2xf32, #gpu.address_space<private>>
    memref.store %s, %b[%c0] : memref<5xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    %w = memref.load %a[%c0] : memref<3xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    memref.store %w, %x[%c0] : memref<64xf32>
    gpu.return
  }
}

// CHECK-LABEL: llvm.func internal @d_communicate
// CHECK-SAME: %[[THREAD:[^ ]*]]: !llvm.ptr)
// CHECK: %[[SECOND:.*]] = llvm.mlir.constant(2 : i64)
// CHECK: %[[FIRST:.*]] = llvm.mlir.constant(1 : i64)
// `shared` follows 12 numbers; the second buffer is at the next multiple of 64.
// CHECK: llvm.getelementptr %[[THREAD]][96]
// CHECK: llvm.getelementptr {{.*}}[64]
// CHECK: llvm.alloca {{.*}} x f32 {alignment = 64
// CHECK: %[[BITS:.*]] = llvm.bitcast {{.*}} : f32 to i32
// CHECK: %[[WIDE:.*]] = llvm.zext %[[BITS]] : i32 to i64
// CHECK: llvm.call @weir_emulated_shuffle(%[[THREAD]], %{{.*}}, %{{.*}}, %[[WIDE]]
// CHECK: llvm.call @weir_emulated_barrier(%[[THREAD]], %[[FIRST]])
// CHECK: llvm.call @weir_emulated_barrier(%[[THREAD]], %[[SECOND]])
// 64 + 20 bytes of shared memory and a stack per thread.
// CHECK: llvm.mlir.addressof @d_communicate :
// CHECK: llvm.mlir.constant(1 : i64)
// CHECK: llvm.mlir.constant(84 : i64)
// CHECK: llvm.mlir.constant(1 : i64)

// -----

// Inside of the module of a host's functions, these stay, and what both declare
// is declared once.

module @weir_kernels {
  llvm.func @tanhf(f32) -> f32
  llvm.func @f0(%context: !llvm.ptr, %buffers: !llvm.ptr) {
    llvm.return
  }
  gpu.module @weir_device {
    memref.global "private" constant @table : memref<2xf32> = dense<[1.0, 2.0]>
    gpu.func @k(%x: memref<2xf32>) kernel {
      %i = gpu.lane_id
      %table = memref.get_global @table : memref<2xf32>
      %v = vector.load %table[%i] : memref<2xf32>, vector<2xf32>
      %w = math.tanh %v : vector<2xf32>
      vector.store %w, %x[%i] : memref<2xf32>, vector<2xf32>
      gpu.return
    }
  }
}

// CHECK-LABEL: module @weir_kernels
// CHECK: llvm.func @tanhf(f32) -> f32
// CHECK-NOT: llvm.func{{.*}} @tanhf
// CHECK: llvm.func @f0
// CHECK-NOT: llvm.func{{.*}} @tanhf
// CHECK: llvm.mlir.global private constant @table
// CHECK: llvm.func internal @weir_device_k
// CHECK: llvm.mlir.global external constant @weir_device_image
