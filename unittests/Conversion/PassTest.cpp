//===- PassTest.cpp - compiled passes as a whole --------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include "weir/Target/HostTarget.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#include <gtest/gtest.h>

static Filling integers() {
  Filling filling;
  filling.floats = Filling::SmallIntegers;
  return filling;
}

// Layernorm and softmax over rows of a size with a tail: several reductions,
// broadcasts and expanded functions, all fused as the compiler likes.
static std::string makeNormalisations(int columns) {
  std::string n = std::to_string(columns), full = "tensor<6x" + n + "xf32>",
              rows = "tensor<6xf32>", weights = "tensor<" + n + "xf32>";
  auto reduce = [&](const std::string &name, const std::string &inputs,
                    const std::string &maps, const std::string &types,
                    const std::string &arguments, const std::string &init,
                    const std::string &body) {
    return "%" + name + "_e = tensor.empty() : " + rows + "\n%" + name +
           "_f = linalg.fill ins(" + init + " : f32) outs(%" + name +
           "_e : " + rows + ") -> " + rows + "\n%" + name +
           " = linalg.generic {indexing_maps = [" + maps +
           ", #row], iterator_types = [\"parallel\", \"reduction\"]} ins(" +
           inputs + " : " + types + ") outs(%" + name + "_f : " + rows +
           ") {\n^bb0(" + arguments + ", %acc: f32):\n" + body +
           "\nlinalg.yield %s : f32\n} -> " + rows + "\n";
  };
  auto map = [&](const std::string &name, const std::string &inputs,
                 const std::string &maps, const std::string &types,
                 const std::string &arguments, const std::string &body) {
    return "%" + name + "_e = tensor.empty() : " + full + "\n%" + name +
           " = linalg.generic {indexing_maps = [" + maps +
           ", #full], iterator_types = [\"parallel\", \"parallel\"]} ins(" +
           inputs + " : " + types + ") outs(%" + name + "_e : " + full +
           ") {\n^bb0(" + arguments + ", %o: f32):\n" + body +
           "\nlinalg.yield %s : f32\n} -> " + full + "\n";
  };
  std::string body = "%zero = arith.constant 0.0 : f32\n"
                     "%lowest = arith.constant -3.0e38 : f32\n"
                     "%inverse = arith.constant 0.01 : f32\n";
  body += reduce("sum", "%a0", "#full", full, "%x: f32", "%zero",
                 "%s = arith.addf %acc, %x : f32");
  body += reduce("squares", "%a0, %sum", "#full, #row", full + ", " + rows,
                 "%x: f32, %m: f32", "%zero",
                 "%mean = arith.mulf %m, %inverse : f32\n"
                 "%d = arith.subf %x, %mean : f32\n"
                 "%q = arith.mulf %d, %d : f32\n"
                 "%s = arith.addf %acc, %q : f32");
  body += map("norm", "%a0, %sum, %squares, %a1", "#full, #row, #row, #column",
              full + ", " + rows + ", " + rows + ", " + weights,
              "%x: f32, %m: f32, %v: f32, %g: f32",
              "%mean = arith.mulf %m, %inverse : f32\n"
              "%d = arith.subf %x, %mean : f32\n"
              "%w = arith.mulf %v, %inverse : f32\n"
              "%r = math.rsqrt %w : f32\n"
              "%p = arith.mulf %d, %r : f32\n"
              "%s = arith.mulf %p, %g : f32");
  body += reduce("top", "%norm", "#full", full, "%x: f32", "%lowest",
                 "%s = arith.maximumf %acc, %x : f32");
  body += map("exp", "%norm, %top", "#full, #row", full + ", " + rows,
              "%x: f32, %m: f32",
              "%d = arith.subf %x, %m : f32\n%s = math.exp %d : f32");
  body += reduce("total", "%exp", "#full", full, "%x: f32", "%zero",
                 "%s = arith.addf %acc, %x : f32");
  body += map("softmax", "%exp, %total", "#full, #row", full + ", " + rows,
              "%x: f32, %m: f32", "%s = arith.divf %x, %m : f32");
  return "#full = affine_map<(i, j) -> (i, j)>\n"
         "#row = affine_map<(i, j) -> (i)>\n"
         "#column = affine_map<(i, j) -> (j)>\n" +
         makeForward({full, weights},
                     full + ", " + rows + ", !weir.bundle<" + full + ">",
                     body + "%b = weir.pack %norm : (" + full +
                         ") -> !weir.bundle<" + full +
                         ">\nweir.yield %softmax, %total, %b : " + full + ", " +
                         rows + ", !weir.bundle<" + full + ">");
}

