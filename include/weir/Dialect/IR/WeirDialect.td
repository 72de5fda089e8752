//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DIALECT_IR_WEIRDIALECT_TD
#define WEIR_DIALECT_IR_WEIRDIALECT_TD

include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/OpBase.td"

def Weir_Dialect : Dialect {
  let name = "weir";
  let cppNamespace = "::weir";
  let summary = "Pipelined training steps under a memory limit";
  let description = [{
    One dialect carries a training step from a model to the programs of many
    devices, level by level:

    | level | what it is | ops |
    | --- | --- | --- |
    | 1 model | one function for one microbatch | `variable`, `read`, `scatter_add`, `kernel`, `custom` |
    | 2 joint graph | the function with its backward | `accumulate`, `report` |
    | 3 stages | the passes of every stage | `pipeline`, `forward`, `backward_input`, `backward_weight`, `update`, `pack`, `unpack`, `yield` |
    | 4 programs | what each device runs, in order | `program`, `run`, `load`, `send_start`, `recv_start`, `wait`, `resident` |
    | 5 planned programs | the same with an offset for every buffer | |
    | 6 target | functions of buffers | `call_kernel`, until it is a call |

    Beside the levels, `schedule.problem` and `schedule.solution` write down what
    the scheduling library works on: a problem without a model, and orders for it.

    Stages, devices and microbatches are counted from 0; memory is in bytes and
    time in seconds.

    Discardable attributes used between passes:

    - `weir.model` (unit, on a function): this function is the model.
    - `weir.input` (string, on an argument): `"tokens"`, `"images"` or `"labels"`.
    - `weir.classes` (i64, on a model of images and on its pipeline): labels are
      below this number; a program refuses data with others.
    - `weir.stop_gradient` (unit, or operand numbers like `array<i64: 1>`, on an
      op of the model): no gradient flows to its operands, or to those numbered.
    - `weir.layer` (i64, on an op of the model): the first op of the layer of
      this number. Layers are counted from 0 in the order of the ops.
    - `weir.stage_begin` (unit or i64, on an op of the model): a stage begins with
      this op, or the stage of this number. Without a number it is the next one;
      stage 0 begins at the first op.
    - `weir.joint` (unit, on a function): the model with its backward.
    - `weir.op` (i64): number of a forward operation; the operations of its
      adjoint carry the same number in `weir.adjoint_of`.
    - `weir.activation_gradient` (unit): the op makes the gradient of a value
      that depends on the data, so it is work of backward_input.
    - `weir.stage` (i64) and `weir.pass` (pass kind): the colour of an op.
    - `weir.lanes` (i64): lanes of a reduction in fixed order (`weir-fix-rounding`).
    - `weir.flops`, `weir.bytes` (i64), `weir.seconds` (f64): costs.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let hasOperationAttrVerify = 1;
  let hasRegionArgAttrVerify = 1;
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"
  ];
}

//===----------------------------------------------------------------------===//
// Enums
//===----------------------------------------------------------------------===//

def Weir_PassKind : I32EnumAttr<"PassKind", "the passes of a stage", [
    I32EnumAttrCase<"Forward", 0, "forward">,
    I32EnumAttrCase<"BackwardInput", 1, "backward_input">,
    I32EnumAttrCase<"BackwardWeight", 2, "backward_weight">,
    I32EnumAttrCase<"Backward", 3, "backward">,
    I32EnumAttrCase<"Update", 4, "update">,
    I32EnumAttrCase<"Recompute", 5, "recompute">]> {
  let cppNamespace = "::weir";
  let genSpecializedAttr = 0;
}

def Weir_PassKindAttr : EnumAttr<Weir_Dialect, Weir_PassKind, "pass"> {
  let description = [{
    `backward` is backward_input and backward_weight of one microbatch in one go.
    `recompute` computes again what forward did not keep; so far only scheduling
    problems have it.
  }];
  let assemblyFormat = "`<` $value `>`";
}

def Weir_InitKind : I32EnumAttr<"InitKind", "how a variable starts", [
    I32EnumAttrCase<"Constant", 0, "constant">,
    I32EnumAttrCase<"Normal", 1, "normal">]> {
  let cppNamespace = "::weir";
  let genSpecializedAttr = 0;
}

def Weir_ResidentKind : I32EnumAttr<"ResidentKind", "what a resident buffer holds", [
    I32EnumAttrCase<"Parameter", 0, "parameter">,
    I32EnumAttrCase<"Gradient", 1, "gradient">,
    I32EnumAttrCase<"State", 2, "state">,
    I32EnumAttrCase<"Loss", 3, "loss">,
    I32EnumAttrCase<"Count", 4, "count">,
    I32EnumAttrCase<"LearningRate", 5, "learning_rate">,
    I32EnumAttrCase<"Step", 6, "step">]> {
  let cppNamespace = "::weir";
  let genSpecializedAttr = 0;
}

def Weir_ResidentKindAttr
    : EnumAttr<Weir_Dialect, Weir_ResidentKind, "resident"> {
  let assemblyFormat = "$value";
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

def Weir_InitAttr : AttrDef<Weir_Dialect, "Init"> {
  let mnemonic = "init";
  let summary = "How a variable starts";
  let description = [{
    `constant` sets every element to `value` (an f64); `normal` draws from the normal
    distribution of mean 0 and standard deviation `value`, by a counter-based
    generator keyed by the seed and the variable's name.
  }];
  let parameters = (ins EnumParameter<Weir_InitKind>:$kind,
                        "::mlir::FloatAttr":$value);
  let hasCustomAssemblyFormat = 1;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

def Weir_BundleType : TypeDef<Weir_Dialect, "Bundle"> {
  let mnemonic = "bundle";
  let summary = "What one pass keeps for a later one";
  let description = [{
    A bundle is one buffer that holds its members one after another, each aligned
    to 64 bytes. A pass makes it with `weir.pack`, a later pass of the same stage
    and microbatch takes it apart with `weir.unpack`.

    Example: `!weir.bundle<tensor<4x8xf32>, tensor<4x8xi32>>`
  }];
  let parameters = (ins ArrayRefParameter<"::mlir::RankedTensorType">:$members);
  let assemblyFormat = "`<` $members `>`";
  let genVerifyDecl = 1;
}

def Weir_SendingType : TypeDef<Weir_Dialect, "Sending"> {
  let mnemonic = "sending";
  let summary = "A send that was started; its buffer may not be written yet";
}

def Weir_ReceivingType : TypeDef<Weir_Dialect, "Receiving"> {
  let mnemonic = "receiving";
  let summary = "A receive that was started; waiting for it gives the tensor";
  let parameters = (ins "::mlir::RankedTensorType":$tensor);
  let assemblyFormat = "`<` $tensor `>`";
  let genVerifyDecl = 1;
}

#endif // WEIR_DIALECT_IR_WEIRDIALECT_TD
