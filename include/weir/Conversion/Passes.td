//===- Passes.td - conversions out of the dialect ----------*- tablegen -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_CONVERSION_PASSES_TD
#define WEIR_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def ConvertWeirToHost : Pass<"convert-weir-to-host", "::mlir::ModuleOp"> {
  let summary = "Compile the passes of the stages to functions of the host";
  let description = [{
    Compiles the body of every pass of every pipeline to a function of the packed
    calling convention, `void (context, buffers)`, in the nested `module
    @weir_kernels`, which afterwards holds the LLVM dialect only. The pass gets
    `kernel`, the function's name, and, if it needs scratch memory, `workspace`,
    its bytes. Passes whose bodies are the same but for the names of variables
    share one function.

    How a body is lowered:

    - `linalg.contract` on f32 and f64 calls `weir_host_product` with a constant
      descriptor; transposes, batches and strides are in the descriptor. If the
      product is a variable's gradient and has no other use, it is added straight
      into the accumulator. The array `weir_products` holds the addresses of all
      descriptors.
    - `weir.scatter_add` onto zeros whose result is only accumulated adds its rows
      straight into the accumulator, in the order of the indices.
    - Everything else becomes vector loops, fused where that saves memory traffic.
      Their rounding is that of `weir-fix-rounding`: fusion, vector width and
      the cut into passes have no influence on it. A reduction without
      `weir.lanes` has 16 lanes.
    - Temporaries get fixed offsets in the workspace by their live ranges; a
      kernel allocates nothing.

    Bodies may hold the ops of the dialect, structured ops of linalg, ops of
    tensor on static shapes, and scalar ops of arith and math, on f32, f64, index
    and integers of 1, 8, 16, 32 or 64 bits. Anything else is an error at the op.
    A product of other types than f32 or f64 throughout becomes loops, with 16
    lanes. Undefined, as in arith: division of integers by 0, and a cast of a
    number that the integer type does not hold.

    A remark of the category `convert-weir-to-host` says for every kernel how many
    ops became how many loops, and one at the end how many passes share how many
    kernels.

    Which of these forms an op takes depends on the op and its users alone, never
    on how the model was cut into stages.

    Example:

    ```mlir
    weir.pipeline @m stages 1 (%tokens = "tokens" : tensor<64xf32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<64xf32>) -> tensor<64xf32> {
        %e = tensor.empty() : tensor<64xf32>
        %b = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>,
                                              affine_map<(i) -> (i)>],
                             iterator_types = ["parallel"]}
            ins(%x : tensor<64xf32>) outs(%e : tensor<64xf32>) {
        ^bb0(%in: f32, %out: f32):
          %d = arith.addf %in, %in : f32
          linalg.yield %d : f32
        } -> tensor<64xf32>
        weir.yield %b : tensor<64xf32>
      }
    }
    ```

    becomes, the body of the pass unchanged:

    ```mlir
    %y = weir.forward 0 (%x = %tokens : tensor<64xf32>) -> tensor<64xf32>
        attributes {kernel = @f0} {
    module @weir_kernels {
      llvm.func @f0(%context: !llvm.ptr, %buffers: !llvm.ptr) {
        ...
        %in = llvm.load %from {alignment = 4 : i64} : !llvm.ptr -> vector<16xf32>
        %d = llvm.fadd %in, %in : vector<16xf32>
        llvm.store %d, %to {alignment = 4 : i64} : vector<16xf32>, !llvm.ptr
    ```
  }];
  let dependentDialects = [
    "::weir::WeirDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
    "::mlir::bufferization::BufferizationDialect",
    "::mlir::cf::ControlFlowDialect", "::mlir::func::FuncDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::tensor::TensorDialect", "::mlir::vector::VectorDialect",
  ];
}

def ConvertGPUToEmulated : Pass<"convert-gpu-to-emulated", "::mlir::ModuleOp"> {
  let summary = "Compile kernels of a GPU for the emulated device";
  let description = [{
    Turns every `gpu.module` into functions of the host beside it, which the
    emulated device of the tests runs with one stack per thread
    (`weir/Emulated.h`), so that barriers, shuffles and shared memory have their
    real meaning. Afterwards the module holds the LLVM dialect only where the
    `gpu.module` was.

    - `gpu.func @f` in `gpu.module @d` becomes the function `@d_f`, which runs one
      thread. Its parameters are addresses: buffers of static shape, dense, or
      `!llvm.ptr`.
    - The ids and sizes of threads, blocks, warps and the grid, and private and
      shared memory of static shape are what the device passes.
    - `gpu.barrier` and `gpu.shuffle` become calls of the device.
    - All memory spaces become one.
    - The constant `@d_image`, a `weir_emulated_image`, lists the kernels in their
      order, by their names in the `gpu.module`; it takes the place of a cubin.

    Other ops of `gpu` and `nvvm` are errors: subgroup and block reductions must
    be lowered to shuffles before. What is not of the GPU is lowered as in
    `convert-weir-to-host`, with the same rounding.

    Example:

    ```mlir
    gpu.module @d {
      gpu.func @double(%x: memref<64xf32>) kernel {
        %i = gpu.thread_id x
        %v = memref.load %x[%i] : memref<64xf32>
        %w = arith.addf %v, %v : f32
        memref.store %w, %x[%i] : memref<64xf32>
        gpu.return
      }
    }
    ```

    becomes

    ```mlir
    llvm.func internal @d_double(%arguments: !llvm.ptr, %thread: !llvm.ptr) {
      %x = llvm.load %arguments : !llvm.ptr -> !llvm.ptr
      %i = llvm.load %thread : !llvm.ptr -> i64
      ...
    llvm.mlir.global external constant @d_image() ...
    ```
  }];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::affine::AffineDialect",
    "::mlir::arith::ArithDialect", "::mlir::cf::ControlFlowDialect",
    "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
  ];
}

#endif // WEIR_CONVERSION_PASSES_TD
