//===- ProductTest.cpp - compiled matrix products -------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include <gtest/gtest.h>

/// A product C = A B with the dims of each operand, as in "(m, k)".
static std::string makeProduct(const std::string &dims, const std::string &a,
                               const std::string &b, const std::string &c,
                               const std::string &aType,
                               const std::string &bType,
                               const std::string &cType, bool accumulates) {
  std::string element = cType.substr(cType.size() - 4, 3);
  std::string init = accumulates ? "%a2" : "%f";
  return "#a = affine_map<(" + dims + ") -> (" + a + ")>\n#b = affine_map<(" +
         dims + ") -> (" + b + ")>\n#c = affine_map<(" + dims + ") -> (" + c +
         ")>\n" +
         makeForward(
             {aType, bType, cType}, cType,
             R"(
    %zero = arith.constant 0.0 : )" +
                 element + R"(
    %e = tensor.empty() : )" +
                 cType + R"(
    %f = linalg.fill ins(%zero : )" +
                 element + ") outs(%e : " + cType + ") -> " + cType + R"(
    %r = linalg.contract indexing_maps = [#a, #b, #c]
        ins(%a0, %a1 : )" +
                 aType + ", " + bType + ") outs(" + init + " : " + cType +
                 ") -> " + cType + "\n    weir.yield %r : " + cType);
}

/// Sums of small integers are exact, so the order of additions does not matter.
static std::string compareExactly(const std::string &text) {
  Filling filling;
  filling.floats = Filling::SmallIntegers;
  return compareWithInterpreter(text, filling);
}

TEST(Product, Forms) {
  struct Case {
    const char *dims, *a, *b, *c, *aType, *bType, *cType;
    int64_t calls;
  };
  const Case cases[] = {
      // Plain, and each operand transposed.
      {"m, n, k", "m, k", "k, n", "m, n", "tensor<3x5xf32>", "tensor<5x4xf32>",
       "tensor<3x4xf32>", 1},
      {"m, n, k", "k, m", "k, n", "m, n", "tensor<5x3xf32>", "tensor<5x4xf32>",
       "tensor<3x4xf32>", 1},
      {"m, n, k", "m, k", "n, k", "m, n", "tensor<3x5xf32>", "tensor<4x5xf32>",
       "tensor<3x4xf32>", 1},
      {"m, n, k", "k, m", "n, k", "n, m", "tensor<5x3xf32>", "tensor<4x5xf32>",
       "tensor<4x3xf32>", 1},
      // Square operands, where a lost transpose would not show in the types.
      {"m, n, k", "k, m", "k, n", "m, n", "tensor<6x6xf32>", "tensor<6x6xf32>",
       "tensor<6x6xf32>", 1},
      // A linear layer and the gradients of its input and weight.
      {"b, t, e, f", "b, t, f", "f, e", "b, t, e", "tensor<2x3x5xf32>",
       "tensor<5x4xf32>", "tensor<2x3x4xf32>", 1},
      {"b, t, f, e", "b, t, e", "f, e", "b, t, f", "tensor<2x3x4xf32>",
       "tensor<5x4xf32>", "tensor<2x3x5xf32>", 1},
      {"f, e, b, t", "b, t, f", "b, t, e", "f, e", "tensor<2x3x5xf32>",
       "tensor<2x3x4xf32>", "tensor<5x4xf32>", 1},
      // Attention: scores, their gradients, values.
      {"b, h, i, j, d", "b, i, h, d", "b, j, h, d", "b, h, i, j",
       "tensor<2x3x4x5xf32>", "tensor<2x6x4x5xf32>", "tensor<2x4x3x6xf32>", 1},
      {"b, i, h, d, j", "b, h, i, j", "b, j, h, d", "b, i, h, d",
       "tensor<2x4x3x6xf32>", "tensor<2x6x4x5xf32>", "tensor<2x3x4x5xf32>", 1},
      {"b, j, h, d, i", "b, h, i, j", "b, i, h, d", "b, j, h, d",
       "tensor<2x4x3x6xf32>", "tensor<2x3x4x5xf32>", "tensor<2x6x4x5xf32>", 1},
      // Reduced dims that are two in memory: one product overwrites, a loop of
      // one call site adds.
      {"m, n, k, l", "k, m, l", "l, n, k", "m, n", "tensor<3x5x4xf32>",
       "tensor<4x2x3xf32>", "tensor<5x2xf32>", 3},
      // Rows and columns that are two dims in memory.
      {"m, p, n, q, k", "p, m, k", "k, q, n", "m, n, p, q", "tensor<2x3x4xf32>",
       "tensor<4x5x6xf32>", "tensor<3x6x2x5xf32>", 1},
      // Outer products and vectors.
      {"m, n, k", "m, k", "k, n", "m, n", "tensor<3x1xf32>", "tensor<1x4xf32>",
       "tensor<3x4xf32>", 1},
      {"m, k", "m, k", "k", "m", "tensor<3x5xf32>", "tensor<5xf32>",
       "tensor<3xf32>", 1},
      {"k", "k", "k", "", "tensor<9xf32>", "tensor<9xf32>", "tensor<f32>", 1},
      // More batch dims than a descriptor holds: a loop.
      {"a, b, c, d, e, m, n, k", "e, d, c, b, a, m, k", "a, c, b, e, d, k, n",
       "a, b, c, d, e, m, n", "tensor<3x2x3x2x3x2x4xf32>",
       "tensor<3x3x2x3x2x4x2xf32>", "tensor<3x2x3x2x3x2x2xf32>", 2},
      {"m, n, k", "m, k", "k, n", "m, n", "tensor<3x5xf64>", "tensor<5x4xf64>",
       "tensor<3x4xf64>", 1},
      // Nothing is kept.
      {"k, l", "k, l", "l, k", "", "tensor<3x4xf32>", "tensor<4x3xf32>",
       "tensor<f32>", 3},
      // Factors of other types are converted first.
      {"m, n, k", "m, k", "k, n", "m, n", "tensor<3x5xf32>", "tensor<5x4xf64>",
       "tensor<3x4xf64>", 0},
      {"m, n, k", "m, k", "k, n", "m, n", "tensor<3x5xi32>", "tensor<5x4xf32>",
       "tensor<3x4xf32>", 0},
      {"m, n, k", "m, k", "n, k", "m, n", "tensor<3x5xi8>", "tensor<4x5xi8>",
       "tensor<3x4xi32>", 0},
      {"m, n, k, s", "m, s, k", "s, k, n", "n, m", "tensor<3x2x5xi16>",
       "tensor<2x5x17xi64>", "tensor<17x3xi64>", 0},
      // No product of the library: it becomes a loop.
      {"m, n, k", "m, k", "k, n", "m, n", "tensor<3x5xi32>", "tensor<5x4xi32>",
       "tensor<3x4xi32>", 0},
  };
  for (const Case &c : cases)
    for (bool accumulates : {false, true}) {
      std::string text = makeProduct(c.dims, c.a, c.b, c.c, c.aType, c.bType,
                                     c.cType, accumulates);
      if (size_t at = text.find("0.0 : i"); at != std::string::npos)
        text.replace(at, 3, "0");
      int64_t before = CompiledPasses::numProducts();
      EXPECT_EQ(compareExactly(text), "") << text;
      // A device computes a product in loops where its library cannot take it.
      if (getTarget().tolerance == 0)
        EXPECT_EQ(CompiledPasses::numProducts() - before, c.calls) << text;
    }
}

