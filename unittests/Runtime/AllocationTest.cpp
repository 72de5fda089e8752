//===- AllocationTest.cpp - steps allocate nothing ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Replaces the allocation functions of the C library by ones that count, so it
// also sees what libraries allocate. Sanitizers replace them too: these tests
// are left out there.
//
//===----------------------------------------------------------------------===//

#include "BigramModel.h"
#include "TemporaryDirectory.h"
#include "weir/Runtime/Product.h"

#include <atomic>
#include <cerrno>
#include <gtest/gtest.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&         \
    !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)

using namespace weir::runtime;
using namespace weir::runtime::testing;

/// All, and those made by oneDNN while it multiplies.
static std::atomic<int64_t> allocations = 0, releases = 0;
static std::atomic<int64_t> productAllocations = 0, productReleases = 0;

static void countAllocation() {
  ++allocations;
  productAllocations += Bigram::isInsideProduct;
}

extern "C" {
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *pointer);

void *malloc(size_t size) {
  countAllocation();
  return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
  countAllocation();
  return __libc_calloc(count, size);
}
void *realloc(void *pointer, size_t size) {
  countAllocation();
  return __libc_realloc(pointer, size);
}
void *memalign(size_t alignment, size_t size) {
  countAllocation();
  return __libc_memalign(alignment, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  countAllocation();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void **pointer, size_t alignment, size_t size) {
  countAllocation();
  *pointer = __libc_memalign(alignment, size);
  return *pointer ? 0 : ENOMEM;
}
void free(void *pointer) {
  releases += pointer != nullptr;
  productReleases += pointer && Bigram::isInsideProduct;
  __libc_free(pointer);
}
}

TEST(AllocationTest, TheCounterCounts) {
  int64_t before = allocations;
  std::string(1000, 'x').swap(*std::make_unique<std::string>());
  EXPECT_GE(allocations - before, 2);
}

TEST(AllocationTest, StepsAllocateNothing) {
  // All that writes while training goes on is switched on. The first steps may
  // still set things up: code that oneDNN makes, buffers of stdio.
  TemporaryDirectory directory;
  std::string text = writeText(directory.path(), 500);
  for (bool twoDevices : {false, true}) {
    TableBuilder builder =
        twoDevices ? Bigram::onTwoDevices() : Bigram::onOneDevice();
    std::vector<std::byte> table = builder.build();
    weir_module module = {table.data(), int64_t(table.size()),
                          builder.kernels.data(), Bigram::products,
                          Bigram::numProducts};
    const int64_t numSteps = 30, firstCounted = 5;
    // At each forward pass, the allocations of the runtime and the blocks that
    // oneDNN holds: it takes buffers in a product and gives them back.
    std::vector<int64_t> ofRuntime, heldByProducts;
    ofRuntime.reserve(numSteps * Bigram::microbatches);
    heldByProducts.reserve(numSteps * Bigram::microbatches);
    Bigram::beforeForward[twoDevices] = [&](weir_context *) {
      ofRuntime.push_back(allocations - productAllocations);
      heldByProducts.push_back(productAllocations - productReleases);
    };
    std::vector<std::string> options = {"train",
                                        "--data=" + text,
                                        "--steps=" + std::to_string(numSteps),
                                        "--metrics=" +
                                            directory.file("metrics"),
                                        "--trace=" + directory.file("trace"),
                                        "--poison"};
    std::vector<char *> argv;
    for (std::string &option : options)
      argv.push_back(option.data());
    ASSERT_EQ(weir_main(argv.size(), argv.data(), &module), 0);
    Bigram::beforeForward[twoDevices] = nullptr;
    ASSERT_EQ(ofRuntime.size(), size_t(numSteps * Bigram::microbatches));
    const int64_t first = firstCounted * Bigram::microbatches;
    EXPECT_EQ(ofRuntime.back() - ofRuntime[first], 0);
    EXPECT_EQ(heldByProducts.back() - heldByProducts[first], 0);
  }
}

TEST(AllocationTest, ProductsGiveBackWhatTheyTake) {
  // Shapes small and large enough for every way that sgemm has.
  for (int64_t size : {4, 48, 300}) {
    weir_product product = {};
    product.element_type = WEIR_F32;
    product.m = product.n = product.k = size;
    product.a_stride_m = product.b_stride_k = product.c_stride_m = size;
    product.a_stride_k = product.b_stride_n = product.c_stride_n = 1;
    std::vector<float> a(size * size), b(size * size), c(size * size);
    weir_context context;
    auto multiply = [&] {
      weir_host_product(&context, &product, a.data(), b.data(), c.data());
    };
    multiply(); // code is made at the first call
    int64_t taken = allocations, given = releases;
    multiply();
    taken = allocations - taken;
    given = releases - given;
    EXPECT_EQ(taken, given) << "size " << size;
  }
}

#endif
