//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The rules for scalar ops, each in the body of an elementwise generic, against
// central differences.
//
//===----------------------------------------------------------------------===//

#include "RuleModel.h"

#include "gtest/gtest.h"

using namespace weir::test;

namespace {
/// `code` computes %y from %a and %b, drawn from low..high.
struct ScalarCase {
  const char *name;
  const char *code;
  double low = -1.5, high = 1.5;
  /// Half width of the difference; wide where f32 rounds what is linear anyway.
  double step = 1e-5;
};

void PrintTo(const ScalarCase &scalar, std::ostream *os) { *os << scalar.name; }

class ScalarRules : public testing::TestWithParam<ScalarCase> {};
} // namespace

TEST_P(ScalarRules, AgreeWithCentralDifferences) {
  // a is 3x4, b is broadcast from 4: so its adjoint is a sum, too.
  std::string body = R"(
    %empty = tensor.empty() : tensor<3x4xf64>
    %out = linalg.generic {
        indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (j)>,
                         affine_map<(i, j) -> (i, j)>],
        iterator_types = ["parallel", "parallel"]}
        ins(%a, %b : tensor<3x4xf64>, tensor<4xf64>)
        outs(%empty : tensor<3x4xf64>) {
    ^bb0(%x: f64, %y: f64, %init: f64):
    )" + std::string(GetParam().code) +
                     R"(
      linalg.yield %r : f64
    } -> tensor<3x4xf64>)";
  auto check = GradientCheck::create(
      parseModel(ruleModel({{"a", "tensor<3x4xf64>"}, {"b", "tensor<4xf64>"}},
                           {}, body, "tensor<3x4xf64>")));
  ASSERT_TRUE(check);
  for (unsigned seed : {1, 2}) {
    check->randomize(seed, GetParam().low, GetParam().high);
    EXPECT_LT(check->elementError(GetParam().step), 1e-6);
    EXPECT_TRUE(check->keepsForward());
  }
}

static const ScalarCase scalarCases[] = {
    {"addf", "%r = arith.addf %x, %y : f64"},
    {"subf", "%r = arith.subf %x, %y : f64"},
    {"mulf", "%r = arith.mulf %x, %y : f64"},
    {"square", "%r = arith.mulf %x, %x : f64"},
    {"divf", "%r = arith.divf %x, %y : f64", 0.5, 2.0},
    {"negf", "%r = arith.negf %x : f64"},
    {"remf", "%r = arith.remf %x, %y : f64", 0.7, 2.0},
    {"maximumf", "%r = arith.maximumf %x, %y : f64"},
    {"maxnumf", "%r = arith.maxnumf %x, %y : f64"},
    {"minimumf", "%r = arith.minimumf %x, %y : f64"},
    {"minnumf", "%r = arith.minnumf %x, %y : f64"},
    {"relu", "%c = arith.constant 0.0 : f64\n"
             "%r = arith.maximumf %x, %c : f64"},
    {"clamp", "%c = arith.constant 0.3 : f64\n"
              "%r = arith.minimumf %c, %x : f64"},
    {"select", "%c = arith.cmpf olt, %x, %y : f64\n"
               "%s = arith.mulf %x, %y : f64\n"
               "%r = arith.select %c, %x, %s : f64"},
    {"casts",
     "%n = arith.truncf %x : f64 to f32\n"
     "%w = arith.extf %n : f32 to f64\n"
     "%r = arith.mulf %w, %y : f64",
     0.5, 2.0, 0.25},
    {"sitofp", "%i = linalg.index 0 : index\n"
               "%k = arith.index_cast %i : index to i32\n"
               "%f = arith.sitofp %k : i32 to f64\n"
               "%r = arith.mulf %x, %f : f64"},
    {"exp", "%r = math.exp %x : f64"},
    {"exp2", "%r = math.exp2 %x : f64"},
    {"expm1", "%r = math.expm1 %x : f64"},
    {"log", "%r = math.log %x : f64", 0.5, 2.0},
    {"log2", "%r = math.log2 %x : f64", 0.5, 2.0},
    {"log1p", "%r = math.log1p %x : f64", -0.5, 1.0},
    {"tanh", "%r = math.tanh %x : f64"},
    {"erf", "%r = math.erf %x : f64"},
    {"sqrt", "%r = math.sqrt %x : f64", 0.5, 2.0},
    {"rsqrt", "%r = math.rsqrt %x : f64", 0.5, 2.0},
    {"absf", "%r = math.absf %x : f64"},
    {"powf", "%r = math.powf %x, %y : f64", 0.5, 2.0},
    {"cube", "%c = arith.constant 3.0 : f64\n"
             "%r = math.powf %x, %c : f64"},
    {"power_two", "%c = arith.constant 2.0 : f64\n"
                  "%r = math.powf %x, %c : f64"},
    {"sin", "%r = math.sin %x : f64"},
    {"cos", "%r = math.cos %x : f64"},
    {"erfc", "%r = math.erfc %x : f64"},
    {"log10", "%r = math.log10 %x : f64", 0.5, 2.0},
    {"cbrt", "%r = math.cbrt %x : f64", 0.5, 2.0},
    {"tan", "%r = math.tan %x : f64", -1.0, 1.0},
    {"asin", "%r = math.asin %x : f64", -0.9, 0.9},
    {"acos", "%r = math.acos %x : f64", -0.9, 0.9},
    {"atan", "%r = math.atan %x : f64"},
    {"atan2", "%r = math.atan2 %x, %y : f64", 0.5, 2.0},
    {"sinh", "%r = math.sinh %x : f64"},
    {"cosh", "%r = math.cosh %x : f64"},
    {"acosh", "%r = math.acosh %x : f64", 1.2, 2.0},
    {"atanh", "%r = math.atanh %x : f64", -0.9, 0.9},
    {"copysign", "%r = math.copysign %x, %y : f64"},
    {"sincos", "%s, %c = math.sincos %x : f64\n"
               "%p = arith.mulf %s, %y : f64\n"
               "%r = arith.addf %p, %c : f64"},
    {"fpowi", "%n = arith.constant 3 : i32\n"
              "%r = math.fpowi %x, %n : f64, i32"},
    {"fma", "%r = math.fma %x, %y, %x : f64"},
    {"floor", "%f = math.floor %x : f64\n"
              "%r = arith.mulf %f, %y : f64"},
    {"gelu", "%half = arith.constant 0.5 : f64\n"
             "%one = arith.constant 1.0 : f64\n"
             "%s = arith.constant 0.7071067811865476 : f64\n"
             "%u = arith.mulf %x, %s : f64\n"
             "%e = math.erf %u : f64\n"
             "%p = arith.addf %one, %e : f64\n"
             "%h = arith.mulf %half, %x : f64\n"
             "%r = arith.mulf %h, %p : f64"},
};

INSTANTIATE_TEST_SUITE_P(Arith, ScalarRules, testing::ValuesIn(scalarCases),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });
