//===- GradientCheck.h - compare with central differences -------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_AUTODIFF_GRADIENTCHECK_H
#define WEIR_UNITTESTS_AUTODIFF_GRADIENTCHECK_H

#include "CompiledModel.h"

#include <functional>
#include <random>

namespace weir::test {

/// A model and its joint graph, compiled, with inputs to try them on.
class GradientCheck {
public:
  /// Differentiates a copy of `module`, lets `change` do something to it, and
  /// compiles both. Null if any of it fails.
  static std::unique_ptr<GradientCheck>
  create(mlir::OwningOpRef<mlir::ModuleOp> module,
         std::function<void(mlir::ModuleOp)> change = nullptr);

  /// Draws floats from low..high and integers from 0..below-1.
  void randomize(unsigned seed, double low = -1.0, double high = 1.0,
                 int32_t below = 1);

  /// Data inputs first, then the variables.
  std::vector<Tensor> &getInputs() { return inputs; }
  bool isVariable(size_t input) const { return input >= firstVariable; }

  double getLoss() { return model->run(inputs)[0].floats[0]; }

  /// The gradient of a variable, by its number.
  std::vector<double> getGradient(size_t variable) {
    return joint->run(inputs)[2 + variable].floats;
  }

  /// The largest error of any element of any gradient, relative to the central
  /// difference, or to a thousandth of the largest one where that is larger.
  /// `step` is the difference's half width.
  double elementError(double step = 1e-5);

  /// The error, relative to the central difference, of the derivative in a
  /// random direction of all variables.
  double directionError(unsigned seed, double step = 1e-5);

  /// Whether loss and count of the joint graph are those of the model, bit by
  /// bit.
  bool keepsForward();

private:
  std::unique_ptr<CompiledModel> model, joint;
  std::vector<Tensor> inputs;
  size_t firstVariable = 0;
};

} // namespace weir::test

#endif // WEIR_UNITTESTS_AUTODIFF_GRADIENTCHECK_H
