// RUN: weir-opt %s --convert-weir-to-host --split-input-file | FileCheck %s

#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>

// A row sum holds its 16 lanes in one vector, starts from -0.0, and halves the
// vector at the end; what the output starts from, 0.0, is added last.
// CHECK-LABEL: llvm.func @f0
// CHECK: %[[ZERO:.*]] = llvm.mlir.constant(0.000000e+00 : f32)
// CHECK: dense<-0.000000e+00> : vector<16xf32>
// CHECK: llvm.fadd {{.*}} : vector<16xf32>
// CHECK: llvm.fadd {{.*}} : vector<8xf32>
// CHECK: llvm.fadd {{.*}} : vector<4xf32>
// CHECK: llvm.fadd {{.*}} : vector<2xf32>
// CHECK: llvm.fadd {{.*}} : vector<1xf32>
// CHECK: %[[TOTAL:.*]] = llvm.extractelement
// CHECK: llvm.fadd %[[TOTAL]], %[[ZERO]] : f32
weir.pipeline @rows stages 1 (%x = "x" : tensor<4x64xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4x64xf32>) -> (tensor<4xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<4xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %s = linalg.generic {indexing_maps = [#full, #row], iterator_types = ["parallel", "reduction"]}
        ins(%a : tensor<4x64xf32>) outs(%f : tensor<4xf32>) attrs = {weir.lanes = 16 : i64} {
    ^bb0(%in: f32, %acc: f32):
      %t = arith.addf %acc, %in : f32
      linalg.yield %t : f32
    } -> tensor<4xf32>
    weir.yield %s : tensor<4xf32>
  }
}

// -----

#full = affine_map<(i, j) -> (i, j)>
#column = affine_map<(i, j) -> (j)>

// A column sum of 4 lanes runs over 64 columns at a time.
// CHECK-LABEL: llvm.func @f0
// CHECK-COUNT-4: llvm.fadd {{.*}} : vector<64xf32>
// CHECK: llvm.br
// CHECK-COUNT-4: llvm.fadd {{.*}} : vector<64xf32>
// CHECK: llvm.store {{.*}} : vector<64xf32>
weir.pipeline @columns stages 1 (%x = "x" : tensor<40x128xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<40x128xf32>) -> (tensor<128xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<128xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<128xf32>) -> tensor<128xf32>
    %s = linalg.generic {indexing_maps = [#full, #column], iterator_types = ["reduction", "parallel"]}
        ins(%a : tensor<40x128xf32>) outs(%f : tensor<128xf32>) attrs = {weir.lanes = 4 : i64} {
    ^bb0(%in: f32, %acc: f32):
      %t = arith.addf %acc, %in : f32
      linalg.yield %t : f32
    } -> tensor<128xf32>
    weir.yield %s : tensor<128xf32>
  }
}

// -----

#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>

// exp(x - top) and its row sum are one loop that keeps both; top + top is cheap,
// read once per row, and never stored.
// CHECK-LABEL: weir.forward 0
// CHECK-SAME: attributes {kernel = @f0}
// CHECK: llvm.func @f0
// CHECK-COUNT-1: llvm.store {{.*}} : vector<16xf32>
// CHECK-NOT: llvm.store {{.*}} : vector<16xf32>
// CHECK: llvm.return
weir.pipeline @fused stages 1 (%x = "x" : tensor<4x64xf32>, %m = "m" : tensor<4xf32>) {
  %y, %z = weir.forward 0 (%a = %x : tensor<4x64xf32>, %top = %m : tensor<4xf32>) -> (tensor<4x64xf32>, tensor<4xf32>) {
    %zero = arith.constant 0.0 : f32
    %d = arith.addf %top, %top : tensor<4xf32>
    %e0 = tensor.empty() : tensor<4x64xf32>
    %p = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
        ins(%a, %d : tensor<4x64xf32>, tensor<4xf32>) outs(%e0 : tensor<4x64xf32>) {
    ^bb0(%in: f32, %t: f32, %out: f32):
      %s = arith.subf %in, %t : f32
      %q = arith.divf %s, %in : f32
      linalg.yield %q : f32
    } -> tensor<4x64xf32>
    %e = tensor.empty() : tensor<4xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
    %s = linalg.generic {indexing_maps = [#full, #row], iterator_types = ["parallel", "reduction"]}
        ins(%p : tensor<4x64xf32>) outs(%f : tensor<4xf32>) attrs = {weir.lanes = 16 : i64} {
    ^bb0(%in: f32, %acc: f32):
      %t = arith.addf %acc, %in : f32
      linalg.yield %t : f32
    } -> tensor<4xf32>
    weir.yield %p, %s : tensor<4x64xf32>, tensor<4xf32>
  }
}
