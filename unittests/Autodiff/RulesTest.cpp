//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The rules for ops on tensors against central differences.
//
//===----------------------------------------------------------------------===//

#include "RuleModel.h"

#include "gtest/gtest.h"

using namespace weir::test;

namespace {
struct RuleCase {
  const char *name;
  std::vector<Named> variables, data;
  const char *outType;
  const char *body;
  int32_t below = 1;
};

void PrintTo(const RuleCase &rule, std::ostream *os) { *os << rule.name; }

class Rules : public testing::TestWithParam<RuleCase> {};
} // namespace

TEST_P(Rules, AgreeWithCentralDifferences) {
  const RuleCase &rule = GetParam();
  auto check = GradientCheck::create(parseModel(
      ruleModel(rule.variables, rule.data, rule.body, rule.outType)));
  ASSERT_TRUE(check);
  for (unsigned seed : {1, 2}) {
    check->randomize(seed, -1.5, 1.5, rule.below);
    EXPECT_LT(check->elementError(), 1e-6);
    EXPECT_TRUE(check->keepsForward());
  }
}

static const RuleCase ruleCases[] = {
    // Products.
    {"contract_matmul",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<4x5xf64>"}},
     {},
     "tensor<3x5xf64>",
     R"(
    %e = tensor.empty() : tensor<3x5xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3x5xf64>) -> tensor<3x5xf64>
    %out = linalg.contract indexing_maps = [
        affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>,
        affine_map<(m, n, k) -> (m, n)>]
        ins(%a, %b : tensor<3x4xf64>, tensor<4x5xf64>)
        outs(%f : tensor<3x5xf64>) -> tensor<3x5xf64>)"},
    {"contract_permuted_batches",
     {{"a", "tensor<2x3x4x5xf64>"}, {"b", "tensor<2x6x4x5xf64>"}},
     {},
     "tensor<2x4x3x6xf64>",
     R"(
    %e = tensor.empty() : tensor<2x4x3x6xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<2x4x3x6xf64>) -> tensor<2x4x3x6xf64>
    %out = linalg.contract indexing_maps = [
        affine_map<(b, h, i, j, d) -> (b, i, h, d)>,
        affine_map<(b, h, i, j, d) -> (b, j, h, d)>,
        affine_map<(b, h, i, j, d) -> (b, h, i, j)>]
        ins(%a, %b : tensor<2x3x4x5xf64>, tensor<2x6x4x5xf64>)
        outs(%f : tensor<2x4x3x6xf64>) -> tensor<2x4x3x6xf64>)"},
    {"contract_onto_variable",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<4xf64>"}, {"c", "tensor<3xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %out = linalg.contract indexing_maps = [
        affine_map<(m, k) -> (m, k)>, affine_map<(m, k) -> (k)>,
        affine_map<(m, k) -> (m)>]
        ins(%a, %b : tensor<3x4xf64>, tensor<4xf64>)
        outs(%c : tensor<3xf64>) -> tensor<3xf64>)"},
    // The adjoint of a factor that has all loops is an outer product.
    {"contract_dot",
     {{"a", "tensor<4xf64>"}, {"b", "tensor<4xf64>"}},
     {},
     "tensor<f64>",
     R"(
    %e = tensor.empty() : tensor<f64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<f64>) -> tensor<f64>
    %out = linalg.contract indexing_maps = [
        affine_map<(k) -> (k)>, affine_map<(k) -> (k)>, affine_map<(k) -> ()>]
        ins(%a, %b : tensor<4xf64>, tensor<4xf64>)
        outs(%f : tensor<f64>) -> tensor<f64>)"},
    {"contract_with_itself",
     {{"a", "tensor<3x4xf64>"}},
     {},
     "tensor<3x3xf64>",
     R"(
    %e = tensor.empty() : tensor<3x3xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3x3xf64>) -> tensor<3x3xf64>
    %out = linalg.contract indexing_maps = [
        affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>,
        affine_map<(m, n, k) -> (m, n)>]
        ins(%a, %a : tensor<3x4xf64>, tensor<3x4xf64>)
        outs(%f : tensor<3x3xf64>) -> tensor<3x3xf64>)"},
    {"matmul",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<4x5xf64>"}},
     {},
     "tensor<3x5xf64>",
     R"(
    %e = tensor.empty() : tensor<3x5xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3x5xf64>) -> tensor<3x5xf64>
    %out = linalg.matmul ins(%a, %b : tensor<3x4xf64>, tensor<4x5xf64>)
        outs(%f : tensor<3x5xf64>) -> tensor<3x5xf64>)"},
    {"batch_matmul",
     {{"a", "tensor<2x3x4xf64>"}, {"b", "tensor<2x4x5xf64>"}},
     {},
     "tensor<2x3x5xf64>",
     R"(
    %e = tensor.empty() : tensor<2x3x5xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<2x3x5xf64>) -> tensor<2x3x5xf64>
    %out = linalg.batch_matmul ins(%a, %b : tensor<2x3x4xf64>, tensor<2x4x5xf64>)
        outs(%f : tensor<2x3x5xf64>) -> tensor<2x3x5xf64>)"},

    // Generics.
    {"generic_broadcast_and_permuted",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<2xf64>"}, {"c", "tensor<f64>"}},
     {},
     "tensor<4x2x3xf64>",
     R"(
    %e = tensor.empty() : tensor<4x2x3xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j, k) -> (k, i)>,
                         affine_map<(i, j, k) -> (j)>,
                         affine_map<(i, j, k) -> ()>,
                         affine_map<(i, j, k) -> (i, j, k)>],
        iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%a, %b, %c : tensor<3x4xf64>, tensor<2xf64>, tensor<f64>)
        outs(%e : tensor<4x2x3xf64>) {
    ^bb0(%x: f64, %y: f64, %z: f64, %init: f64):
      %p = arith.mulf %x, %y : f64
      %q = arith.mulf %p, %z : f64
      %r = math.tanh %q : f64
      linalg.yield %r : f64
    } -> tensor<4x2x3xf64>)"},
    {"generic_sum",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<4xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %e = tensor.empty() : tensor<3xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3xf64>) -> tensor<3xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>,
                         affine_map<(i, j) -> (i)>],
        iterator_types = ["parallel", "reduction"]}
        ins(%a, %b : tensor<3x4xf64>, tensor<4xf64>) outs(%f : tensor<3xf64>) {
    ^bb0(%x: f64, %y: f64, %acc: f64):
      %s = math.sin %x : f64
      %p = arith.mulf %s, %y : f64
      %r = arith.addf %acc, %p : f64
      linalg.yield %r : f64
    } -> tensor<3xf64>)"},
    // The sum starts from a variable, and two terms are taken from it and
    // added.
    {"generic_sum_of_terms_onto_variable",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<4xf64>"}},
     {},
     "tensor<4xf64>",
     R"(
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>],
        iterator_types = ["reduction", "parallel"]}
        ins(%a : tensor<3x4xf64>) outs(%b : tensor<4xf64>) {
    ^bb0(%x: f64, %acc: f64):
      %e = math.exp %x : f64
      %t = arith.subf %acc, %e : f64
      %q = arith.mulf %x, %x : f64
      %r = arith.addf %q, %t : f64
      linalg.yield %r : f64
    } -> tensor<4xf64>)"},
    // b has one value per row; the adjoint of the sum reads neither operand,
    // yet
    // the loop over j must stay as long as it is.
    {"generic_sum_of_broadcast",
     {{"b", "tensor<3xf64>"}},
     {{"n", "tensor<3x4xi32>"}},
     "tensor<f64>",
     R"(
    %e = tensor.empty() : tensor<f64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<f64>) -> tensor<f64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>,
                         affine_map<(i, j) -> ()>],
        iterator_types = ["reduction", "reduction"]}
        ins(%b, %n : tensor<3xf64>, tensor<3x4xi32>) outs(%f : tensor<f64>) {
    ^bb0(%x: f64, %m: i32, %acc: f64):
      %r = arith.addf %acc, %x : f64
      linalg.yield %r : f64
    } -> tensor<f64>)"},
    {"generic_max",
     {{"a", "tensor<3x5xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %low = arith.constant -1.0e300 : f64
    %e = tensor.empty() : tensor<3xf64>
    %f = linalg.fill ins(%low : f64) outs(%e : tensor<3xf64>) -> tensor<3xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>],
        iterator_types = ["parallel", "reduction"]}
        ins(%a : tensor<3x5xf64>) outs(%f : tensor<3xf64>) {
    ^bb0(%x: f64, %acc: f64):
      %s = math.sin %x : f64
      %r = arith.maximumf %acc, %s : f64
      linalg.yield %r : f64
    } -> tensor<3xf64>)"},
    {"generic_min",
     {{"a", "tensor<3x5xf64>"}},
     {},
     "tensor<5xf64>",
     R"(
    %high = arith.constant 1.0e300 : f64
    %e = tensor.empty() : tensor<5xf64>
    %f = linalg.fill ins(%high : f64) outs(%e : tensor<5xf64>) -> tensor<5xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>],
        iterator_types = ["reduction", "parallel"]}
        ins(%a : tensor<3x5xf64>) outs(%f : tensor<5xf64>) {
    ^bb0(%x: f64, %acc: f64):
      %r = arith.minnumf %x, %acc : f64
      linalg.yield %r : f64
    } -> tensor<5xf64>)"},
    {"generic_two_results",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<3x4xf64>"}},
     {},
     "tensor<3x4xf64>",
     R"(
    %e0 = tensor.empty() : tensor<3x4xf64>
    %e1 = tensor.empty() : tensor<4x3xf64>
    %p:2 = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>,
                         affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, i)>],
        iterator_types = ["parallel", "parallel"]}
        ins(%a, %b : tensor<3x4xf64>, tensor<3x4xf64>)
        outs(%e0, %e1 : tensor<3x4xf64>, tensor<4x3xf64>) {
    ^bb0(%x: f64, %y: f64, %i0: f64, %i1: f64):
      %r = math.exp %x : f64
      %s = arith.mulf %r, %y : f64
      linalg.yield %r, %s : f64, f64
    } -> (tensor<3x4xf64>, tensor<4x3xf64>)
    %e2 = tensor.empty() : tensor<3x4xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j, i)>,
                         affine_map<(i, j) -> (i, j)>],
        iterator_types = ["parallel", "parallel"]}
        ins(%p#0, %p#1 : tensor<3x4xf64>, tensor<4x3xf64>)
        outs(%e2 : tensor<3x4xf64>) {
    ^bb0(%x: f64, %y: f64, %init: f64):
      %r = arith.mulf %x, %y : f64
      linalg.yield %r : f64
    } -> tensor<3x4xf64>)"},
    // All loops parallel, and the init is read like an operand.
    {"generic_updates_init",
     {{"a", "tensor<3xf64>"}, {"b", "tensor<3xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %out = linalg.generic {
        indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
        iterator_types = ["parallel"]}
        ins(%a : tensor<3xf64>) outs(%b : tensor<3xf64>) {
    ^bb0(%x: f64, %y: f64):
      %r = arith.mulf %x, %y : f64
      linalg.yield %r : f64
    } -> tensor<3xf64>)"},
    {"generic_scalar_operand",
     {{"a", "tensor<3xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %e = tensor.empty() : tensor<3xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>,
                         affine_map<(i) -> (i)>],
        iterator_types = ["parallel"]}
        ins(%a, %zero : tensor<3xf64>, f64) outs(%e : tensor<3xf64>) {
    ^bb0(%x: f64, %y: f64, %init: f64):
      %s = arith.addf %x, %y : f64
      %p = arith.mulf %x, %s : f64
      %r = arith.addf %p, %zero : f64
      linalg.yield %r : f64
    } -> tensor<3xf64>)"},
    {"generic_mask_by_index",
     {{"a", "tensor<4x4xf64>"}},
     {},
     "tensor<4x4xf64>",
     R"(
    %scale = arith.constant 3.0 : f64
    %e = tensor.empty() : tensor<4x4xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
        iterator_types = ["parallel", "parallel"]}
        ins(%a : tensor<4x4xf64>) outs(%e : tensor<4x4xf64>) {
    ^bb0(%x: f64, %init: f64):
      %i = linalg.index 0 : index
      %j = linalg.index 1 : index
      %c = arith.cmpi sle, %j, %i : index
      %s = arith.mulf %x, %scale : f64
      %r = arith.select %c, %s, %zero : f64
      linalg.yield %r : f64
    } -> tensor<4x4xf64>)"},

    // Other structured ops are raised first.
    {"transpose_broadcast_reduce",
     {{"a", "tensor<3x4xf64>"}},
     {},
     "tensor<4x5xf64>",
     R"(
    %e0 = tensor.empty() : tensor<4x3xf64>
    %t = linalg.transpose ins(%a : tensor<3x4xf64>) outs(%e0 : tensor<4x3xf64>)
        permutation = [1, 0]
    %e1 = tensor.empty() : tensor<4x5x3xf64>
    %w = linalg.broadcast ins(%t : tensor<4x3xf64>) outs(%e1 : tensor<4x5x3xf64>)
        dimensions = [1]
    %q = arith.mulf %w, %w : tensor<4x5x3xf64>
    %e2 = tensor.empty() : tensor<4x5xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e2 : tensor<4x5xf64>) -> tensor<4x5xf64>
    %out = linalg.reduce { arith.addf } ins(%q : tensor<4x5x3xf64>)
        outs(%f : tensor<4x5xf64>) dimensions = [2])"},
    {"map_and_named_elementwise",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<3x4xf64>"}},
     {},
     "tensor<3x4xf64>",
     R"(
    %e0 = tensor.empty() : tensor<3x4xf64>
    %m = linalg.map { arith.mulf } ins(%a, %b : tensor<3x4xf64>, tensor<3x4xf64>)
        outs(%e0 : tensor<3x4xf64>)
    %e1 = tensor.empty() : tensor<3x4xf64>
    %x = linalg.exp ins(%m : tensor<3x4xf64>) outs(%e1 : tensor<3x4xf64>)
        -> tensor<3x4xf64>
    %e2 = tensor.empty() : tensor<3x4xf64>
    %out = linalg.elementwise kind=#linalg.elementwise_kind<sub>
        ins(%x, %a : tensor<3x4xf64>, tensor<3x4xf64>)
        outs(%e2 : tensor<3x4xf64>) -> tensor<3x4xf64>)"},
    {"arith_on_tensors",
     {{"a", "tensor<3x4xf64>"}, {"b", "tensor<3x4xf64>"}},
     {},
     "tensor<3x4xf64>",
     R"(
    %s = arith.addf %a, %b : tensor<3x4xf64>
    %t = math.tanh %s : tensor<3x4xf64>
    %c = arith.cmpf ogt, %a, %b : tensor<3x4xf64>
    %p = arith.mulf %t, %a : tensor<3x4xf64>
    %out = arith.select %c, %p, %t : tensor<3x4xi1>, tensor<3x4xf64>)"},

    // Shapes and slices.
    {"expand_and_collapse",
     {{"a", "tensor<3x8xf64>"}},
     {},
     "tensor<6x4xf64>",
     R"(
    %x = tensor.expand_shape %a [[0], [1, 2]] output_shape [3, 2, 4]
        : tensor<3x8xf64> into tensor<3x2x4xf64>
    %y = tensor.collapse_shape %x [[0, 1], [2]]
        : tensor<3x2x4xf64> into tensor<6x4xf64>
    %out = arith.mulf %y, %y : tensor<6x4xf64>)"},
    {"extract_slices_disjoint",
     {{"a", "tensor<3x8xf64>"}},
     {},
     "tensor<3x4xf64>",
     R"(
    %t = math.sin %a : tensor<3x8xf64>
    %x = tensor.extract_slice %t[0, 0] [3, 4] [1, 1] : tensor<3x8xf64> to tensor<3x4xf64>
    %y = tensor.extract_slice %t[0, 4] [3, 4] [1, 1] : tensor<3x8xf64> to tensor<3x4xf64>
    %out = arith.mulf %x, %y : tensor<3x4xf64>)"},
    {"extract_slices_overlapping_and_whole",
     {{"a", "tensor<3x8xf64>"}},
     {},
     "tensor<3x4xf64>",
     R"(
    %t = math.sin %a : tensor<3x8xf64>
    %x = tensor.extract_slice %t[0, 1] [3, 4] [1, 1] : tensor<3x8xf64> to tensor<3x4xf64>
    %y = tensor.extract_slice %t[0, 3] [3, 4] [1, 1] : tensor<3x8xf64> to tensor<3x4xf64>
    %s = arith.mulf %t, %t : tensor<3x8xf64>
    %z = tensor.extract_slice %s[0, 0] [3, 4] [1, 2] : tensor<3x8xf64> to tensor<3x4xf64>
    %p = arith.mulf %x, %y : tensor<3x4xf64>
    %out = arith.addf %p, %z : tensor<3x4xf64>)"},
    {"extract_slice_drops_dimension",
     {{"a", "tensor<3x8xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %x = tensor.extract_slice %a[0, 7] [3, 1] [1, 1] : tensor<3x8xf64> to tensor<3xf64>
    %out = arith.mulf %x, %x : tensor<3xf64>)"},
    {"insert_slice",
     {{"a", "tensor<3x8xf64>"}, {"b", "tensor<3x2xf64>"}},
     {},
     "tensor<3x8xf64>",
     R"(
    %x = tensor.insert_slice %b into %a[0, 3] [3, 2] [1, 2]
        : tensor<3x2xf64> into tensor<3x8xf64>
    %out = arith.mulf %x, %x : tensor<3x8xf64>)"},
    {"concat",
     {{"a", "tensor<3x2xf64>"}, {"b", "tensor<3x3xf64>"}},
     {},
     "tensor<3x5xf64>",
     R"(
    %x = tensor.concat dim(1) %a, %b
        : (tensor<3x2xf64>, tensor<3x3xf64>) -> tensor<3x5xf64>
    %out = arith.mulf %x, %x : tensor<3x5xf64>)"},

    // Tables. 6 indices into 4 rows repeat some.
    {"gather",
     {{"a", "tensor<4x5xf64>"}},
     {{"n", "tensor<2x3xi32>"}},
     "tensor<2x3x5xf64>",
     R"(
    %i = tensor.expand_shape %n [[0], [1, 2]] output_shape [2, 3, 1]
        : tensor<2x3xi32> into tensor<2x3x1xi32>
    %x = tensor.gather %a[%i] gather_dims([0])
        : (tensor<4x5xf64>, tensor<2x3x1xi32>) -> tensor<2x3x5xf64>
    %out = arith.mulf %x, %x : tensor<2x3x5xf64>)",
     4},
    {"gather_keeping_dimension",
     {{"a", "tensor<4x5xf64>"}},
     {{"n", "tensor<6x1xi32>"}},
     "tensor<6x5xf64>",
     R"(
    %x = tensor.gather %a[%n] gather_dims([0])
        : (tensor<4x5xf64>, tensor<6x1xi32>) -> tensor<6x1x5xf64>
    %y = tensor.collapse_shape %x [[0, 1], [2]] : tensor<6x1x5xf64> into tensor<6x5xf64>
    %out = arith.mulf %y, %y : tensor<6x5xf64>)",
     4},
    {"scatter_add",
     {{"a", "tensor<4x5xf64>"}, {"u", "tensor<2x3x5xf64>"}},
     {{"n", "tensor<2x3xi32>"}},
     "tensor<4x5xf64>",
     R"(
    %x = weir.scatter_add %u into %a[%n]
        : tensor<2x3x5xf64> into tensor<4x5xf64>[tensor<2x3xi32>]
    %out = arith.mulf %x, %x : tensor<4x5xf64>)",
     4},

    {"gather_columns",
     {{"a", "tensor<4x5x3xf64>"}},
     {{"n", "tensor<6x1xi32>"}},
     "tensor<6x4x3xf64>",
     R"(
    %x = tensor.gather %a[%n] gather_dims([1])
        : (tensor<4x5x3xf64>, tensor<6x1xi32>) -> tensor<6x4x3xf64>
    %out = arith.mulf %x, %x : tensor<6x4x3xf64>)",
     5},
    {"gather_several_dimensions",
     {{"a", "tensor<4x5x3xf64>"}},
     {{"n", "tensor<2x6x2xi32>"}},
     "tensor<2x6x1x5x1xf64>",
     R"(
    %x = tensor.gather %a[%n] gather_dims([0, 2])
        : (tensor<4x5x3xf64>, tensor<2x6x2xi32>) -> tensor<2x6x1x5x1xf64>
    %out = arith.mulf %x, %x : tensor<2x6x1x5x1xf64>)",
     3},
    {"pad",
     {{"a", "tensor<2x3xf64>"}, {"v", "tensor<2xf64>"}},
     {},
     "tensor<5x4xf64>",
     R"(
    %c1 = arith.constant 1 : index
    %p = tensor.extract %v[%c1] : tensor<2xf64>
    %x = tensor.pad %a low[1, 0] high[2, 1] {
    ^bb0(%i: index, %j: index):
      tensor.yield %p : f64
    } : tensor<2x3xf64> to tensor<5x4xf64>
    %out = arith.mulf %x, %x : tensor<5x4xf64>)"},

    // Maps that are no projected permutations.
    {"convolution",
     {{"a", "tensor<2x9x7x3xf64>"}, {"k", "tensor<3x2x3x4xf64>"}},
     {},
     "tensor<2x3x5x4xf64>",
     R"(
    %e = tensor.empty() : tensor<2x3x5x4xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<2x3x5x4xf64>) -> tensor<2x3x5x4xf64>
    %out = linalg.conv_2d_nhwc_hwcf {strides = dense<[2, 1]> : tensor<2xi64>,
        dilations = dense<[2, 2]> : tensor<2xi64>}
        ins(%a, %k : tensor<2x9x7x3xf64>, tensor<3x2x3x4xf64>)
        outs(%f : tensor<2x3x5x4xf64>) -> tensor<2x3x5x4xf64>)"},
    {"max_pooling",
     {{"a", "tensor<1x6x6x2xf64>"}},
     {},
     "tensor<1x2x2x2xf64>",
     R"(
    %low = arith.constant -1.0e300 : f64
    %w = tensor.empty() : tensor<3x3xf64>
    %e = tensor.empty() : tensor<1x2x2x2xf64>
    %f = linalg.fill ins(%low : f64) outs(%e : tensor<1x2x2x2xf64>) -> tensor<1x2x2x2xf64>
    %out = linalg.pooling_nhwc_max {strides = dense<2> : tensor<2xi64>}
        ins(%a, %w : tensor<1x6x6x2xf64>, tensor<3x3xf64>)
        outs(%f : tensor<1x2x2x2xf64>) -> tensor<1x2x2x2xf64>)"},
    {"reversed_diagonal_and_constant",
     {{"a", "tensor<4xf64>"},
      {"b", "tensor<4x5xf64>"},
      {"c", "tensor<3x5xf64>"}},
     {},
     "tensor<4xf64>",
     R"(
    %e = tensor.empty() : tensor<4xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i) -> (3 - i)>, affine_map<(i) -> (i, i + 1)>,
                         affine_map<(i) -> (2, i + 1)>, affine_map<(i) -> (i)>],
        iterator_types = ["parallel"]}
        ins(%a, %b, %c : tensor<4xf64>, tensor<4x5xf64>, tensor<3x5xf64>)
        outs(%e : tensor<4xf64>) {
    ^bb0(%x: f64, %y: f64, %z: f64, %init: f64):
      %p = arith.mulf %x, %y : f64
      %r = arith.mulf %p, %z : f64
      linalg.yield %r : f64
    } -> tensor<4xf64>)"},
    // Loops that share dimensions, against the operand too, with a margin on
    // either side.
    {"shared_loops_and_offsets",
     {{"a", "tensor<9x8xf64>"}, {"b", "tensor<12xf64>"}},
     {},
     "tensor<3x3x4xf64>",
     R"(
    %e = tensor.empty() : tensor<3x3x4xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j, k) -> (2 * i - j + 3, i + k + 1)>,
                         affine_map<(i, j, k) -> (9 - 2 * j - k)>,
                         affine_map<(i, j, k) -> (i, j, k)>],
        iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%a, %b : tensor<9x8xf64>, tensor<12xf64>)
        outs(%e : tensor<3x3x4xf64>) {
    ^bb0(%x: f64, %y: f64, %o: f64):
      %r = arith.mulf %x, %y : f64
      linalg.yield %r : f64
    } -> tensor<3x3x4xf64>)"},
    {"patches",
     {{"a", "tensor<2x12xf64>"}},
     {{"n", "tensor<3x4xf64>"}},
     "tensor<2x3x4xf64>",
     R"(
    %e = tensor.empty() : tensor<2x3x4xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j, k) -> (i, j * 4 + k)>,
                         affine_map<(i, j, k) -> (j, k)>,
                         affine_map<(i, j, k) -> (i, j, k)>],
        iterator_types = ["parallel", "parallel", "parallel"]}
        ins(%a, %n : tensor<2x12xf64>, tensor<3x4xf64>) outs(%e : tensor<2x3x4xf64>) {
    ^bb0(%x: f64, %y: f64, %init: f64):
      %p = arith.mulf %x, %x : f64
      %r = arith.mulf %p, %y : f64
      linalg.yield %r : f64
    } -> tensor<2x3x4xf64>)"},

    // Reductions.
    {"product_reduction",
     {{"a", "tensor<3x7x2xf64>"},
      {"b", "tensor<7xf64>"},
      {"i", "tensor<3xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j, k) -> (i, j, k)>, affine_map<(i, j, k) -> (j)>,
                         affine_map<(i, j, k) -> (i)>],
        iterator_types = ["parallel", "reduction", "reduction"]}
        ins(%a, %b : tensor<3x7x2xf64>, tensor<7xf64>) outs(%i : tensor<3xf64>) {
    ^bb0(%x: f64, %y: f64, %acc: f64):
      %s = arith.addf %x, %y : f64
      %r = arith.mulf %acc, %s : f64
      linalg.yield %r : f64
    } -> tensor<3xf64>)"},
    {"maximum_from_variable",
     {{"a", "tensor<5x4xf64>"}, {"i", "tensor<5xf64>"}},
     {},
     "tensor<5xf64>",
     R"(
    %out = linalg.reduce { arith.maximumf } ins(%a : tensor<5x4xf64>)
        outs(%i : tensor<5xf64>) dimensions = [1])"},
    {"matmul_transposed_and_broadcast",
     {{"a", "tensor<4xf64>"}, {"b", "tensor<5x4xf64>"}},
     {},
     "tensor<3x5xf64>",
     R"(
    %e = tensor.empty() : tensor<3x5xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3x5xf64>) -> tensor<3x5xf64>
    %out = linalg.matmul indexing_maps = [
        affine_map<(m, n, k) -> (k)>, affine_map<(m, n, k) -> (n, k)>,
        affine_map<(m, n, k) -> (m, n)>]
        ins(%a, %b : tensor<4xf64>, tensor<5x4xf64>)
        outs(%f : tensor<3x5xf64>) -> tensor<3x5xf64>)"},

    // What a sum adds several times has as many times the gradient of the sum.
    {"sum_of_repeated",
     {{"a", "tensor<3xf64>"}, {"b", "tensor<3x4xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %e = tensor.empty() : tensor<3xf64>
    %f = linalg.fill ins(%zero : f64) outs(%e : tensor<3xf64>) -> tensor<3xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, k) -> (i)>, affine_map<(i, k) -> (i, k)>,
                         affine_map<(i, k) -> (i)>],
        iterator_types = ["parallel", "reduction"]}
        ins(%a, %b : tensor<3xf64>, tensor<3x4xf64>) outs(%f : tensor<3xf64>) {
    ^bb0(%x: f64, %y: f64, %acc: f64):
      %s = arith.addf %x, %y : f64
      %r = arith.addf %acc, %s : f64
      linalg.yield %r : f64
    } -> tensor<3xf64>)"},

    // The same variable three times, once not at all differentiably.
    {"several_uses",
     {{"a", "tensor<3xf64>"}},
     {},
     "tensor<3xf64>",
     R"(
    %s = math.sin %a : tensor<3xf64>
    %c = arith.cmpf ogt, %a, %s : tensor<3xf64>
    %p = arith.mulf %s, %a : tensor<3xf64>
    %out = arith.select %c, %p, %s : tensor<3xi1>, tensor<3xf64>)"},
};

