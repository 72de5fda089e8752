// RUN: weir-opt %s --convert-weir-to-cuda --split-input-file --verify-diagnostics

// Ops that no kernel can run name the target.

weir.pipeline @print stages 1 (%x = "x" : tensor<8xf32>) {
  weir.forward 0 (%a = %x : tensor<8xf32>) {
    %c = arith.constant 0 : index
    %v = tensor.extract %a[%c] : tensor<8xf32>
    // expected-error@+1 {{'vector.print' op cannot be compiled for CUDA}}
    vector.print %v : f32
    weir.yield
  }
}

// -----

// So do types.

weir.pipeline @half stages 1 (%x = "x" : tensor<8xf16>) {
  %y = weir.forward 0 (%a = %x : tensor<8xf16>) -> tensor<8xf32> {
    // expected-error@+1 {{'arith.extf' op cannot be compiled for CUDA: it has a value of type 'tensor<8xf16>'}}
    %b = arith.extf %a : tensor<8xf16> to tensor<8xf32>
    weir.yield %b : tensor<8xf32>
  }
}

// -----

// A product needs its operands where the host knows them.

weir.pipeline @slice stages 1 (%x = "x" : tensor<9x4xf32>, %i = "i" : tensor<1xindex>) {
  %y = weir.forward 0 (%a = %x : tensor<9x4xf32>, %n = %i : tensor<1xindex>) -> tensor<3x3xf32> {
    %c = arith.constant 0 : index
    %p = tensor.extract %n[%c] : tensor<1xindex>
    %s = tensor.extract_slice %a[%p, 0] [3, 4] [1, 1] : tensor<9x4xf32> to tensor<3x4xf32>
    %zero = arith.constant dense<0.0> : tensor<3x3xf32>
    // expected-error@+1 {{'linalg.contract' op cannot be compiled for CUDA: it has a slice at a position that is known on the device only}}
    %m = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>]
        ins(%s, %s : tensor<3x4xf32>, tensor<3x4xf32>) outs(%zero : tensor<3x3xf32>) -> tensor<3x3xf32>
    weir.yield %m : tensor<3x3xf32>
  }
}