// The attention heads of one tensor [b, t, 3 h d]: operands that are slices are
// copied, as they lie elsewhere where another cut makes them.
TEST(Product, Slices) {
  std::string qkv = "tensor<2x3x24xf32>", part = "tensor<2x3x8xf32>",
              heads = "tensor<2x3x2x4xf32>", scores = "tensor<2x2x3x3xf32>";
  auto slice = [&](const std::string &name, int offset) {
    return "%" + name + "s = tensor.extract_slice %a0[0, 0, " +
           std::to_string(offset) + "] [2, 3, 8] [1, 1, 1] : " + qkv + " to " +
           part + "\n%" + name + " = tensor.expand_shape %" + name +
           "s [[0], [1], [2, 3]] output_shape [2, 3, 2, 4] : " + part +
           " into " + heads + "\n";
  };
  std::string text = R"(
#q = affine_map<(b, h, i, j, d) -> (b, i, h, d)>
#k = affine_map<(b, h, i, j, d) -> (b, j, h, d)>
#s = affine_map<(b, h, i, j, d) -> (b, h, i, j)>
)" + makeForward({qkv}, scores,
                 slice("q", 0) + slice("k", 8) + R"(
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : )" +
                     scores + R"(
    %f = linalg.fill ins(%zero : f32) outs(%e : )" +
                     scores + ") -> " + scores + R"(
    %r = linalg.contract indexing_maps = [#q, #k, #s] ins(%q, %k : )" +
                     heads + ", " + heads + ") outs(%f : " + scores + ") -> " +
                     scores + "\n    weir.yield %r : " + scores);
  EXPECT_EQ(compareExactly(text), "");
  CompiledPasses compiled(text);
  int64_t bytesOfPart = 2 * 3 * 8 * sizeof(float);
  EXPECT_EQ(compiled.getPass(0).getWorkspaceBytes(), 2 * bytesOfPart);
}
