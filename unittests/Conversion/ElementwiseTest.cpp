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

/// A body that computes `op %x, %y, ...` of `arity` tensors of `from`.
static std::string makeScalarOp(const std::string &op, int arity,
                                const std::string &from, const std::string &to,
                                const std::string &signature, int size,
                                bool isConstant = false) {
  std::string source = tensor(std::to_string(size) + "x" + from),
              target = tensor(std::to_string(size) + "x" + to);
  std::vector<std::string> types(isConstant ? 1 : arity, source);
  std::string maps = "#id", names, list, arguments, scalars, setup;
  for (int i = 0; i < arity; ++i) {
    std::string number = std::to_string(i), comma = i ? ", " : "";
    if (isConstant)
      setup += "%c" + number + " = arith.constant dense<" +
               (i ? "2.0" : "0.7345") + "> : " + source + "\n";
    maps += ", #id";
    names += comma + (isConstant ? "%c" : "%a") + number;
    list += comma + source;
    arguments += "%p" + number + ": " + from + ", ";
    scalars += comma + "%p" + number;
  }
  return "#id = affine_map<(d0) -> (d0)>\n" +
         makeForward(types, target,
                     setup + "%e = tensor.empty() : " + target +
                         "\n%r = linalg.generic {indexing_maps = [" + maps +
                         "], iterator_types = [\"parallel\"]} ins(" + names +
                         " : " + list + ") outs(%e : " + target + ") {\n^bb0(" +
                         arguments + "%o: " + to + "):\n%y = " + op + " " +
                         scalars + " : " + signature +
                         "\nlinalg.yield %y : " + to + "\n} -> " + target +
                         "\nweir.yield %r : " + target);
}

static const char *const libmFunctions[] = {
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "cos",
    "cosh", "erfc",  "exp2", "log10", "sin",  "sinh",  "tan",
};

// Functions without a polynomial call libm, element by element, whatever the
// width of the loop; so do all functions of f64.
TEST(Elementwise, FunctionsOfLibm) {
  for (int size : {5, 37}) {
    for (const char *type : {"f32", "f64"})
      for (const char *name : libmFunctions)
        EXPECT_EQ(compareWithInterpreter(makeScalarOp(
                      std::string("math.") + name, 1, type, type, type, size)),
                  "")
            << name << " " << type;
    for (const char *name :
         {"erf", "exp", "expm1", "log", "log1p", "log2", "tanh"})
      EXPECT_EQ(compareWithInterpreter(makeScalarOp(
                    std::string("math.") + name, 1, "f64", "f64", "f64", size)),
                "")
          << name;
    for (const char *type : {"f32", "f64"})
      for (const char *name : {"math.powf", "math.atan2", "arith.remf"})
        EXPECT_EQ(compareWithInterpreter(
                      makeScalarOp(name, 2, type, type, type, size)),
                  "")
            << name << " " << type;
  }
}

// A function of a constant has the bits of the call, not those of a compiler
// that knows a better way: whether the constant is seen depends on the cut.
TEST(Elementwise, FunctionsOfConstants) {
  for (const char *type : {"f32", "f64"}) {
    for (const char *name : libmFunctions)
      EXPECT_EQ(compareWithInterpreter(makeScalarOp(std::string("math.") + name,
                                                    1, type, type, type, 19,
                                                    /*isConstant=*/true)),
                "")
          << name << " " << type;
    for (const char *name : {"math.powf", "math.atan2"})
      EXPECT_EQ(compareWithInterpreter(makeScalarOp(name, 2, type, type, type,
                                                    19, /*isConstant=*/true)),
                "")
          << name << " " << type;
  }
  // One constant operand: pow(x, 2) stays a power.
  std::string power = makeScalarOp("math.powf", 2, "f32", "f32", "f32", 770);
  size_t at = power.find("%y = math.powf %p0, %p1");
  power.replace(at, 23,
                "%two = arith.constant 2.0 : f32\n%y = math.powf %p0, "
                "%two");
  EXPECT_EQ(compareWithInterpreter(power), "");
}

