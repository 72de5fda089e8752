//===- DifferentiableOpInterface.td - derivative rules ----*- tablegen -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_AUTODIFF_DIFFERENTIABLEOPINTERFACE_TD
#define WEIR_AUTODIFF_DIFFERENTIABLEOPINTERFACE_TD

include "mlir/IR/OpBase.td"

def Weir_DifferentiableOpInterface : OpInterface<"DifferentiableOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    The reverse-mode derivative of an op on tensors. To give an op of another
    dialect a rule, attach an external model (see lib/Autodiff/TensorRules.cpp
    for short ones) and register it in `registerDerivativeRules`.
  }];
  let methods = [
    InterfaceMethod<[{
      Adds to the adjoints of the operands what follows from the adjoints of the
      results. `builder` stands behind the forward; the op's operands and results
      may be used. At least one result has an adjoint and at least one operand
      wants one; a result without an adjoint does not influence the loss.

      If the derivative of this form of the op is not known, emits an error at
      the op and fails.
    }], "::llvm::LogicalResult", "buildAdjoint",
    (ins "::weir::AdjointBuilder &":$builder)>,
  ];
}

def Weir_DifferentiableScalarOpInterface
    : OpInterface<"DifferentiableScalarOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    The reverse-mode derivative of an op on scalars, for the bodies of
    `linalg.generic`. See lib/Autodiff/ArithRules.cpp.
  }];
  let methods = [
    InterfaceMethod<[{
      Adds to the adjoints of the operands what follows from `adjoint`, the
      adjoint of the op's only result. A rule should use the result where it may
      choose between the result and the operands: a result is often kept anyway.
    }], "void", "buildScalarAdjoint",
    (ins "::weir::ScalarAdjointBuilder &":$builder, "::mlir::Value":$adjoint)>,
  ];
}

#endif // WEIR_AUTODIFF_DIFFERENTIABLEOPINTERFACE_TD