TEST(Pass, Normalisations) {
  for (int columns : {1, 16, 31, 64, 257})
    EXPECT_EQ(compareWithInterpreter(makeNormalisations(columns)), "")
        << columns;
}

// One chain of ops in one pass, and cut in the middle so that a bundle carries
// the rest: the same bits, although other ops are fused.
TEST(Pass, CutsChangeNoBit) {
  std::string prologue = R"(
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (i)>
)";
  std::string f = "tensor<5x77xf32>", r = "tensor<5xf32>";
  std::string first = R"(
    %e0 = tensor.empty() : tensor<5x77xf32>
    %u = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%a0, %a1 : tensor<5x77xf32>, tensor<5x77xf32>) outs(%e0 : tensor<5x77xf32>) {
    ^bb0(%x: f32, %y: f32, %o: f32):
      %p = arith.mulf %x, %y : f32
      %q = arith.addf %p, %x : f32
      linalg.yield %q : f32
    } -> tensor<5x77xf32>
)";
  std::string second = R"(
    %zero = arith.constant 0.0 : f32
    %e1 = tensor.empty() : tensor<5xf32>
    %e2 = tensor.empty() : tensor<5x77xf32>
    %f1 = linalg.fill ins(%zero : f32) outs(%e1 : tensor<5xf32>) -> tensor<5xf32>
    %t = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
        ins(%u : tensor<5x77xf32>) outs(%f1 : tensor<5xf32>) {
    ^bb0(%x: f32, %acc: f32):
      %p = arith.mulf %x, %x : f32
      %s = arith.addf %acc, %p : f32
      linalg.yield %s : f32
    } -> tensor<5xf32>
    %v = linalg.generic {indexing_maps = [#id, #row, #id], iterator_types = ["parallel", "parallel"]}
        ins(%u, %t : tensor<5x77xf32>, tensor<5xf32>) outs(%e2 : tensor<5x77xf32>) {
    ^bb0(%x: f32, %y: f32, %o: f32):
      %p = arith.mulf %x, %y : f32
      %q = arith.subf %p, %x : f32
      linalg.yield %q : f32
    } -> tensor<5x77xf32>
    weir.yield %v : tensor<5x77xf32>
)";
  CompiledPasses whole(prologue + makeForward({f, f}, f, first + second));
  CompiledPasses cut(prologue + R"(
weir.pipeline @p stages 2 (%x0 = "x0" : tensor<5x77xf32>, %x1 = "x1" : tensor<5x77xf32>) {
  %m = weir.forward 0 (%a0 = %x0 : tensor<5x77xf32>, %a1 = %x1 : tensor<5x77xf32>)
      -> (tensor<5x77xf32>) {
)" + first + R"(
    weir.yield %u : tensor<5x77xf32>
  }
  %n = weir.forward 1 (%u = %m : tensor<5x77xf32>) -> (tensor<5x77xf32>) {
)" + second + "\n}\n}\n");
  std::vector<Bytes> once = whole.makeBuffers(0, {});
  std::vector<Bytes> before = cut.makeBuffers(0, {});
  whole.run(0, once);
  cut.run(0, before);
  std::vector<Bytes> after = cut.makeBuffers(1, {});
  after[0] = before[2];
  cut.run(1, after);
  EXPECT_EQ(once[2], after[1]);
}

