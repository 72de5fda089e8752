//===- CompiledKernelTest.cpp - kernels of gpu.func -----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What convert-gpu-to-emulated makes of kernels, run by the emulated device.
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"
#include "EmulatedControl.h"
#include "weir/Conversion/Passes.h"
#include "weir/Emulated.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/Support/TargetSelect.h"

#include <cmath>
#include <numeric>

using namespace mlir;

namespace {

/// Kernels of a `gpu.module @d` with this body, loaded on the device.
class Kernels {
public:
  explicit Kernels(const std::string &body) {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    registerBuiltinDialectTranslation(context);
    registerLLVMDialectTranslation(context);
    context.loadDialect<arith::ArithDialect, gpu::GPUDialect, LLVM::LLVMDialect,
                        math::MathDialect, memref::MemRefDialect,
                        scf::SCFDialect, vector::VectorDialect>();
    auto module = parseSourceString<ModuleOp>(
        "gpu.module @d {\n" + body + "\n}\n", &context);
    PassManager manager(&context);
    manager.addPass(weir::createConvertGPUToEmulated());
    if (!module || failed(manager.run(*module)))
      return;
    auto optimize = makeOptimizingTransformer(2, 0, nullptr);
    ExecutionEngineOptions options;
    options.transformer = optimize;
    auto made = ExecutionEngine::create(*module, options);
    if (!made) {
      ADD_FAILURE() << llvm::toString(made.takeError());
      return;
    }
    engine = std::move(*made);
    engine->registerSymbols([](llvm::orc::MangleAndInterner intern) {
      llvm::orc::SymbolMap symbols;
      auto add = [&](llvm::StringRef name, auto *function) {
        symbols[intern(name)] = {llvm::orc::ExecutorAddr::fromPtr(function),
                                 llvm::JITSymbolFlags::Exported};
      };
      add("weir_emulated_access", &weir_emulated_access);
      add("weir_emulated_barrier", &weir_emulated_barrier);
      add("weir_emulated_shuffle", &weir_emulated_shuffle);
      return symbols;
    });
    auto image = engine->lookup("d_image");
    if (!image) {
      ADD_FAILURE() << llvm::toString(image.takeError());
      return;
    }
    EXPECT_EQ(cudaLibraryLoadData(&library, *image, nullptr, nullptr, 0,
                                  nullptr, nullptr, 0),
              cudaSuccess);
  }
  ~Kernels() {
    if (library)
      cudaLibraryUnload(library);
    cudaStreamDestroy(stream);
  }

  /// Runs a kernel to its end.
  cudaError_t run(const char *name, dim3 grid, dim3 block,
                  std::vector<void *> arguments) {
    cudaKernel_t kernel;
    if (!library || cudaLibraryGetKernel(&kernel, library, name))
      return cudaErrorSymbolNotFound;
    std::vector<void *> addresses;
    for (void *&argument : arguments)
      addresses.push_back(&argument);
    if (cudaError_t error =
            cudaLaunchKernel(kernel, grid, block, addresses.data(), 0, stream))
      return error;
    return cudaStreamSynchronize(stream);
  }

private:
  MLIRContext context;
  std::unique_ptr<ExecutionEngine> engine;
  cudaLibrary_t library = nullptr;
  cudaStream_t stream = newStream();
};

} // namespace

// Every id and size, in three dimensions.
TEST(CompiledKernel, Ids) {
  std::string body = R"(
  gpu.func @ids(%out: memref<48x16xindex>) kernel {
    %tx = gpu.thread_id x
    %ty = gpu.thread_id y
    %tz = gpu.thread_id z
    %bx = gpu.block_id x
    %by = gpu.block_id y
    %bz = gpu.block_id z
    %dx = gpu.block_dim x
    %dy = gpu.block_dim y
    %dz = gpu.block_dim z
    %gx = gpu.grid_dim x
    %gy = gpu.grid_dim y
    %gz = gpu.grid_dim z
    %lane = gpu.lane_id
    %subgroup = gpu.subgroup_id : index
    %subgroups = gpu.num_subgroups : index
    %global = gpu.global_id y
    %c3 = arith.constant 3 : index
    %c4 = arith.constant 4 : index
    %zy = arith.muli %tz, %c4 : index
    %zy1 = arith.addi %zy, %ty : index
    %zyx = arith.muli %zy1, %c3 : index
    %row = arith.addi %zyx, %tx : index
)";
  const char *names[] = {"tx",   "ty",       "tz",        "bx",    "by", "bz",
                         "dx",   "dy",       "dz",        "gx",    "gy", "gz",
                         "lane", "subgroup", "subgroups", "global"};
  for (int i = 0; i < 16; ++i) {
    std::string number = std::to_string(i);
    body += "    %at" + number + " = arith.constant " + number +
            " : index\n    memref.store %" + names[i] + ", %out[%row, %at" +
            number + "] : memref<48x16xindex>\n";
  }
  Kernels kernels(body + "    gpu.return\n  }");
  DeviceVector<int64_t> out(48 * 16);
  ASSERT_EQ(kernels.run("ids", dim3(1, 1, 1), dim3(3, 4, 4), {out.data}),
            cudaSuccess);
  for (int64_t z = 0; z < 4; ++z)
    for (int64_t y = 0; y < 4; ++y)
      for (int64_t x = 0; x < 3; ++x) {
        int64_t row = (z * 4 + y) * 3 + x;
        std::vector<int64_t> expected = {x, y, z, 0, 0,        0,        3, 4,
                                         4, 1, 1, 1, row % 32, row / 32, 2, y};
        EXPECT_EQ(
            std::vector<int64_t>(out.data + row * 16, out.data + row * 16 + 16),
            expected);
      }
}

