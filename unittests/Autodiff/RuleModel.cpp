//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RuleModel.h"

#include "llvm/ADT/StringExtras.h"

using namespace weir::test;

std::string weir::test::ruleModel(std::vector<Named> variables,
                                  std::vector<Named> data,
                                  const std::string &body,
                                  const std::string &outType) {
  std::string text, loops, iterators;
  llvm::raw_string_ostream os(text);
  int64_t rank = llvm::StringRef(outType).count('x');
  for (int64_t i = 0; i < rank; ++i) {
    loops += (i ? ", d" : "d") + std::to_string(i);
    iterators += i ? ", \"reduction\"" : "\"reduction\"";
  }
  for (const Named &variable : variables)
    os << "weir.variable @" << variable.name
       << " <normal, 1.0> : " << variable.type << "\n";
  os << "func.func @rule(";
  for (const Named &input : data)
    os << "%" << input.name << ": " << input.type << ", ";
  os << "%out_weights: " << outType
     << ") -> (tensor<f64>, tensor<f64>) attributes {weir.model} {\n"
     << "%count = arith.constant dense<1.0> : tensor<f64>\n"
     << "%zero = arith.constant 0.0 : f64\n";
  for (const Named &variable : variables)
    os << "%" << variable.name << " = weir.read @" << variable.name << " : "
       << variable.type << "\n";
  os << body << "\n%loss_empty = tensor.empty() : tensor<f64>\n"
     << "%loss_start = linalg.fill ins(%zero : f64) outs(%loss_empty : "
        "tensor<f64>) -> tensor<f64>\n"
     << "%loss = linalg.generic {indexing_maps = [affine_map<(" << loops
     << ") -> (" << loops << ")>, affine_map<(" << loops << ") -> (" << loops
     << ")>, affine_map<(" << loops << ") -> ()>], iterator_types = ["
     << iterators << "]} ins(%out, %out_weights : " << outType << ", "
     << outType << ") outs(%loss_start : tensor<f64>) {\n"
     << "^bb0(%loss_x: f64, %loss_w: f64, %loss_acc: f64):\n"
     << "%loss_p = arith.mulf %loss_x, %loss_w : f64\n"
     << "%loss_s = arith.addf %loss_acc, %loss_p : f64\n"
     << "linalg.yield %loss_s : f64\n} -> tensor<f64>\n"
     << "return %loss, %count : tensor<f64>, tensor<f64>\n}\n";
  return text;
}
