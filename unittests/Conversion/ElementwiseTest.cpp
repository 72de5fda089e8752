//===- ElementwiseTest.cpp - compiled elementwise ops ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include <gtest/gtest.h>

static const int sizes[] = {1, 3, 16, 17, 64, 257, 770};

static std::string tensor(const std::string &shape) {
  return "tensor<" + shape + ">";
}

// An expression with every kind of scalar op that models use, at sizes with and
// without a tail.
TEST(Elementwise, ScalarOpsAtAllSizes) {
  for (int size : sizes) {
    std::string f = tensor(std::to_string(size) + "xf32");
    std::string i = tensor(std::to_string(size) + "xi32");
    std::string text = "#id = affine_map<(d0) -> (d0)>\n" +
                       makeForward({f, f, i}, f + ", " + i,
                                   R"(
    %e = tensor.empty() : )" + f + R"(
    %ei = tensor.empty() : )" + i + R"(
    %r:2 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id],
        iterator_types = ["parallel"]}
        ins(%a0, %a1, %a2 : )" + f + ", " +
                                       f + ", " + i + ") outs(%e, %ei : " + f +
                                       ", " + i + R"() {
    ^bb0(%x: f32, %y: f32, %n: i32, %o: f32, %oi: i32):
      %one = arith.constant 1.0 : f32
      %three = arith.constant 3 : i32
      %s = arith.mulf %x, %y : f32
      %t = arith.addf %s, %x : f32
      %u = arith.divf %t, %y : f32
      %c = arith.cmpf ogt, %u, %one : f32
      %v = arith.select %c, %u, %x : f32
      %m = arith.maximumf %v, %y : f32
      %nf = arith.sitofp %n : i32 to f32
      %w = arith.subf %m, %nf : f32
      %index = linalg.index 0 : index
      %j = arith.index_cast %index : index to i32
      %k = arith.addi %j, %n : i32
      %d = arith.remsi %k, %three : i32
      %q = arith.divsi %d, %k : i32
      %z = arith.addi %q, %j : i32
      linalg.yield %w, %z : f32, i32
    } -> ()" + f + ", " + i + ")\n weir.yield %r#0, %r#1 : " +
                                       f + ", " + i);
    Filling filling;
    filling.below = 7;
    filling.seed = 3; // no element of %k is 0 for it
    // k = index + n is 0 only at index 0; a separate first label keeps it
    // above.
    auto shifted = text;
    auto at = shifted.find("%k = arith.addi %j, %n : i32");
    shifted.replace(at, 28,
                    "%k0 = arith.addi %j, %n : i32\n"
                    "      %k = arith.addi %k0, %three : i32");
    EXPECT_EQ(compareWithInterpreter(shifted, filling), "") << size;
  }
}

// Functions that weir-fix-rounding expands have the same bits as the expansion
// computed one element at a time.
TEST(Elementwise, ExpandedFunctions) {
  for (const char *name : {"exp", "log", "tanh", "erf", "log1p", "expm1"})
    for (int size : {5, 64, 257}) {
      std::string f = tensor(std::to_string(size) + "xf32");
      std::string text = "#id = affine_map<(d0) -> (d0)>\n" +
                         makeForward({f}, f,
                                     "%e = tensor.empty() : " + f + R"(
    %r = linalg.generic {indexing_maps = [#id, #id],
        iterator_types = ["parallel"]} ins(%a0 : )" +
                                         f + ") outs(%e : " + f +
                                         R"() {
    ^bb0(%x: f32, %o: f32):
      %y = math.)" + std::string(name) + R"( %x : f32
      linalg.yield %y : f32
    } -> )" + f + "\n weir.yield %r : " + f);
      EXPECT_EQ(compareWithInterpreter(text), "") << name << " " << size;
    }
}