// Every op whose result is exact or correctly rounded, for every type.
TEST(Elementwise, ExactOps) {
  for (const char *type : {"f32", "f64"}) {
    for (const char *name : {"absf", "ceil", "floor", "round", "roundeven",
                             "rsqrt", "sqrt", "trunc"})
      EXPECT_EQ(compareWithInterpreter(makeScalarOp(std::string("math.") + name,
                                                    1, type, type, type, 37)),
                "")
          << name << " " << type;
    for (const char *name : {"arith.addf", "arith.subf", "arith.mulf",
                             "arith.divf", "arith.maximumf", "arith.minimumf",
                             "arith.maxnumf", "arith.minnumf", "math.copysign"})
      EXPECT_EQ(
          compareWithInterpreter(makeScalarOp(name, 2, type, type, type, 37)),
          "")
          << name << " " << type;
    EXPECT_EQ(compareWithInterpreter(
                  makeScalarOp("math.fma", 3, type, type, type, 37)),
              "");
    EXPECT_EQ(compareWithInterpreter(
                  makeScalarOp("arith.negf", 1, type, type, type, 37)),
              "");
    for (const char *predicate : {"oeq", "ogt", "ult", "une", "ord"})
      EXPECT_EQ(compareWithInterpreter(
                    makeScalarOp(std::string("arith.cmpf ") + predicate + ",",
                                 2, type, "i1", type, 37)),
                "")
          << predicate;
  }
  Filling filling;
  filling.below = 5;
  for (const char *type : {"i8", "i16", "i32", "i64", "index"}) {
    for (const char *name :
         {"addi", "subi", "muli", "andi", "ori", "xori", "shli", "shrsi",
          "shrui", "maxsi", "minsi", "maxui", "minui"})
      EXPECT_EQ(
          compareWithInterpreter(makeScalarOp(std::string("arith.") + name, 2,
                                              type, type, type, 37),
                                 filling),
          "")
          << name << " " << type;
    for (const char *predicate : {"eq", "slt", "uge"})
      EXPECT_EQ(compareWithInterpreter(
                    makeScalarOp(std::string("arith.cmpi ") + predicate + ",",
                                 2, type, "i1", type, 37),
                    filling),
                "")
          << predicate << " " << type;
  }
  for (const char *name : {"andi", "ori", "xori"})
    EXPECT_EQ(compareWithInterpreter(makeScalarOp(std::string("arith.") + name,
                                                  2, "i1", "i1", "i1", 37)),
              "")
        << name;
}

// Divisions of integers, whose vectors have lanes that do not exist and must
// not divide by 0.
TEST(Elementwise, IntegerDivisions) {
  for (const char *type : {"i8", "i16", "i32", "i64", "index"})
    for (const char *name : {"divsi", "divui", "remsi", "remui", "ceildivsi",
                             "ceildivui", "floordivsi"}) {
      std::string text =
          makeScalarOp(std::string("arith.") + name, 2, type, type, type, 37);
      size_t at = text.find("%y = arith.");
      text.insert(at, std::string("%three = arith.constant 3 : ") + type +
                          "\n%n = arith.subi %p0, %three : " + type +
                          "\n%d = arith.ori %p1, %three : " + type + "\n");
      at = text.find(" %p0, %p1 : ", at);
      text.replace(at, 9, " %n, %d");
      Filling filling;
      filling.below = 7;
      EXPECT_EQ(compareWithInterpreter(text, filling), "")
          << name << " " << type << text;
    }
}

// Casts between all types that can be cast into each other.
TEST(Elementwise, Casts) {
  auto expectEqual = [](const std::string &op, const std::string &from,
                        const std::string &to) {
    EXPECT_EQ(compareWithInterpreter(makeScalarOp("arith." + op, 1, from, to,
                                                  from + " to " + to, 37)),
              "")
        << op << " " << from << " " << to;
  };
  const std::string integers[] = {"i1", "i8", "i16", "i32", "i64"};
  for (std::string type : {"f32", "f64"})
    for (const std::string &integer : integers) {
      expectEqual("sitofp", integer, type);
      expectEqual("uitofp", integer, type);
      if (integer != "i1")
        expectEqual("fptosi", type, integer);
    }
  expectEqual("extf", "f32", "f64");
  expectEqual("truncf", "f64", "f32");
  expectEqual("bitcast", "f32", "i32");
  expectEqual("bitcast", "i64", "f64");
  for (int small = 0; small < 5; ++small) {
    for (int large = small + 1; large < 5; ++large) {
      expectEqual("extsi", integers[small], integers[large]);
      expectEqual("extui", integers[small], integers[large]);
      expectEqual("trunci", integers[large], integers[small]);
    }
    expectEqual("index_cast", integers[small], "index");
    expectEqual("index_castui", integers[small], "index");
    expectEqual("index_cast", "index", integers[small]);
  }
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

// A pad is written once: its value where nothing is, the source in the middle;
// one that adds nothing is a copy.
TEST(Elementwise, Pads) {
  auto pad = [](const std::string &low, const std::string &high,
                const std::string &type) {
    return compareWithInterpreter(
        makeForward({"tensor<3x5xf32>"}, type,
                    "%v = arith.constant 1.5 : f32\n"
                    "%p = tensor.pad %a0 low" +
                        low + " high" + high +
                        " {\n^bb0(%i: index, %j: index):\n"
                        "tensor.yield %v : f32\n} : tensor<3x5xf32> to " +
                        type + "\nweir.yield %p : " + type));
  };
  EXPECT_EQ(pad("[2, 0]", "[1, 3]", "tensor<6x8xf32>"), "");
  EXPECT_EQ(pad("[0, 17]", "[0, 0]", "tensor<3x22xf32>"), "");
  EXPECT_EQ(pad("[0, 0]", "[0, 0]", "tensor<3x5xf32>"), "");
}