INSTANTIATE_TEST_SUITE_P(Tensors, Rules, testing::ValuesIn(ruleCases),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });

// Elements that share a maximum share its gradient; central differences cannot
// tell, because there is no derivative.
TEST(Rules, SharesTheGradientOfATie) {
  auto check = GradientCheck::create(
      parseModel(ruleModel({{"a", "tensor<4xf64>"}}, {}, R"(
    %low = arith.constant -1.0e300 : f64
    %e = tensor.empty() : tensor<f64>
    %f = linalg.fill ins(%low : f64) outs(%e : tensor<f64>) -> tensor<f64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>],
        iterator_types = ["reduction"]}
        ins(%a : tensor<4xf64>) outs(%f : tensor<f64>) {
    ^bb0(%x: f64, %acc: f64):
      %r = arith.maximumf %acc, %x : f64
      linalg.yield %r : f64
    } -> tensor<f64>)",
                           "tensor<f64>")));
  ASSERT_TRUE(check);
  // The weight of the loss, then the variable.
  check->getInputs()[0].floats = {3.0};
  check->getInputs()[1].floats = {1.0, 2.0, 2.0, -1.0};
  EXPECT_EQ(check->getGradient(0), (std::vector<double>{0.0, 1.5, 1.5, 0.0}));
}