// f64 and powf are not expanded: they call libm, element by element.
TEST(Elementwise, Libm) {
  std::string f = "tensor<37xf64>";
  std::string text = "#id = affine_map<(d0) -> (d0)>\n" +
                     makeForward({f, f}, f,
                                 "%e = tensor.empty() : " + f + R"(
    %r = linalg.generic {indexing_maps = [#id, #id, #id],
        iterator_types = ["parallel"]} ins(%a0, %a1 : )" +
                                     f + ", " + f + ") outs(%e : " + f + R"() {
    ^bb0(%x: f64, %y: f64, %o: f64):
      %a = math.absf %x : f64
      %p = math.powf %a, %y : f64
      %q = math.exp %p : f64
      linalg.yield %q : f64
    } -> )" + f +
                                     "\n weir.yield %r : " + f);
  EXPECT_EQ(compareWithInterpreter(text), "");
}

// Broadcasts along the first, the last and both dims; a transposed operand; an
// inner size of 1.
TEST(Elementwise, MapsAndShapes) {
  struct Case {
    int rows, columns;
  };
  for (Case c : {Case{5, 37}, Case{64, 16}, Case{3, 1}, Case{1, 19}}) {
    std::string m = std::to_string(c.rows), n = std::to_string(c.columns);
    std::string full = tensor(m + "x" + n + "xf32"), row = tensor(n + "xf32"),
                column = tensor(m + "xf32"),
                transposed = tensor(n + "x" + m + "xf32");
    std::string text = R"(
#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
#column = affine_map<(i, j) -> (i)>
#scalar = affine_map<(i, j) -> ()>
#transposed = affine_map<(i, j) -> (j, i)>
)" + makeForward({full, row, column, "tensor<f32>", transposed},
                 full + ", " + transposed,
                 "%e = tensor.empty() : " + full +
                     "\n%et = tensor.empty() : " + transposed + R"(
    %r:2 = linalg.generic {indexing_maps = [#full, #row, #column, #scalar,
                                          #transposed, #full, #transposed],
        iterator_types = ["parallel", "parallel"]}
        ins(%a0, %a1, %a2, %a3, %a4 : )" +
                     full + ", " + row + ", " + column + ", tensor<f32>, " +
                     transposed + ") outs(%e, %et : " + full + ", " +
                     transposed + R"() {
    ^bb0(%a: f32, %b: f32, %c: f32, %d: f32, %t: f32, %o: f32, %ot: f32):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      %less = arith.cmpi slt, %j, %i : index
      %p = arith.mulf %c, %d : f32
      %q = arith.addf %a, %b : f32
      %x = arith.select %less, %p, %q : f32
      %y = arith.subf %x, %t : f32
      linalg.yield %y, %x : f32, f32
    } -> ()" + full + ", " +
                     transposed + ")\n weir.yield %r#0, %r#1 : " + full + ", " +
                     transposed);
    EXPECT_EQ(compareWithInterpreter(text), "") << m << "x" << n;
  }
}

// Ops on tensors and named ops are the same as the generic they stand for; i1
// tensors are bytes in memory.
TEST(Elementwise, TensorOpsAndMasks) {
  std::string f = "tensor<3x21xf32>", b = "tensor<3x21xi1>";
  EXPECT_EQ(compareWithInterpreter("#id = affine_map<(d0, d1) -> (d0, d1)>\n" +
                                   makeForward({f, f, b}, f + ", " + b,
                                               R"(
    %e = tensor.empty() : )" + f + R"(
    %eb = tensor.empty() : )" + b + R"(
    %r:2 = linalg.generic {indexing_maps = [#id, #id, #id, #id, #id],
        iterator_types = ["parallel", "parallel"]}
        ins(%a0, %a1, %a2 : )" + f + ", " + f + ", " +
                                                   b + ") outs(%e, %eb : " + f +
                                                   ", " + b + R"() {
    ^bb0(%x: f32, %y: f32, %m: i1, %o: f32, %om: i1):
      %s = arith.select %m, %x, %y : f32
      %c = arith.cmpf olt, %x, %y : f32
      %d = arith.xori %c, %m : i1
      linalg.yield %s, %d : f32, i1
    } -> ()" + f + ", " + b + ")\n weir.yield %r#0, %r#1 : " +
                                                   f + ", " + b)),
            "");
}
