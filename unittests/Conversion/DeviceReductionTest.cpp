//===- DeviceReductionTest.cpp - reductions shared by many blocks ---------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include "gtest/gtest.h"

/// The maximum and the sum of squares along a dimension of a tensor, which is
/// also an output, scaled.
static std::string makeReductions(int rows, int columns, bool reduceRows,
                                  const std::string &element) {
  std::string size = std::to_string(rows) + "x" + std::to_string(columns);
  std::string full = "tensor<" + size + "x" + element + ">";
  std::string kept = "tensor<" + std::to_string(reduceRows ? rows : columns) +
                     "x" + element + ">";
  std::string iterators = reduceRows ? "\"parallel\", \"reduction\""
                                     : "\"reduction\", \"parallel\"";
  std::string map = reduceRows ? "(i)" : "(j)";
  return "#id = affine_map<(i, j) -> (i, j)>\n#kept = affine_map<(i, j) -> " +
         map + ">\n" +
         makeForward({full}, kept + ", " + kept + ", " + full,
                     R"(
    %zero = arith.constant 0.0 : )" +
                         element + R"(
    %low = arith.constant -1.0e+30 : )" +
                         element + R"(
    %e = tensor.empty() : )" +
                         kept + R"(
    %e1 = tensor.empty() : )" +
                         full + R"(
    %f = linalg.fill ins(%zero : )" +
                         element + ") outs(%e : " + kept + ") -> " + kept + R"(
    %g = linalg.fill ins(%low : )" +
                         element + ") outs(%e : " + kept + ") -> " + kept + R"(
    %r:3 = linalg.generic {indexing_maps = [#id, #kept, #kept, #id], iterator_types = [)" +
                         iterators + R"(]}
        ins(%a0 : )" + full +
                         ") outs(%g, %f, %e1 : " + kept + ", " + kept + ", " +
                         full + R"() {
    ^bb0(%x: )" + element +
                         ", %m: " + element + ", %s: " + element +
                         ", %o: " + element + R"():
      %n = arith.maximumf %m, %x : )" +
                         element + R"(
      %p = arith.mulf %x, %x : )" +
                         element + R"(
      %t = arith.addf %s, %p : )" +
                         element + R"(
      %d = arith.addf %p, %x : )" +
                         element + R"(
      linalg.yield %n, %t, %d : )" +
                         element + ", " + element + ", " + element + R"(
    } -> ()" + kept + ", " +
                         kept + ", " + full + R"()
    weir.yield %r#0, %r#1, %r#2 : )" +
                         kept + ", " + kept + ", " + full);
}

// Sizes that take a thread, a part of a warp, a block and several blocks, with
// elements left over at each.
TEST(DeviceReduction, RowsOfAllSizes) {
  for (auto [rows, columns] : {std::pair(300, 3),
                               {70, 50},
                               {33, 770},
                               {9, 2050},
                               {5, 4099},
                               {2, 30000},
                               {1, 70002}})
    for (const char *element : {"f32", "f64"})
      EXPECT_EQ(
          compareWithInterpreter(makeReductions(rows, columns, true, element)),
          "")
          << rows << " x " << columns << " " << element;
}

TEST(DeviceReduction, ColumnsOfAllSizes) {
  for (auto [rows, columns] : {std::pair(3, 300),
                               {50, 70},
                               {770, 33},
                               {2050, 9},
                               {4099, 5},
                               {9001, 2},
                               {30000, 1},
                               {1000, 260}})
    for (const char *element : {"f32", "f64"})
      EXPECT_EQ(
          compareWithInterpreter(makeReductions(rows, columns, false, element)),
          "")
          << rows << " x " << columns << " " << element;
}