// Rows are summed by shuffles in warps and shared memory between them, each in
// a block of its own; a softmax in a loop over rows uses the same memory again.
TEST(CompiledKernel, BlockReduction) {
  Kernels kernels(R"(
  gpu.func @sum(%x: memref<24x96xf32>, %y: memref<24xf32>)
      workgroup(%partial: memref<3xf32, #gpu.address_space<workgroup>>) kernel {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c4 = arith.constant 4 : index
    %c5 = arith.constant 5 : index
    %c16 = arith.constant 16 : i32
    %w = arith.constant 32 : i32
    %one = arith.constant 1 : i32
    %tx = gpu.thread_id x
    %bx = gpu.block_id x
    %lane = gpu.lane_id
    %warp = gpu.subgroup_id : index
    %first = arith.cmpi eq, %lane, %c0 : index
    scf.for %r = %c0 to %c4 step %c1 {
      %b4 = arith.muli %bx, %c4 : index
      %row = arith.addi %b4, %r : index
      %v = memref.load %x[%row, %tx] : memref<24x96xf32>
      %s:2 = scf.for %i = %c0 to %c5 step %c1
          iter_args(%sum = %v, %offset = %c16) -> (f32, i32) {
        %other, %valid = gpu.shuffle xor %sum, %offset, %w : f32
        %added = arith.addf %sum, %other : f32
        %half = arith.shrui %offset, %one : i32
        scf.yield %added, %half : f32, i32
      }
      scf.if %first {
        memref.store %s#0, %partial[%warp]
            : memref<3xf32, #gpu.address_space<workgroup>>
      }
      gpu.barrier
      %p0 = memref.load %partial[%c0]
          : memref<3xf32, #gpu.address_space<workgroup>>
      %p1 = memref.load %partial[%c1]
          : memref<3xf32, #gpu.address_space<workgroup>>
      %p2 = memref.load %partial[%c2]
          : memref<3xf32, #gpu.address_space<workgroup>>
      %t = arith.addf %p0, %p1 : f32
      %total = arith.addf %t, %p2 : f32
      memref.store %total, %y[%row] : memref<24xf32>
      gpu.barrier
    }
    gpu.return
  })");
  std::vector<float> numbers(24 * 96);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  DeviceVector<float> x(numbers), y(24);
  ASSERT_EQ(kernels.run("sum", 6, 96, {x.data, y.data}), cudaSuccess);
  for (int row = 0; row < 24; ++row)
    EXPECT_EQ(y.data[row], 96.0f * 96 * float(row) + 95 * 48);
}

// Vectors of 16 bytes, math, private memory, and a pointer in place of a
// buffer.
TEST(CompiledKernel, VectorsAndPrivateMemory) {
  Kernels kernels(R"(
  gpu.func @tanh(%x: memref<256xf32>, %y: !llvm.ptr)
      private(%p: memref<4xf32, #gpu.address_space<private>>) kernel {
    %c0 = arith.constant 0 : index
    %c4 = arith.constant 4 : index
    %id = gpu.global_id x
    %at = arith.muli %id, %c4 : index
    %v = vector.load %x[%at] {alignment = 16} : memref<256xf32>, vector<4xf32>
    %t = math.tanh %v : vector<4xf32>
    vector.store %t, %p[%c0]
        : memref<4xf32, #gpu.address_space<private>>, vector<4xf32>
    %u = vector.load %p[%c0]
        : memref<4xf32, #gpu.address_space<private>>, vector<4xf32>
    %i = arith.index_cast %at : index to i64
    %to = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
    llvm.store %u, %to {alignment = 16 : i64} : vector<4xf32>, !llvm.ptr
    gpu.return
  })");
  DeviceVector<float> x(256), y(256);
  for (int i = 0; i < 256; ++i)
    x.data[i] = float(i - 128) / 32;
  ASSERT_EQ(kernels.run("tanh", 2, 32, {x.data, y.data}), cudaSuccess);
  for (int i = 0; i < 256; ++i)
    EXPECT_NEAR(y.data[i], std::tanh(x.data[i]), 1e-6);
}

// A barrier under a condition that differs between threads is an error that
// names the kernel.
TEST(CompiledKernel, DivergentBarrier) {
  Kernels kernels(R"(
  gpu.func @half(%x: memref<1xf32>) kernel {
    %c32 = arith.constant 32 : index
    %tx = gpu.thread_id x
    %low = arith.cmpi ult, %tx, %c32 : index
    scf.if %low {
      gpu.barrier
    } else {
      gpu.barrier
    }
    gpu.return
  })");
  DeviceVector<float> x(1);
  EXPECT_EQ(kernels.run("half", 1, 64, {x.data}), cudaErrorLaunchFailure);
  EXPECT_STREQ(weir_emulated_message(0),
               "kernel half: thread 0 waits at barrier 0 while thread 32 waits "
               "at barrier 1");
  weir_emulated_reset_device(0);
}
