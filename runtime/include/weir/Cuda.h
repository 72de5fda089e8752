//===- weir/Cuda.h - programs for CUDA devices -------------------*- C -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the compiler and the CUDA runtime agree on beyond weir/Program.h. The
// program table is the same as for the host. A compiled pass is a host function
// of the packed calling convention whose buffers are device addresses: it puts
// kernels and matrix products on the compute stream of its rank, in order, and
// returns without waiting for them. It may be called while the stream is being
// captured into a graph, so it allocates nothing and asks the device nothing.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_CUDA_H
#define WEIR_CUDA_H

#include "weir/Program.h"

#ifdef __cplusplus
extern "C" {
#endif

/// The most addresses that a kernel takes.
#define WEIR_CUDA_MAX_ARGUMENTS 32

/// A launch of a kernel, the same in every call: compiled code holds these as
/// constants.
typedef struct weir_cuda_launch {
  int64_t kernel; /* into weir_cuda_module.kernel_names */
  int64_t grid[3], block[3];
  int64_t shared_bytes;  /* dynamic shared memory */
  int64_t num_arguments; /* at most WEIR_CUDA_MAX_ARGUMENTS */
  /* What it reads and writes, every byte once; 0 if that is not known. */
  int64_t bytes;
} weir_cuda_launch;

/// Puts a kernel on the compute stream. Its parameters are the
/// `launch->num_arguments` device addresses in `arguments`, which are copied. A
/// failure is kept in the context and ends the rank after the pass.
void weir_cuda_launch_kernel(weir_context *context,
                             const weir_cuda_launch *launch,
                             void *const *arguments);

/// What a product does on the way out, in the terms of cuBLASLt: C is m x n,
/// and n, along which a bias repeats, is the dimension that is dense in memory.
enum weir_cuda_epilogue {
  WEIR_CUDA_EPILOGUE_NONE = 0,
  /// C = A B + bias, a vector of n elements.
  WEIR_CUDA_EPILOGUE_BIAS = 1,
  /// aux = A B + bias, m x n and dense; C = gelu(aux), by the tanh formula.
  WEIR_CUDA_EPILOGUE_GELU_AUX_BIAS = 2,
  /// aux = A B; C = gelu(aux).
  WEIR_CUDA_EPILOGUE_GELU_AUX = 3,
  /// C = A B * gelu'(aux).
  WEIR_CUDA_EPILOGUE_DGELU = 4,
  /// The same; bias = the sum of C over m.
  WEIR_CUDA_EPILOGUE_DGELU_BGRAD = 5,
  /// C = A B; bias = the sum of B over k, a vector of n elements.
  WEIR_CUDA_EPILOGUE_BGRADB = 6,
  /// C = A B; bias = the sum of A over k, a vector of m elements.
  WEIR_CUDA_EPILOGUE_BGRADA = 7,
};

/// A matrix product with its epilogue. Compiled code holds these as constants,
/// so that the runtime can choose every algorithm before the first step.
typedef struct weir_cuda_product {
  weir_product product;
  int64_t epilogue; /* enum weir_cuda_epilogue */
  int64_t workspace_bytes;
} weir_cuda_product;

/// Puts a product on the compute stream. `bias` and `aux` are null where the
/// epilogue has none; `workspace` holds `product->workspace_bytes` that nothing
/// else uses meanwhile, aligned to 256 bytes. A failure is kept in the context.
void weir_cuda_multiply(weir_context *context, const weir_cuda_product *product,
                        const void *a, const void *b, void *c, void *bias,
                        void *aux, void *workspace);

/// The compute stream (a cudaStream_t), for kernels of the user's own, which
/// have the calling convention of weir/Custom.h with device addresses.
void *weir_cuda_stream(weir_context *context);

/// What a compiled executable hands to the CUDA runtime.
typedef struct weir_cuda_module {
  weir_module module; /* its products are not used: null and 0 */
  const char *arch;   /* what the image is for: "sm_90a", "emulated" */
  const void *image;  /* a cubin or fatbin */
  int64_t image_bytes;
  const char *const *kernel_names;
  int64_t num_kernels;
  const weir_cuda_product *const *products;
  int64_t num_products;
} weir_cuda_module;

/// The whole training program of a CUDA target, as weir_main is for the host.
int weir_cuda_main(int argc, char **argv, const weir_cuda_module *module);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_CUDA_H */