// The gradient of a product is exact where factors are zero.
TEST(Rules, DifferentiatesProductsWithZeros) {
  auto check = GradientCheck::create(
      parseModel(ruleModel({{"a", "tensor<2x3xf64>"}}, {}, R"(
    %one = arith.constant 1.0 : f64
    %e = tensor.empty() : tensor<2xf64>
    %f = linalg.fill ins(%one : f64) outs(%e : tensor<2xf64>) -> tensor<2xf64>
    %out = linalg.reduce { arith.mulf } ins(%a : tensor<2x3xf64>)
        outs(%f : tensor<2xf64>) dimensions = [1])",
                           "tensor<2xf64>")));
  ASSERT_TRUE(check);
  check->getInputs()[0].floats = {1.0, 10.0};
  check->getInputs()[1].floats = {0.0, 2.0, 3.0, 0.0, 5.0, 0.0};
  EXPECT_EQ(check->getGradient(0),
            (std::vector<double>{6.0, 0.0, 0.0, 0.0, 0.0, 0.0}));
}

// A stopped gradient is zero although the value matters to the loss.
TEST(Rules, StopsGradients) {
  auto check = GradientCheck::create(parseModel(
      ruleModel({{"a", "tensor<2xf64>"}, {"b", "tensor<2xf64>"}}, {}, R"(
    %s = arith.mulf %a, %a {weir.stop_gradient} : tensor<2xf64>
    %e = tensor.empty() : tensor<2xf64>
    %t = linalg.generic {
        indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>,
                         affine_map<(i) -> (i)>],
        iterator_types = ["parallel"]}
        ins(%a, %b : tensor<2xf64>, tensor<2xf64>) outs(%e : tensor<2xf64>)
        attrs = {weir.stop_gradient = array<i64: 1>} {
    ^bb0(%x: f64, %y: f64, %init: f64):
      %r = arith.mulf %x, %y : f64
      linalg.yield %r : f64
    } -> tensor<2xf64>
    %out = arith.addf %s, %t : tensor<2xf64>)",
                "tensor<2xf64>")));
  ASSERT_TRUE(check);
  check->getInputs()[0].floats = {1.0, 10.0};
  check->getInputs()[1].floats = {2.0, 3.0};
  check->getInputs()[2].floats = {5.0, 7.0};
  EXPECT_EQ(check->getGradient(0), (std::vector<double>{5.0, 70.0}));
  EXPECT_EQ(check->getGradient(1), (std::vector<double>{0.0, 0.0}));
}
