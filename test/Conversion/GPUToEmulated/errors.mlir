// RUN: weir-opt --convert-gpu-to-emulated --split-input-file --verify-diagnostics %s

// What must have been lowered to shuffles before.
gpu.module @d {
  gpu.func @k(%x: memref<1xf32>) kernel {
    %c0 = arith.constant 0 : index
    %v = memref.load %x[%c0] : memref<1xf32>
    // expected-error@+1 {{'gpu.subgroup_reduce' op has no form on the emulated device}}
    %sum = gpu.subgroup_reduce add %v : (f32) -> f32
    memref.store %sum, %x[%c0] : memref<1xf32>
    gpu.return
  }
}

// -----

// Parameters other than addresses.
gpu.module @d {
  // expected-error@+1 {{'gpu.func' op parameter 1 is no address, as all parameters of kernels are}}
  gpu.func @k(%x: memref<1xf32>, %n: index) kernel {
    gpu.return
  }
}

// -----

// Buffers whose size is not known.
gpu.module @d {
  // expected-error@+1 {{'gpu.func' op parameter 0 is no dense buffer of static shape}}
  gpu.func @k(%x: memref<?xf32>) kernel {
    gpu.return
  }
}

// -----

// A function that the host has already.
// expected-note@+1 {{the other symbol}}
llvm.func @d_k() {
  llvm.return
}
gpu.module @d {
  // expected-error@+1 {{'llvm.func' op has the name of another symbol of the host}}
  gpu.func @k() kernel {
    gpu.return
  }
}
