//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GradientCheck.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace weir::test;

std::unique_ptr<GradientCheck>
GradientCheck::create(OwningOpRef<ModuleOp> module,
                      std::function<void(ModuleOp)> change) {
  if (!module)
    return nullptr;
  OwningOpRef<ModuleOp> differentiated = module->clone();
  if (failed(runPasses(*differentiated, "weir-differentiate")))
    return nullptr;
  if (change)
    change(*differentiated);

  auto check = std::make_unique<GradientCheck>();
  check->firstVariable = getFunction(*module).getNumArguments();
  check->model = CompiledModel::compile(std::move(module));
  check->joint = CompiledModel::compile(std::move(differentiated));
  if (!check->model || !check->joint)
    return nullptr;
  for (RankedTensorType type : check->model->getInputTypes())
    check->inputs.push_back(type.getElementType().isF64()
                                ? Tensor::ofFloats(type.getShape())
                                : Tensor::ofIntegers(type.getShape()));
  return check;
}

void GradientCheck::randomize(unsigned seed, double low, double high,
                              int32_t below) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> floats(low, high);
  std::uniform_int_distribution<int32_t> integers(0, below - 1);
  for (Tensor &tensor : inputs) {
    for (double &value : tensor.floats)
      value = floats(generator);
    for (int32_t &value : tensor.integers)
      value = integers(generator);
  }
}

double GradientCheck::elementError(double step) {
  std::vector<Tensor> outputs = joint->run(inputs);
  std::vector<double> exact, difference;
  for (size_t i = firstVariable; i < inputs.size(); ++i)
    for (size_t j = 0; j < inputs[i].floats.size(); ++j) {
      double &element = inputs[i].floats[j];
      double old = element;
      element = old + step;
      double above = getLoss();
      element = old - step;
      double below = getLoss();
      element = old;
      exact.push_back(outputs[2 + i - firstVariable].floats[j]);
      difference.push_back((above - below) / (2.0 * step));
    }
  double largest = 0.0, error = 0.0;
  for (double value : difference)
    largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < exact.size(); ++i) {
    double relative = std::abs(exact[i] - difference[i]) /
                      std::max(std::abs(difference[i]), 1e-3 * largest);
    // Not std::max, which would drop a NaN.
    if (!(relative <= error))
      error = relative;
  }
  // A model without any gradient proves nothing.
  return largest > 0.0 ? error : HUGE_VAL;
}

double GradientCheck::directionError(unsigned seed, double step) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<Tensor> outputs = joint->run(inputs), start = inputs;
  std::vector<Tensor> direction(inputs.begin() + firstVariable, inputs.end());
  double exact = 0.0;
  for (size_t i = 0; i < direction.size(); ++i)
    for (size_t j = 0; j < direction[i].floats.size(); ++j) {
      direction[i].floats[j] = normal(generator);
      exact += direction[i].floats[j] * outputs[2 + i].floats[j];
    }
  auto lossAt = [&](double distance) {
    for (size_t i = 0; i < direction.size(); ++i)
      for (size_t j = 0; j < direction[i].floats.size(); ++j)
        inputs[firstVariable + i].floats[j] =
            start[firstVariable + i].floats[j] +
            distance * direction[i].floats[j];
    return getLoss();
  };
  double difference = (lossAt(step) - lossAt(-step)) / (2.0 * step);
  inputs = start;
  return difference == 0.0
             ? HUGE_VAL
             : std::abs(exact - difference) / std::abs(difference);
}

bool GradientCheck::keepsForward() {
  std::vector<Tensor> a = model->run(inputs), b = joint->run(inputs);
  return a[0].floats == b[0].floats && a[1].floats == b[1].floats;
}
