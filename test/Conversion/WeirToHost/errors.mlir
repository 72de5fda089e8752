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
    // expected-error@+1 {{has weir.lanes = 12, not a power of two up to 1024}}
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
    // expected-error@+1 {{'tensor.scatter' op cannot be compiled for the host}}
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

// -----

// Kernels know every size.
weir.pipeline @dynamic stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{cannot be compiled for the host: it has a value of type 'tensor<?xf32>', where kernels take f32, f64, index and integers of 1, 8, 16, 32 or 64 bits, and tensors of these of static shape with at least one element and at most 2^48 bytes}}
    %b = tensor.cast %a : tensor<4xf32> to tensor<?xf32>
    %c = tensor.cast %b : tensor<?xf32> to tensor<4xf32>
    weir.yield %c : tensor<4xf32>
  }
}

// -----

// And every rank.
weir.pipeline @unranked stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{it has a value of type 'tensor<*xf32>'}}
    %b = tensor.cast %a : tensor<4xf32> to tensor<*xf32>
    %c = tensor.cast %b : tensor<*xf32> to tensor<4xf32>
    weir.yield %c : tensor<4xf32>
  }
}

// -----

// Bytes of a temporary that overflow are not taken for few.
weir.pipeline @huge stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{it has a value of type 'tensor<4x4294967296x4294967296xf32>'}}
    %e = tensor.empty() : tensor<4x4294967296x4294967296xf32>
    %b = linalg.broadcast ins(%a : tensor<4xf32>) outs(%e : tensor<4x4294967296x4294967296xf32>) dimensions = [1, 2]
    %r = linalg.reduce {arith.addf} ins(%b : tensor<4x4294967296x4294967296xf32>) outs(%a : tensor<4xf32>) dimensions = [1, 2]
    weir.yield %r : tensor<4xf32>
  }
}

// -----

// A slice of nothing.
weir.pipeline @empty stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{it has a value of type 'tensor<0xf32>'}}
    %b = tensor.extract_slice %a[0] [0] [1] : tensor<4xf32> to tensor<0xf32>
    %c = tensor.concat dim(0) %a, %b : (tensor<4xf32>, tensor<0xf32>) -> tensor<4xf32>
    weir.yield %c : tensor<4xf32>
  }
}

// -----

// Elements of complex<f32>.
weir.pipeline @element_complex stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{it has a value of type 'tensor<4xcomplex<f32>>'}}
    %e = tensor.empty() : tensor<4xcomplex<f32>>
    weir.yield %a : tensor<4xf32>
  }
}

// -----

// Elements of vector<2xf32>.
weir.pipeline @element_vector stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{it has a value of type 'tensor<4xvector<2xf32>>'}}
    %e = tensor.empty() : tensor<4xvector<2xf32>>
    weir.yield %a : tensor<4xf32>
  }
}

// -----

// Elements of bf16.
weir.pipeline @element_bf16 stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{it has a value of type 'tensor<4xbf16>'}}
    %e = tensor.empty() : tensor<4xbf16>
    weir.yield %a : tensor<4xf32>
  }
}

// -----

// Elements of i4.
weir.pipeline @element_i4 stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{it has a value of type 'tensor<4xi4>'}}
    %e = tensor.empty() : tensor<4xi4>
    weir.yield %a : tensor<4xf32>
  }
}

// -----

// Bodies have no control flow.
weir.pipeline @control stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    // expected-error@+1 {{'scf.for' op cannot be compiled for the host}}
    %b = scf.for %i = %zero to %one step %one iter_args(%t = %a) -> tensor<4xf32> {
      scf.yield %t : tensor<4xf32>
    }
    weir.yield %b : tensor<4xf32>
  }
}

// -----

// And no memory of their own.
weir.pipeline @memory stages 1 (%x = "x" : tensor<4xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4xf32>) -> (tensor<4xf32>) {
    // expected-error@+1 {{'memref.alloc' op cannot be compiled for the host}}
    %m = memref.alloc() : memref<4xf32>
    %b = bufferization.to_tensor %m restrict : memref<4xf32> to tensor<4xf32>
    weir.yield %b : tensor<4xf32>
  }
}
