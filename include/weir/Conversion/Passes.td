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
    - Before each access to memory that may be the device's, a call says what it
      touches, so that the device can check races if it is asked to
      (`report-accesses`).
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
  let options = [
    Option<"reportAccesses", "report-accesses", "bool", /*default=*/"true",
           "Let kernels say what memory they touch">,
  ];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::affine::AffineDialect",
    "::mlir::arith::ArithDialect", "::mlir::cf::ControlFlowDialect",
    "::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
  ];
}

def ConvertWeirToCUDA : Pass<"convert-weir-to-cuda", "::mlir::ModuleOp"> {
  let summary = "Compile the passes of the stages to kernels of CUDA devices";
  let description = [{
    Compiles the body of every pass of every pipeline for a CUDA device. The
    nested `module @weir_kernels` afterwards holds

    - for every pass a host function of the packed calling convention, `void
      (context, buffers)`, in the LLVM dialect, that puts kernels and matrix
      products on the compute stream (weir/Cuda.h) and returns without waiting.
      It allocates nothing and asks the device nothing;
    - `gpu.module @weir_device` with the kernels, which `weir-lower-device` lowers
      further. For an `arch` of the form `sm_90a` it has an `#nvvm.target`; any
      other arch names a target that takes the kernels as they are;
    - `weir_cuda_products`, an array of the addresses of all descriptors of
      products. The attribute `weir.device_kernels` lists the names of the
      kernels in the order of the numbers in the descriptors of launches.

    Passes get `kernel` and `workspace` as in `convert-weir-to-host`, which does
    the same on the way: products from `linalg.contract`, accumulated in place;
    elementwise ops fused; temporaries at fixed offsets in the workspace. After
    the temporaries the workspace has room for what products and reductions
    need meanwhile.

    A kernel is a `gpu.func` of at most 32 `!llvm.ptr`, addresses on the device.
    It consists of ops of arith, math and scf on scalars of at most 64 bits;
    `gpu.thread_id x`, `gpu.block_id x` and `y`, `gpu.barrier` in control flow that
    is the same for all threads of a block, `gpu.shuffle xor` of 32 bits and
    width 32 that all threads reach; loads and stores of the LLVM dialect with
    `llvm.getelementptr`, `llvm.extractelement` and `llvm.insertelement` on vectors
    of 2 or 4; `memref.load` and `memref.store` on workgroup attributions;
    `llvm.mlir.addressof` of constants of the module. The block size is
    `known_block_size`, 256 x 1 x 1. Equal kernels are one.

    Products are those that cuBLASLt can take: a matrix of each operand must be
    dense in one dimension; others become loops. With `fuse-bias`, a product
    that nothing reads but an op that adds a row of a parameter to it has the
    row as its bias. The library may then choose another algorithm, which adds in
    another order, so that bits depend on whether the model is cut between the
    two.

    - An op without a reduction has one thread for every 16 bytes of neighbours
      where all of them can be loaded at once, else for fewer or single elements.
    - A reduction of the innermost dimension gives each result to 1 to 32
      threads, or to a block, that add shuffled partial results; another
      reduction gives neighbouring results to neighbouring threads, and the
      results of the threads of a block are added in its memory. If there are too
      few results to fill a device, the reduced elements are split over
      several blocks, and a second kernel adds their results.
      Which element goes to which thread, and the order of all additions, follow
      from the sizes of the op's dimensions alone: no atomics, and the same bits
      every time and for every cut.
    - `weir.scatter_add` adds the rows of an index in the order of the indices:
      every block takes a share of the table's rows, and looks at all indices.
    - What else remains (`tensor.insert`, loops over slices at positions that are
      known later) runs in one block, op by op.

    What bodies may hold, and what is undefined, is as for the host. Sums are not
    those of the host to the last bit.

    Example: the pass

    ```mlir
    weir.pipeline @m stages 1 (%tokens = "tokens" : tensor<4096xf32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<4096xf32>) -> tensor<4096xf32> {
        %e = tensor.empty() : tensor<4096xf32>
        %b = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>,
                                              affine_map<(i) -> (i)>],
                             iterator_types = ["parallel"]}
            ins(%x : tensor<4096xf32>) outs(%e : tensor<4096xf32>) {
        ^bb0(%in: f32, %out: f32):
          %d = arith.addf %in, %in : f32
          linalg.yield %d : f32
        } -> tensor<4096xf32>
        weir.yield %b : tensor<4096xf32>
      }
    }
    ```

    becomes

    ```mlir
    module @weir_kernels attributes {weir.device_kernels = ["elementwise_0"]} {
      gpu.module @weir_device [#nvvm.target<chip = "sm_90a", ...>] {
        gpu.func @elementwise_0(%x: !llvm.ptr, %y: !llvm.ptr) kernel
            attributes {known_block_size = array<i32: 256, 1, 1>} {
          ...
          %in = llvm.load %from {alignment = 16 : i64} : !llvm.ptr -> vector<4xf32>
          ...
      llvm.func @f0(%context: !llvm.ptr, %buffers: !llvm.ptr) {
        ...
        llvm.call @weir_cuda_launch_kernel(%context, %launch, %arguments)
    ```
  }];
  let options = [
    Option<"arch", "arch", "std::string", /*default=*/"\"sm_90a\"",
           "What the kernels are for, such as sm_90a">,
    Option<"productWorkspace", "product-workspace", "int64_t",
           /*default=*/"4 << 20",
           "Bytes of the workspace of a pass with products that these may use">,
    Option<"fuseBias", "fuse-bias", "bool", /*default=*/"false",
           "Let products add the rows that are added to them alone, where both "
           "are in one pass">,
  ];
  let dependentDialects = [
    "::weir::WeirDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::NVVM::NVVMDialect", "::mlir::affine::AffineDialect",
    "::mlir::arith::ArithDialect", "::mlir::bufferization::BufferizationDialect",
    "::mlir::cf::ControlFlowDialect", "::mlir::func::FuncDialect",
    "::mlir::gpu::GPUDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::tensor::TensorDialect",
    "::mlir::vector::VectorDialect",
  ];
}