// Gradients: a product and scattered rows go straight to the accumulator, also
// through a reshape; what has another use, and column sums, are added after.
TEST(Pass, Accumulate) {
  std::string text = R"(
#a = affine_map<(f, e, t) -> (t, f)>
#b = affine_map<(f, e, t) -> (t, e)>
#c = affine_map<(f, e, t) -> (f, e)>
#id = affine_map<(t, f) -> (t, f)>
#column = affine_map<(t, f) -> (f)>
weir.variable @w <constant, 0.0> : tensor<5x4xf32>
weir.variable @flat <constant, 0.0> : tensor<20xf32>
weir.variable @shared <constant, 0.0> : tensor<5x4xf32>
weir.variable @bias <constant, 0.0> : tensor<5xf32>
weir.variable @table <constant, 0.0> : tensor<7x5xf32>
weir.pipeline @p stages 1 (%x = "x" : tensor<6x5xf32>, %t = "t" : tensor<6xi32>, %y = "y" : tensor<6x4xf32>) {
  weir.backward_weight 0 (%g = %x : tensor<6x5xf32>, %i = %t : tensor<6xi32>, %h = %y : tensor<6x4xf32>) {
    %zero = arith.constant 0.0 : f32
    %e = tensor.empty() : tensor<5x4xf32>
    %f = linalg.fill ins(%zero : f32) outs(%e : tensor<5x4xf32>) -> tensor<5x4xf32>
    %w = linalg.contract indexing_maps = [#a, #b, #c] ins(%g, %h : tensor<6x5xf32>, tensor<6x4xf32>) outs(%f : tensor<5x4xf32>) -> tensor<5x4xf32>
    weir.accumulate @w use 0, %w : tensor<5x4xf32>
    %v = linalg.contract indexing_maps = [#a, #b, #c] ins(%g, %h : tensor<6x5xf32>, tensor<6x4xf32>) outs(%f : tensor<5x4xf32>) -> tensor<5x4xf32>
    %c = tensor.collapse_shape %v [[0, 1]] : tensor<5x4xf32> into tensor<20xf32>
    weir.accumulate @flat use 0, %c : tensor<20xf32>
    %u = linalg.contract indexing_maps = [#a, #b, #c] ins(%g, %h : tensor<6x5xf32>, tensor<6x4xf32>) outs(%f : tensor<5x4xf32>) -> tensor<5x4xf32>
    weir.accumulate @shared use 0, %u : tensor<5x4xf32>
    weir.accumulate @shared use 1, %u : tensor<5x4xf32>
    %eb = tensor.empty() : tensor<5xf32>
    %fb = linalg.fill ins(%zero : f32) outs(%eb : tensor<5xf32>) -> tensor<5xf32>
    %s = linalg.generic {indexing_maps = [#id, #column], iterator_types = ["reduction", "parallel"]}
        ins(%g : tensor<6x5xf32>) outs(%fb : tensor<5xf32>) {
    ^bb0(%in: f32, %acc: f32):
      %sum = arith.addf %acc, %in : f32
      linalg.yield %sum : f32
    } -> tensor<5xf32>
    weir.accumulate @bias use 0, %s : tensor<5xf32>
    %et = tensor.empty() : tensor<7x5xf32>
    %ft = linalg.fill ins(%zero : f32) outs(%et : tensor<7x5xf32>) -> tensor<7x5xf32>
    %r = weir.scatter_add %g into %ft[%i] : tensor<6x5xf32> into tensor<7x5xf32>[tensor<6xi32>]
    weir.accumulate @table use 1, %r : tensor<7x5xf32>
    weir.yield
  }
}
)";
  Filling filling = integers();
  filling.below = 7;
  EXPECT_EQ(compareWithInterpreter(text, filling), "");
  CompiledPasses compiled(text);
  // Only the product with two uses needs memory of its own, and after it, in
  // the same place, the column sums.
  EXPECT_EQ(compiled.getPass(0).getWorkspaceBytes(), 128);
}

// The embedding: a gather of rows plus the positions, indices of rank 3, and
// the adjoint with an upper half of the table.
TEST(Pass, GatherAndScatter) {
  std::string text = R"(
#id = affine_map<(b, t, e) -> (b, t, e)>
#position = affine_map<(b, t, e) -> (t, e)>
weir.variable @table <normal, 0.02> : tensor<9x19xf32>
weir.variable @positions <normal, 0.02> : tensor<5x19xf32>
weir.pipeline @p stages 1 (%x = "x" : tensor<2x3xi32>) {
  %y, %z, %g = weir.forward 0 (%i = %x : tensor<2x3xi32>) -> (tensor<2x3x19xf32>, tensor<2x3x19xf32>, tensor<9x19xf32>) {
    %w = weir.read @table : tensor<9x19xf32>
    %all = weir.read @positions : tensor<5x19xf32>
    %p = tensor.extract_slice %all[1, 0] [3, 19] [1, 1] : tensor<5x19xf32> to tensor<3x19xf32>
    %e = tensor.expand_shape %i [[0], [1, 2]] output_shape [2, 3, 1] : tensor<2x3xi32> into tensor<2x3x1xi32>
    %rows = tensor.gather %w[%e] gather_dims([0]) : (tensor<9x19xf32>, tensor<2x3x1xi32>) -> tensor<2x3x19xf32>
    %empty = tensor.empty() : tensor<2x3x19xf32>
    %sum = linalg.generic {indexing_maps = [#id, #position, #id], iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%rows, %p : tensor<2x3x19xf32>, tensor<3x19xf32>) outs(%empty : tensor<2x3x19xf32>) {
    ^bb0(%a: f32, %b: f32, %o: f32):
      %s = arith.addf %a, %b : f32
      linalg.yield %s : f32
    } -> tensor<2x3x19xf32>
    %r = weir.scatter_add %rows into %w[%i] : tensor<2x3x19xf32> into tensor<9x19xf32>[tensor<2x3xi32>]
    weir.yield %sum, %rows, %r : tensor<2x3x19xf32>, tensor<2x3x19xf32>, tensor<9x19xf32>
  }
}
)";
  Filling filling;
  filling.below = 9;
  EXPECT_EQ(compareWithInterpreter(text, filling), "");
}

// Bundles in and out, values that pass through, one value in two outputs, a
// reshaped output, a constant output, slices joined by inserting.
TEST(Pass, Outputs) {
  std::string text = R"(
#id = affine_map<(i, j) -> (i, j)>
weir.pipeline @p stages 1 (%x = "x" : tensor<3x4xf32>) {
  %k, %y, %c, %z, %j = weir.forward 0 (%a = %x : tensor<3x4xf32>)
      -> (!weir.bundle<tensor<3x4xf32>, tensor<3x4xf32>, tensor<12xf32>>, tensor<3x4xf32>, tensor<2x2xf32>, tensor<12xf32>, tensor<3x6xf32>) {
    %e = tensor.empty() : tensor<3x4xf32>
    %b = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%a : tensor<3x4xf32>) outs(%e : tensor<3x4xf32>) {
    ^bb0(%in: f32, %out: f32):
      %d = arith.addf %in, %in : f32
      linalg.yield %d : f32
    } -> tensor<3x4xf32>
    %flat = tensor.collapse_shape %b [[0, 1]] : tensor<3x4xf32> into tensor<12xf32>
    %constant = arith.constant dense<2.5> : tensor<2x2xf32>
    %zeros = arith.constant dense<0.0> : tensor<3x6xf32>
    %i0 = tensor.insert_slice %b into %zeros[0, 2] [3, 4] [1, 1] : tensor<3x4xf32> into tensor<3x6xf32>
    %t = weir.pack %a, %b, %flat : (tensor<3x4xf32>, tensor<3x4xf32>, tensor<12xf32>) -> !weir.bundle<tensor<3x4xf32>, tensor<3x4xf32>, tensor<12xf32>>
    weir.yield %t, %a, %constant, %flat, %i0 : !weir.bundle<tensor<3x4xf32>, tensor<3x4xf32>, tensor<12xf32>>, tensor<3x4xf32>, tensor<2x2xf32>, tensor<12xf32>, tensor<3x6xf32>
  }
  %l = weir.backward_input 0 (%a = %k : !weir.bundle<tensor<3x4xf32>, tensor<3x4xf32>, tensor<12xf32>>) -> (tensor<3x4xf32>) {
    %m, %n, %o = weir.unpack %a : (!weir.bundle<tensor<3x4xf32>, tensor<3x4xf32>, tensor<12xf32>>) -> (tensor<3x4xf32>, tensor<3x4xf32>, tensor<12xf32>)
    %h = tensor.expand_shape %o [[0, 1]] output_shape [3, 4] : tensor<12xf32> into tensor<3x4xf32>
    %e = tensor.empty() : tensor<3x4xf32>
    %b = linalg.generic {indexing_maps = [#id, #id, #id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%m, %n, %h : tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) outs(%e : tensor<3x4xf32>) {
    ^bb0(%in: f32, %in1: f32, %in2: f32, %out: f32):
      %p = arith.addf %in, %in1 : f32
      %q = arith.subf %p, %in2 : f32
      linalg.yield %q : f32
    } -> tensor<3x4xf32>
    weir.yield %b : tensor<3x4xf32>
  }
}
)";
  EXPECT_EQ(compareWithInterpreter(text), "");
}

// Tensors of constants that are not all the same are in the object.
TEST(Pass, ConstantTensors) {
  std::string text = R"(
#id = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
weir.pipeline @p stages 1 (%x = "x" : tensor<2x3xf32>) {
  %y, %z = weir.forward 0 (%a = %x : tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<3xf32>) {
    %c = arith.constant dense<[1.5, -2.0, 3.0]> : tensor<3xf32>
    %n = arith.constant dense<[[1, 2, 3], [4, 5, 6]]> : tensor<2x3xi32>
    %e = tensor.empty() : tensor<2x3xf32>
    %b = linalg.generic {indexing_maps = [#id, #row, #id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%a, %c, %n : tensor<2x3xf32>, tensor<3xf32>, tensor<2x3xi32>) outs(%e : tensor<2x3xf32>) {
    ^bb0(%p: f32, %q: f32, %k: i32, %out: f32):
      %f = arith.sitofp %k : i32 to f32
      %d = arith.mulf %p, %q : f32
      %s = arith.addf %d, %f : f32
      linalg.yield %s : f32
    } -> tensor<2x3xf32>
    weir.yield %b, %c : tensor<2x3xf32>, tensor<3xf32>
  }
}
)";
  EXPECT_EQ(compareWithInterpreter(text), "");
}

// The loss is added to what was reported before.
TEST(Pass, Report) {
  for (std::string f : {"f32", "f64"}) {
    std::string text =
        "#id = affine_map<(i) -> (i)>\n#none = affine_map<(i) -> ()>\n"
        "weir.pipeline @p stages 1 (%x = \"x\" : tensor<33x" +
        f +
        ">) {\n"
        "  weir.forward 0 (%a = %x : tensor<33x" +
        f +
        ">) {\n"
        "    %zero = arith.constant 0.0 : " +
        f +
        "\n"
        "    %e = tensor.empty() : tensor<" +
        f +
        ">\n"
        "    %z = linalg.fill ins(%zero : " +
        f + ") outs(%e : tensor<" + f + ">) -> tensor<" + f +
        ">\n"
        "    %s = linalg.generic {indexing_maps = [#id, #none], iterator_types "
        "= [\"reduction\"]}\n"
        "        ins(%a : tensor<33x" +
        f + ">) outs(%z : tensor<" + f +
        ">) {\n"
        "    ^bb0(%in: " +
        f + ", %acc: " + f +
        "):\n"
        "      %t = arith.addf %acc, %in : " +
        f +
        "\n"
        "      linalg.yield %t : " +
        f +
        "\n"
        "    } -> tensor<" +
        f +
        ">\n"
        "    %n = arith.constant dense<33.0> : tensor<" +
        f +
        ">\n"
        "    weir.report %s, %n : tensor<" +
        f + ">, tensor<" + f +
        ">\n"
        "    weir.yield\n  }\n}\n";
    EXPECT_EQ(compareWithInterpreter(text), "");
  }
}

// An update writes over the variable and its states, in place: a new state that
// depends on the old variable is computed before that is gone.
TEST(Pass, Update) {
  std::string text = R"(
#id = affine_map<(i, j) -> (i, j)>
#none = affine_map<(i, j) -> ()>
weir.variable @w <normal, 0.02> : tensor<5x7xf32>
weir.pipeline @p stages 1 () {
  weir.update @w uses 2 states ["m", "v"] (%w: tensor<5x7xf32>, %g0: tensor<5x7xf32>,
      %g1: tensor<5x7xf32>, %m: tensor<5x7xf32>, %v: tensor<5x7xf32>,
      %count: tensor<f32>, %rate: tensor<f32>, %step: tensor<f32>) {
    %e0 = tensor.empty() : tensor<5x7xf32>
    %new = linalg.generic {indexing_maps = [#id, #id, #id, #none, #none, #none, #id], iterator_types = ["parallel", "parallel"]}
        ins(%w, %g0, %g1, %count, %rate, %step : tensor<5x7xf32>, tensor<5x7xf32>, tensor<5x7xf32>, tensor<f32>, tensor<f32>, tensor<f32>)
        outs(%e0 : tensor<5x7xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32, %n: f32, %r: f32, %t: f32, %o: f32):
      %s = arith.addf %b, %c : f32
      %q = arith.divf %s, %n : f32
      %d = arith.mulf %q, %r : f32
      %f = arith.mulf %d, %t : f32
      %x = arith.subf %a, %f : f32
      linalg.yield %x : f32
    } -> tensor<5x7xf32>
    %e1 = tensor.empty() : tensor<5x7xf32>
    %mean = linalg.generic {indexing_maps = [#id, #id, #id, #id], iterator_types = ["parallel", "parallel"]}
        ins(%m, %w, %new : tensor<5x7xf32>, tensor<5x7xf32>, tensor<5x7xf32>) outs(%e1 : tensor<5x7xf32>) {
    ^bb0(%a: f32, %b: f32, %c: f32, %o: f32):
      %s = arith.addf %a, %b : f32
      %x = arith.mulf %s, %c : f32
      linalg.yield %x : f32
    } -> tensor<5x7xf32>
    // Another map: this cannot be computed in place.
    %sub = tensor.extract_slice %m[0, 0] [5, 5] [1, 1] : tensor<5x7xf32> to tensor<5x5xf32>
    %next = tensor.insert_slice %sub into %v[0, 1] [5, 5] [1, 1] : tensor<5x5xf32> into tensor<5x7xf32>
    weir.yield %new, %mean, %next : tensor<5x7xf32>, tensor<5x7xf32>, tensor<5x7xf32>
  }
}
)";
  EXPECT_EQ(compareWithInterpreter(text), "");
}

// Equal bodies share a kernel, whatever their variables are called.
TEST(Pass, SharedKernels) {
  auto layer = [](int stage, const std::string &name,
                  const std::string &factor) {
    std::string number = std::to_string(stage), x = "%x" + number,
                y = "%x" + std::to_string(stage + 1);
    return "  " + y + " = weir.forward " + number + " (%a = " + x +
           " : tensor<8xf32>) -> (tensor<8xf32>) {\n    %w = weir.read @" +
           name +
           " : tensor<8xf32>\n    %e = tensor.empty() : tensor<8xf32>\n"
           "    %b = linalg.generic {indexing_maps = [#id, #id, #id], "
           "iterator_types = [\"parallel\"]} ins(%a, %w : tensor<8xf32>, "
           "tensor<8xf32>) outs(%e : tensor<8xf32>) attrs = {weir.op = " +
           number +
           " : i64} {\n    ^bb0(%p: f32, %q: f32, %o: f32):\n"
           "      %c = arith.constant " +
           factor +
           " : f32\n"
           "      %d = arith.mulf %p, %q : f32\n"
           "      %s = arith.mulf %d, %c : f32\n      linalg.yield %s : f32\n"
           "    } -> tensor<8xf32>\n    weir.yield %b : tensor<8xf32>\n  }\n";
  };
  CompiledPasses compiled(
      "#id = affine_map<(i) -> (i)>\n"
      "weir.variable @u <constant, 1.0> : tensor<8xf32>\n"
      "weir.variable @v <constant, 1.0> : tensor<8xf32>\n"
      "weir.pipeline @p stages 3 (%x0 = \"x\" : tensor<8xf32>) {\n" +
      layer(0, "u", "2.0") + layer(1, "v", "2.0") + layer(2, "v", "3.0") +
      "}\n");
  EXPECT_EQ(compiled.getPass(0).getKernelAttr().getValue(), "f0");
  EXPECT_EQ(compiled.getPass(1).getKernelAttr().getValue(), "f0");
  EXPECT_EQ(compiled.getPass(2).getKernelAttr().getValue(), "f2");
  mlir::ModuleOp kernels = weir::getKernelsModule(compiled.getModule());
  int bodies = 0;
  for (auto function : kernels.getOps<mlir::LLVM::LLVMFuncOp>())
    bodies += !function.isExternal() && function.getName().starts_with("f");
  EXPECT_EQ(bodies, 2);
}

// A temporary is not written over while a part of it is still read as another
// operand: every row has row 1 of the same temporary subtracted.
TEST(Pass, PartOfWhatIsOverwritten) {
  std::string full = "tensor<3x5xf32>";
  EXPECT_EQ(compareWithInterpreter(R"(
#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
)" + makeForward({full, "tensor<3x2xf32>"}, full, R"(
    %w = tensor.insert_slice %a1 into %a0[0, 0] [3, 2] [1, 2] : tensor<3x2xf32> into tensor<3x5xf32>
    %r = tensor.extract_slice %w[1, 0] [1, 5] [1, 1] : tensor<3x5xf32> to tensor<5xf32>
    %e = tensor.empty() : tensor<3x5xf32>
    %d = linalg.generic {indexing_maps = [#full, #row, #full], iterator_types = ["parallel", "parallel"]}
        ins(%w, %r : tensor<3x5xf32>, tensor<5xf32>) outs(%e : tensor<3x5xf32>) {
    ^bb0(%x: f32, %y: f32, %o: f32):
      %s = arith.subf %x, %y : f32
      linalg.yield %s : f32
    } -> tensor<3x5xf32>
    weir.yield %d : tensor<3x5xf32>)")),
            "");
}
