// RUN: weir-opt %s --pass-pipeline='builtin.module(convert-weir-to-cuda{arch=sm_80},builtin.module(gpu.module(weir-lower-device)))' | FileCheck %s

// In NVVM kernels know their block size, functions of math are those of libdevice,
// square roots and divisions are exact, shuffles are of a whole warp, and nothing
// may be contracted.

// CHECK: gpu.module @weir_device [#nvvm.target<chip = "sm_80"
// CHECK-DAG: llvm.func @__nv_logf(f32) -> f32
// CHECK: llvm.func @rows_0(%{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr)
// CHECK-SAME: nvvm.kernel
// CHECK-SAME: nvvm.maxntid = array<i32: 256, 1, 1>
// CHECK: nvvm.read.ptx.sreg.tid.x
// CHECK: llvm.load {{.*}} {alignment = 16 : i64} : !llvm.ptr -> vector<4xf32>
// CHECK-NOT: fastmath
// CHECK: llvm.call @__nv_logf
// CHECK: llvm.call @__nv_sqrtf
// CHECK: llvm.fdiv
// CHECK-NOT: fastmath
// CHECK: nvvm.shfl.sync bfly
// CHECK: llvm.return
weir.pipeline @rows stages 1 (%x = "x" : tensor<64x768xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<64x768xf32>) -> (tensor<64xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<64xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<64xf32>) -> tensor<64xf32>
    %s = linalg.generic {indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
                         iterator_types = ["parallel", "reduction"]}
        ins(%a : tensor<64x768xf32>) outs(%f : tensor<64xf32>) {
    ^bb0(%in: f32, %acc: f32):
      %l = math.log %in fastmath<fast> : f32
      %r = math.sqrt %in : f32
      %d = arith.divf %l, %r : f32
      %t = arith.addf %acc, %d : f32
      linalg.yield %t : f32
    } -> tensor<64xf32>
    weir.yield %s : tensor<64xf32>
  }
}
