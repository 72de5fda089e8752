//===- ReductionTest.cpp - the order of compiled reductions ---------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include <gtest/gtest.h>

/// A pass that folds a tensor of shape `shape`; `output` are the kept dims, as
/// in
/// "(a, c)", `result` their type.
static std::string
makeReduction(const std::string &shape, const std::string &dims,
              const std::string &kept, const std::string &iterators,
              const std::string &result, const std::string &combiner,
              const std::string &element = "f32",
              const std::string &attributes = "") {
  std::string type = "tensor<" + shape + "x" + element + ">";
  return "#in = affine_map<(" + dims + ") -> (" + dims +
         ")>\n#out = affine_map<(" + dims + ") -> (" + kept + ")>\n" +
         makeForward(
             {type, result}, result,
             R"(
    %r = linalg.generic {indexing_maps = [#in, #out], iterator_types = [)" +
                 iterators + "]} ins(%a0 : " + type + ") outs(%a1 : " + result +
                 ") " +
                 (attributes.empty() ? "" : "attrs = {" + attributes + "} ") +
                 R"( {
    ^bb0(%x: )" + element +
                 ", %acc: " + element + R"():
      %s = )" + combiner +
                 " %acc, %x : " + element + R"(
      linalg.yield %s : )" +
                 element + R"(
    } -> )" + result +
                 "\n weir.yield %r : " + result);
}

static const int sizes[] = {1, 2, 3, 15, 16, 17, 64, 257, 770};

TEST(Reduction, Rows) {
  for (int size : sizes)
    for (const char *op : {"arith.addf", "arith.maximumf", "arith.mulf"})
      EXPECT_EQ(compareWithInterpreter(makeReduction(
                    "3x" + std::to_string(size), "i, j", "i",
                    "\"parallel\", \"reduction\"", "tensor<3xf32>", op)),
                "")
          << op << " " << size;
}

TEST(Reduction, Columns) {
  for (int rows : sizes)
    for (int columns : {1, 3, 16, 17, 64, 147})
      EXPECT_EQ(
          compareWithInterpreter(makeReduction(
              std::to_string(rows) + "x" + std::to_string(columns), "i, j", "j",
              "\"reduction\", \"parallel\"",
              "tensor<" + std::to_string(columns) + "xf32>", "arith.addf")),
          "")
          << rows << "x" << columns;
}

// Bias gradients: two reduced dims that are one in memory, or, with a
// transposed operand, are not.
TEST(Reduction, SeveralDims) {
  for (int inner : {3, 16, 17})
    for (const char *kept : {"k", "i", "j", "", "i, j", "j, k"}) {
      std::string all[] = {"i", "j", "k"}, iterators, result = "tensor<";
      int dims[] = {5, inner, 21};
      std::string keptText = kept;
      for (int d = 0; d < 3; ++d) {
        bool isKept = keptText.find(all[d]) != std::string::npos;
        iterators += std::string(d ? ", " : "") +
                     (isKept ? "\"parallel\"" : "\"reduction\"");
        if (isKept)
          result += std::to_string(dims[d]) + "x";
      }
      EXPECT_EQ(compareWithInterpreter(makeReduction(
                    "5x" + std::to_string(inner) + "x21", "i, j, k", kept,
                    iterators, result + "f32>", "arith.addf")),
                "")
          << inner << " keeps " << kept;
    }
}

// The number of lanes is an attribute; so is their number of one.
TEST(Reduction, Lanes) {
  for (const char *lanes : {"1", "2", "8", "32"})
    for (int size : {1, 7, 31, 100}) {
      std::string attribute = std::string("weir.lanes = ") + lanes + " : i64";
      std::string n = std::to_string(size);
      EXPECT_EQ(compareWithInterpreter(makeReduction(
                    "3x" + n, "i, j", "i", "\"parallel\", \"reduction\"",
                    "tensor<3xf32>", "arith.addf", "f32", attribute)),
                "")
          << lanes << " rows " << n;
      EXPECT_EQ(compareWithInterpreter(makeReduction(
                    n + "x35", "i, j", "j", "\"reduction\", \"parallel\"",
                    "tensor<35xf32>", "arith.addf", "f32", attribute)),
                "")
          << lanes << " columns " << n;
    }
}

TEST(Reduction, OtherTypes) {
  for (int size : {1, 17, 100}) {
    std::string n = std::to_string(size);
    EXPECT_EQ(compareWithInterpreter(makeReduction(
                  "3x" + n, "i, j", "i", "\"parallel\", \"reduction\"",
                  "tensor<3xf64>", "arith.addf", "f64")),
              "");
    EXPECT_EQ(compareWithInterpreter(makeReduction(
                  n + "x19", "i, j", "j", "\"reduction\", \"parallel\"",
                  "tensor<19xf64>", "arith.addf", "f64")),
              "");
    for (const char *op : {"arith.addi", "arith.maxsi", "arith.minsi"})
      EXPECT_EQ(compareWithInterpreter(makeReduction(
                    "3x" + n, "i, j", "i", "\"parallel\", \"reduction\"",
                    "tensor<3xi32>", op, "i32")),
                "")
          << op;
  }
}

// A reduction whose body computes with broadcasts and indices, over maps that
// are not the identity.
TEST(Reduction, BodyWithBroadcasts) {
  for (int rows : {4, 37})
    for (int columns : {5, 48}) {
      std::string m = std::to_string(rows), n = std::to_string(columns);
      std::string full = "tensor<" + m + "x" + n + "xf32>",
                  row = "tensor<" + n + "xf32>",
                  column = "tensor<" + m + "xf32>";
      for (bool reducesRows : {true, false}) {
        std::string result = reducesRows ? column : row;
        std::string text = R"(
#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
#column = affine_map<(i, j) -> (i)>
)" + makeForward({full, row, column}, result,
                 R"(
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : )" +
                     result + R"(
    %f = linalg.fill ins(%zero : f32) outs(%e : )" +
                     result + ") -> " + result + R"(
    %r = linalg.generic {indexing_maps = [#full, #row, #column, )" +
                     (reducesRows ? "#column" : "#row") + R"(],
        iterator_types = [)" +
                     (reducesRows ? R"("parallel", "reduction")"
                                  : R"("reduction", "parallel")") +
                     R"(]}
        ins(%a0, %a1, %a2 : )" +
                     full + ", " + row + ", " + column +
                     ") outs(%f : " + result + R"() {
    ^bb0(%x: f32, %y: f32, %z: f32, %acc: f32):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      %less = arith.cmpi sle, %j, %i : index
      %p = arith.subf %x, %z : f32
      %q = arith.mulf %p, %y : f32
      %v = arith.select %less, %q, %zero : f32
      %s = arith.addf %acc, %v : f32
      linalg.yield %s : f32
    } -> )" + result +
                     "\n weir.yield %r : " + result);
        EXPECT_EQ(compareWithInterpreter(text), "") << m << "x" << n;
      }
    }
}
