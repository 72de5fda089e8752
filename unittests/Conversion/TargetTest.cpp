//===- TargetTest.cpp - LLVM IR, objects and the JIT ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include "weir/Target/HostTarget.h"

#include "llvm/BinaryFormat/Magic.h"
#include "llvm/Support/FileSystem.h"

#include <gtest/gtest.h>

#include <cstring>

using namespace weir;

/// Two layers with products of different shapes and a body of a product and a
/// sum, which a code generator would like to fuse.
static std::string makeLayers() {
  auto layer = [](int stage, int columns) {
    std::string number = std::to_string(stage), n = std::to_string(columns);
    std::string type = "tensor<4x" + n + "xf32>";
    return "  %y" + number + " = weir.forward " + number +
           " (%a = %x : tensor<4x5xf32>) -> (" + type +
           ") {\n    %w = weir.read @w" + number + " : tensor<5x" + n +
           "xf32>\n"
           "    %zero = arith.constant 0.0 : f32\n    %e = tensor.empty() : " +
           type + "\n    %f = linalg.fill ins(%zero : f32) outs(%e : " + type +
           ") -> " + type +
           "\n    %c = linalg.contract indexing_maps = [#a, #b, #c] ins(%a, %w "
           ": "
           "tensor<4x5xf32>, tensor<5x" +
           n + "xf32>) outs(%f : " + type + ") -> " + type +
           "\n    %r = linalg.generic {indexing_maps = [#id, #id], "
           "iterator_types = "
           "[\"parallel\", \"parallel\"]} ins(%c : " +
           type + ") outs(%e : " + type +
           ") {\n    ^bb0(%p: f32, %o: f32):\n      %q = arith.mulf %p, %p "
           "fastmath<fast> : f32\n"
           "      %s = arith.addf %q, %p fastmath<fast> : f32\n      "
           "linalg.yield %s : f32\n    } -> " +
           type + "\n    weir.yield %r : " + type + "\n  }\n";
  };
  return "#a = affine_map<(m, n, k) -> (m, k)>\n#b = affine_map<(m, n, k) -> "
         "(k, n)>\n"
         "#c = affine_map<(m, n, k) -> (m, n)>\n#id = affine_map<(i, j) -> (i, "
         "j)>\n"
         "weir.variable @w0 <constant, 1.0> : tensor<5x3xf32>\n"
         "weir.variable @w1 <constant, 1.0> : tensor<5x7xf32>\n"
         "weir.pipeline @p stages 2 (%x = \"x\" : tensor<4x5xf32>) {\n" +
         layer(0, 3) + layer(1, 7) + "}\n";
}

// The table, the kernels in their order, and every product.
TEST(Target, Program) {
  CompiledPasses compiled(makeLayers());
  const weir_module &program = compiled.getProgram();
  ASSERT_EQ(program.table_bytes, 5);
  EXPECT_EQ(std::memcmp(program.table, "table", 5), 0);
  ASSERT_EQ(program.num_products, 2);
  EXPECT_EQ(program.products[0]->n, 3);
  EXPECT_EQ(program.products[1]->n, 7);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(program.products[i]->m, 4);
    EXPECT_EQ(program.products[i]->k, 5);
    EXPECT_EQ(program.products[i]->accumulate, 0);
  }
  EXPECT_NE(program.kernels[0], program.kernels[1]);
}

// No operation may be fused or reassociated, not even where the model allows
// it.
TEST(Target, RoundingIsAsWritten) {
  CompiledPasses compiled(makeLayers());
  llvm::StringRef order[] = {"f0", "f1"};
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::Error error =
      emitLLVM({getKernelsModule(compiled.getModule()), {}, order}, os);
  ASSERT_FALSE(bool(error)) << llvm::toString(std::move(error));
  EXPECT_NE(text.find("define i32 @main"), std::string::npos);
  EXPECT_NE(text.find("@weir_program = "), std::string::npos);
  EXPECT_NE(text.find("fmul <"), std::string::npos);
  EXPECT_NE(text.find("fadd <"), std::string::npos);
  for (const char *flag :
       {"fast", "contract ", "reassoc", "fmuladd", "llvm.fma"})
    EXPECT_EQ(text.find(flag), std::string::npos) << flag;
  EXPECT_EQ(compareWithInterpreter(makeLayers()), "");
}

TEST(Target, Errors) {
  CompiledPasses compiled(makeLayers());
  mlir::ModuleOp kernels = getKernelsModule(compiled.getModule());
  auto getError = [&](HostProgram program, const char *path) {
    return llvm::toString(emitObject(program, path));
  };
  llvm::StringRef unknown[] = {"f0", "f9"}, order[] = {"f0", "f1"};
  EXPECT_EQ(getError({kernels, {}, unknown}, "weir-unknown.o"),
            "no compiled pass has the name 'f9'");
  EXPECT_FALSE(llvm::sys::fs::exists("weir-unknown.o"));
  EXPECT_EQ(getError({{}, {}, order}, "weir-nothing.o"),
            "nothing was compiled: run convert-weir-to-host first");
  std::string message =
      getError({kernels, {}, order}, "no-such-directory/weir.o");
  EXPECT_EQ(message.find("cannot write 'no-such-directory/weir.o': "), 0u)
      << message;
}

TEST(Target, Object) {
  CompiledPasses compiled(makeLayers());
  llvm::StringRef order[] = {"f0", "f1"};
  llvm::SmallString<128> path;
  ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("weir-test", "o", path));
  llvm::Error error =
      emitObject({getKernelsModule(compiled.getModule()), {}, order}, path);
  EXPECT_FALSE(bool(error)) << llvm::toString(std::move(error));
  llvm::file_magic magic;
  EXPECT_FALSE(llvm::identify_magic(path, magic));
  EXPECT_EQ(magic, llvm::file_magic::elf_relocatable);
  llvm::sys::fs::remove(path);
}
