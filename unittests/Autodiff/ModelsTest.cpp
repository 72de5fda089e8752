//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// Whole models: all rules together, and what the model returns.
//
//===----------------------------------------------------------------------===//

#include "Models.h"
#include "GradientCheck.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace weir::model;
using namespace weir::test;

namespace {
struct ModelCase {
  const char *name;
  bool gpt, tied;
};

void PrintTo(const ModelCase &model, std::ostream *os) { *os << model.name; }

class WholeModels : public testing::TestWithParam<ModelCase> {};
} // namespace

static mlir::OwningOpRef<mlir::ModuleOp> generate(const ModelCase &model) {
  Sizes sizes;
  sizes.layers = 2;
  sizes.hidden = 6;
  sizes.heads = 3;
  sizes.context = 4;
  sizes.vocab = 7;
  sizes.batch = 2;
  sizes.tied = model.tied;
  sizes.element = "f64";
  std::string text;
  llvm::raw_string_ostream os(text);
  (model.gpt ? writeGpt : writeMlp)(os, sizes);
  return parseModel(text);
}

static const ModelCase modelCases[] = {
    {"gpt", true, false},
    {"gpt_tied", true, true},
    {"mlp", false, false},
    {"mlp_tied", false, true},
};

TEST_P(WholeModels, AgreeWithCentralDifferences) {
  auto check = GradientCheck::create(generate(GetParam()));
  ASSERT_TRUE(check);
  check->randomize(1, -0.8, 0.8, /*below=*/7);
  // Ignore a label in the middle, and the last one of the first row.
  check->getInputs()[1].integers[1] = -1;
  check->getInputs()[1].integers[3] = -100;
  EXPECT_TRUE(check->keepsForward());
  for (unsigned seed = 0; seed < 5; ++seed)
    EXPECT_LT(check->directionError(seed), 1e-6);
  EXPECT_LT(check->elementError(), 1e-5);
}

// Logits of zero make every label cost log(vocabulary), and ignored ones
// nothing.
TEST_P(WholeModels, CountWhatIsNotIgnored) {
  auto compiled = CompiledModel::compile(generate(GetParam()));
  ASSERT_TRUE(compiled);
  std::vector<Tensor> inputs;
  for (mlir::RankedTensorType type : compiled->getInputTypes())
    inputs.push_back(type.getElementType().isF64()
                         ? Tensor::ofFloats(type.getShape())
                         : Tensor::ofIntegers(type.getShape()));
  inputs[1].integers[3] = -1;
  double count = GetParam().gpt ? 7.0 : 1.0;
  std::vector<Tensor> outputs = compiled->run(inputs);
  EXPECT_EQ(outputs[1].floats[0], count);
  EXPECT_NEAR(outputs[0].floats[0], count * std::log(7.0), 1e-12);
}

// Attention is causal: the loss of a label does not change with later tokens.
TEST(Gpt, DoesNotSeeTheFuture) {
  auto compiled = CompiledModel::compile(generate({"gpt", true, false}));
  ASSERT_TRUE(compiled);
  std::vector<Tensor> inputs;
  double value = 0.1;
  for (mlir::RankedTensorType type : compiled->getInputTypes()) {
    inputs.push_back(type.getElementType().isF64()
                         ? Tensor::ofFloats(type.getShape())
                         : Tensor::ofIntegers(type.getShape()));
    for (double &element : inputs.back().floats)
      element = std::sin(value += 1.7);
  }
  // Only the label at position 1 of the first row counts.
  for (int32_t &label : inputs[1].integers)
    label = -1;
  inputs[1].integers[1] = 5;
  double loss = compiled->run(inputs)[0].floats[0];
  inputs[0].integers[2] = 4;
  inputs[0].integers[3] = 6;
  EXPECT_EQ(compiled->run(inputs)[0].floats[0], loss);
  inputs[0].integers[1] = 4;
  EXPECT_NE(compiled->run(inputs)[0].floats[0], loss);
}

INSTANTIATE_TEST_SUITE_P(Generated, WholeModels, testing::ValuesIn(modelCases),
                         [](const auto &info) {
                           return std::string(info.param.name);
                         });
