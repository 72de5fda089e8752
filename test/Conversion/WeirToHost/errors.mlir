// RUN: weir-opt %s --convert-weir-to-host --split-input-file --verify-diagnostics

#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>

// The order of a fold that is not by one known op is not defined.
weir.pipeline @fold stages 1 (%x = "x" : tensor<4x8xf32>, %i = "i" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4x8xf32>, %b = %i : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{reduces in a way that is not known: an output must be the fold of elements by one commutative op}}
    %s = linalg.generic {indexing_maps = [#full, #row], iterator_types = ["parallel", "reduction"]}
        ins(%a : tensor<4x8xf32>) outs(%b : tensor<4xf32>) {
    ^bb0(%in: f32, %acc: f32):
      %t = arith.subf %acc, %in : f32
      linalg.yield %t : f32
    } -> tensor<4xf32>
    weir.yield %s : tensor<4xf32>
  }
}

// -----

#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>

weir.pipeline @lanes stages 1 (%x = "x" : tensor<4x8xf32>, %i = "i" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4x8xf32>, %b = %i : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{has weir.lanes = 12, not a power of two}}
    %s = linalg.generic {indexing_maps = [#full, #row], iterator_types = ["parallel", "reduction"]}
        ins(%a : tensor<4x8xf32>) outs(%b : tensor<4xf32>) attrs = {weir.lanes = 12 : i64} {
    ^bb0(%in: f32, %acc: f32):
      %t = arith.addf %acc, %in : f32
      linalg.yield %t : f32
    } -> tensor<4xf32>
    weir.yield %s : tensor<4xf32>
  }
}

// -----

// Ops that no step knows are named.
weir.pipeline @unknown stages 1 (%x = "x" : tensor<4xf32>, %i = "i" : tensor<4x1xi32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>, %b = %i : tensor<4x1xi32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{op was not bufferized}}
    %s = tensor.scatter %a into %a[%b] scatter_dims([0]) unique : (tensor<4xf32>, tensor<4xf32>, tensor<4x1xi32>) -> tensor<4xf32>
    weir.yield %s : tensor<4xf32>
  }
}

// -----

#id = affine_map<(i) -> (i)>

weir.pipeline @body stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    %e = tensor.empty() : tensor<4xf32>
    %s = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
        ins(%a : tensor<4xf32>) outs(%e : tensor<4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %zero = arith.constant 0.0 : f32
      %c = arith.cmpf ogt, %in, %zero : f32
      // expected-error@+1 {{cannot be compiled for the host}}
      %t = scf.if %c -> f32 {
        scf.yield %in : f32
      } else {
        scf.yield %zero : f32
      }
      linalg.yield %t : f32
    } -> tensor<4xf32>
    weir.yield %s : tensor<4xf32>
  }
}