def WeirLowerDevice : Pass<"weir-lower-device", "::mlir::gpu::GPUModuleOp"> {
  let summary = "Lower the kernels of a CUDA device to NVVM";
  let description = [{
    Lowers a module that `convert-weir-to-cuda` made to the LLVM and NVVM dialects,
    for `gpu-module-to-binary` to compile. Functions of math without an
    instruction call libdevice. Square roots and divisions are rounded as IEEE
    says, and no multiplication is contracted with an addition, so that kernels
    give the same bits however ops were fused.

    Example:

    ```mlir
    gpu.module @weir_device {
      gpu.func @exponential(%x: !llvm.ptr) kernel
          attributes {known_block_size = array<i32: 256, 1, 1>} {
        %a = llvm.load %x : !llvm.ptr -> f32
        %b = math.exp %a : f32
        llvm.store %b, %x : f32, !llvm.ptr
        gpu.return
      }
    }
    ```

    becomes

    ```mlir
    gpu.module @weir_device {
      llvm.func @__nv_expf(f32) -> f32
      llvm.func @exponential(%x: !llvm.ptr)
          attributes {..., nvvm.kernel, nvvm.maxntid = array<i32: 256, 1, 1>} {
        %a = llvm.load %x : !llvm.ptr -> f32
        %b = llvm.call @__nv_expf(%a) : (f32) -> f32
        llvm.store %b, %x : f32, !llvm.ptr
        llvm.return
    ```
  }];
  let dependentDialects = [
    "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::cf::ControlFlowDialect", "::mlir::vector::VectorDialect",
  ];
}

#endif // WEIR_CONVERSION_PASSES_TD
