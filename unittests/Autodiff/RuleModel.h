//===- RuleModel.h - a model around the ops of one rule ---------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_AUTODIFF_RULEMODEL_H
#define WEIR_UNITTESTS_AUTODIFF_RULEMODEL_H

#include "GradientCheck.h"

namespace weir::test {

/// A variable or data input: name and type.
struct Named {
  std::string name, type;
};

/// Text of a model whose loss is the sum over `%out` (of type `outType`,
/// defined by `body`) times random weights, so that the adjoint of every
/// element of %out is another number. Variables are read as values of their
/// name.
std::string ruleModel(std::vector<Named> variables, std::vector<Named> data,
                      const std::string &body, const std::string &outType);

} // namespace weir::test

#endif // WEIR_UNITTESTS_AUTODIFF_RULEMODEL_H
