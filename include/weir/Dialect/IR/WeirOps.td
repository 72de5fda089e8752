//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_DIALECT_IR_WEIROPS_TD
#define WEIR_DIALECT_IR_WEIROPS_TD

include "weir/Dialect/IR/WeirDialect.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/IR/SymbolInterfaces.td"

class Weir_Op<string mnemonic, list<Trait> traits = []>
    : Op<Weir_Dialect, mnemonic, traits>;

/// What a buffer can hold.
def Weir_Tensor : Type<CPred<"::weir::isBufferTensor($_self)">,
    "tensor of numbers, of static shape, with at least one element and at most "
    "2^48 bytes", "::mlir::RankedTensorType">;

def Weir_Count : ConfinedAttr<I64Attr, [IntNonNegative]> {
  let summary = "number of 64 bits that is not negative";
}

def Weir_Value : AnyTypeOf<[Weir_Tensor, Weir_BundleType]>;

//===----------------------------------------------------------------------===//
// Interfaces
//===----------------------------------------------------------------------===//

def Weir_StagePassOpInterface : OpInterface<"StagePassOpInterface"> {
  let cppNamespace = "::weir";
  let description = [{
    A pass of a stage: an op with one isolated region that is compiled to one
    kernel. `kernel` names the compiled function and `workspace` its scratch
    memory in bytes, once `convert-weir-to-host` has run; `seconds` is its
    estimated duration.
  }];
  let methods = [
    InterfaceMethod<"The kind of pass.", "::weir::PassKind", "getPassKind">,
    InterfaceMethod<"The stage, or -1 for an update.", "int64_t",
                    "getStageNumber">,
    InterfaceMethod<"The body.", "::mlir::Block &", "getBodyBlock">,
    InterfaceMethod<"Estimated seconds, or 0.", "double", "getEstimatedSeconds">,
    InterfaceMethod<"Scratch bytes, or 0.", "int64_t", "getWorkspaceBytes">,
    InterfaceMethod<"The compiled function, or null.",
                    "::mlir::FlatSymbolRefAttr", "getKernelAttr">,
  ];
}

//===----------------------------------------------------------------------===//
// Level 1: the model
//===----------------------------------------------------------------------===//

def Weir_VariableOp : Weir_Op<"variable", [Symbol]> {
  let summary = "A parameter of the model";
  let description = [{
    A tensor that outlives the step: read by `weir.read`, its gradient gathered by
    `weir.accumulate`, changed by `weir.update` only. The optimizer decays it
    towards zero if `decay` is given.

    Example:

    ```mlir
    weir.variable @embedding <normal, 0.02> decay : tensor<256x64xf32>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       OptionalAttr<StrAttr>:$sym_visibility,
                       Weir_InitAttr:$init, UnitAttr:$decay,
                       TypeAttrOf<Weir_Tensor>:$type);
  let assemblyFormat = [{
    $sym_name $init (`decay` $decay^)? attr-dict `:` $type
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Checks that `symbol` names a variable of type `type`; the error is at
    /// `user`.
    static ::llvm::LogicalResult
    verifyUse(::mlir::Operation *user, ::mlir::FlatSymbolRefAttr symbol,
              ::mlir::Type type, ::mlir::SymbolTableCollection &tables);
  }];
}

def Weir_ReadOp : Weir_Op<"read",
    [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "The value of a variable during this step";
  let description = [{
    Variables do not change within a step, so reading is pure, and every pass
    reads what it needs on its own.

    Example:

    ```mlir
    %w = weir.read @embedding : tensor<256x64xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$variable);
  let results = (outs AnyStaticShapeTensor:$result);
  let assemblyFormat = "$variable attr-dict `:` type($result)";
}

def Weir_ScatterAddOp : Weir_Op<"scatter_add",
    [Pure, AllTypesMatch<["init", "result"]>]> {
  let summary = "Add rows to a table at given positions";
  let description = [{
    `result` is `init` with `updates[i, :]` added to row `indices[i]`, for all
    positions `i` of `indices` in row-major order, one after another: the order
    of the additions, and so the rounding, is fixed. Rows may repeat. This is the
    adjoint of `tensor.gather` along dimension 0.

    Shapes: `updates` is `indices` x C, `init` is V x C. An index outside 0..V-1
    is undefined behaviour; the runtime checks the data against V before
    training.

    Example:

    ```mlir
    %g = weir.scatter_add %dx into %zero[%tokens]
        : tensor<2x8x64xf32> into tensor<256x64xf32>[tensor<2x8xi32>]
    ```
  }];
  let arguments = (ins AnyStaticShapeTensor:$updates,
                       AnyStaticShapeTensor:$init,
                       AnyStaticShapeTensor:$indices);
  let results = (outs AnyStaticShapeTensor:$result);
  let assemblyFormat = [{
    $updates `into` $init `[` $indices `]` attr-dict
    `:` type($updates) `into` type($init) `[` type($indices) `]`
  }];
  let hasVerifier = 1;
}

def Weir_KernelOp : Weir_Op<"kernel",
    [Symbol, IsolatedFromAbove, SingleBlock]> {
  let summary = "A function of the user's, and its derivative";
  let description = [{
    Declares a function with the calling convention of
    `runtime/include/weir/Custom.h`, written in C or in anything that C can call.
    It is called by `weir.custom` with tensors of the types listed, and gives the
    tensors behind the arrow. Those behind `keeps` are results too, but are there
    for the derivative only: what the forward keeps for the backward. `calls` is
    the name of the function where it is not that of the symbol: one function may
    have several declarations, for several shapes, and learns of the shape from an
    operand that is a constant.

    `workspace` is the scratch memory in bytes that the function gets with every
    call. `flops`, `bytes` (read and written) and `seconds` tell
    `weir-estimate-costs` what a call costs; where `seconds` is given it is what
    counts. Without any of them a call costs the time to move its operands and
    results.

    The body behind `derivative` says how gradients flow through a call. Its
    arguments are the operands, all results, and one gradient for each result that
    holds floating-point numbers and is not kept; it yields one gradient for each
    operand of floating-point numbers. It holds calls of other kernels, and any
    other op on tensors without side effects. `weir-differentiate` puts a copy of
    it into the joint graph for every call, where the ops that the model's
    activations wait for end up in backward_input, those that only a variable waits
    for in backward_weight, and those that nothing waits for nowhere. So a kernel
    for B and one for W are two calls here, and what B makes for W is a result of
    the one and an operand of the other. Matrix products are written as
    `linalg.contract`, which is what the product library gets. A kernel without a derivative can be called
    where no gradient is needed.

    Example:

    ```mlir
    weir.kernel @scale (tensor<8x4xf32>, tensor<4xf32>) -> (tensor<8x4xf32>)
        flops 32 derivative (%x: tensor<8x4xf32>, %s: tensor<4xf32>,
                             %y: tensor<8x4xf32>, %dy: tensor<8x4xf32>) {
      %dx = weir.custom @scale(%dy, %s)
          : (tensor<8x4xf32>, tensor<4xf32>) -> tensor<8x4xf32>
      %ds = weir.custom @scale_weight(%dy, %x)
          : (tensor<8x4xf32>, tensor<8x4xf32>) -> tensor<4xf32>
      weir.yield %dx, %ds : tensor<8x4xf32>, tensor<4xf32>
    }
    weir.kernel @scale_weight calls "column_products"
        (tensor<8x4xf32>, tensor<8x4xf32>) -> (tensor<4xf32>) workspace 256
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       OptionalAttr<StrAttr>:$sym_visibility,
                       OptionalAttr<StrAttr>:$calls,
                       TypeAttrOf<FunctionType>:$type,
                       DefaultValuedAttr<I64Attr, "0">:$kept,
                       OptionalAttr<I64Attr>:$workspace,
                       OptionalAttr<I64Attr>:$flops,
                       OptionalAttr<I64Attr>:$bytes,
                       OptionalAttr<F64Attr>:$seconds);
  let regions = (region MaxSizedRegion<1>:$derivative);
  let assemblyFormat = [{
    $sym_name (`calls` $calls^)? custom<KernelType>($type, $kept)
    (`workspace` $workspace^)? (`flops` $flops^)? (`bytes` $bytes^)?
    (`seconds` $seconds^)? custom<Derivative>($derivative)
    attr-dict-with-keyword
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The name of the function, as the linker knows it.
    ::llvm::StringRef getFunctionName() {
      return getCalls() ? *getCalls() : getSymName();
    }
    /// The types of the results that a model may use, and of those that are kept.
    ::llvm::ArrayRef<::mlir::Type> getOutputTypes() {
      return getType().getResults().drop_back(getKept());
    }
    ::llvm::ArrayRef<::mlir::Type> getKeptTypes() {
      return getType().getResults().take_back(getKept());
    }
  }];
}

def Weir_CustomOp : Weir_Op<"custom",
    [Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Call a kernel of the user's";
  let description = [{
    Gives what the function of `weir.kernel` computes from the operands: its
    outputs, then what it keeps. What is kept has no gradient; only the kernel's
    derivative may use it. The function must depend on its operands alone, and give
    the same bits whenever it gets the same operands: the guarantee that weights do
    not depend on cut and schedule holds as far as it does.

    Example:

    ```mlir
    %y, %scale = weir.custom @rmsnorm(%x, %gain)
        : (tensor<8x4xf32>, tensor<4xf32>) -> (tensor<8x4xf32>, tensor<8xf32>)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Weir_Tensor>:$inputs);
  let results = (outs Variadic<Weir_Tensor>:$outputs);
  let assemblyFormat = [{
    $kernel `(` $inputs `)` attr-dict `:` functional-type($inputs, $outputs)
  }];
  let extraClassDeclaration = [{
    /// The kernel, or null if there is none of that name.
    KernelOp lookupKernel();
  }];
}

//===----------------------------------------------------------------------===//
// Level 2: the joint graph
//===----------------------------------------------------------------------===//

def Weir_AccumulateOp : Weir_Op<"accumulate",
    [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Add to the gradient of a variable";
  let description = [{
    Adds `gradient` to the accumulator of use number `use` of the variable. Every
    use of a variable has an accumulator of its own, cleared at the start of a
    step; the update adds them in the order of their numbers. So the bits of a
    gradient do not depend on how the model is cut.

    Example:

    ```mlir
    weir.accumulate @embedding use 1, %g : tensor<256x64xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$variable, Weir_Count:$use,
                       AnyStaticShapeTensor:$gradient);
  let assemblyFormat = [{
    $variable `use` $use `,` $gradient attr-dict `:` type($gradient)
  }];
}

def Weir_ReportOp : Weir_Op<"report"> {
  let summary = "Add to the loss and the count of the step";
  let description = [{
    Adds the loss sum of this microbatch, and the number of labels that are not
    ignored, to the totals of the step. The update divides by the total count.

    Example:

    ```mlir
    weir.report %loss, %count : tensor<f32>, tensor<f32>
    ```
  }];
  let arguments = (ins 0DTensorOf<[AnyFloat]>:$loss,
                       0DTensorOf<[AnyFloat]>:$count);
  let assemblyFormat = [{
    $loss `,` $count attr-dict `:` type($loss) `,` type($count)
  }];
}

//===----------------------------------------------------------------------===//
// Level 3: stages
//===----------------------------------------------------------------------===//

def Weir_PipelineOp : Weir_Op<"pipeline",
    [Symbol, IsolatedFromAbove, SingleBlock, NoTerminator]> {
  let summary = "The passes of all stages, for one microbatch";
  let description = [{
    The body is the dataflow graph of one microbatch: the passes of every stage in
    an order in which they could run, every value that crosses from one pass to
    another an SSA value. So what a pass needs, what it keeps and for whom is
    explicit, and the bytes follow by liveness. The block arguments are the data
    inputs of the model, named by `inputs`; integers are not sent between stages,
    each device loads the inputs its stages use.

    Updates (`weir.update`) come last, one per variable; they run once per step.

    Example:

    ```mlir
    weir.pipeline @net stages 1 (%t = "tokens" : tensor<2x8xi32>) {
      %dx = weir.forward 0 (%a = %t : tensor<2x8xi32>) -> tensor<8xf32> {
        %w = weir.read @w : tensor<8xf32>
        weir.yield %w : tensor<8xf32>
      }
      weir.backward_weight 0 (%g = %dx : tensor<8xf32>) {
        weir.accumulate @w use 0, %g : tensor<8xf32>
      }
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       OptionalAttr<StrAttr>:$sym_visibility,
                       Weir_Count:$stages, StrArrayAttr:$inputs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
}

class Weir_StagePassOp<string mnemonic>
    : Weir_Op<mnemonic, [IsolatedFromAbove, HasParent<"PipelineOp">,
                         SingleBlockImplicitTerminator<"YieldOp">,
                         Weir_StagePassOpInterface]> {
  let arguments = (ins Weir_Count:$stage, Variadic<Weir_Value>:$inputs,
                       OptionalAttr<FlatSymbolRefAttr>:$kernel,
                       OptionalAttr<Weir_Count>:$workspace,
                       OptionalAttr<F64Attr>:$seconds);
  let results = (outs Variadic<Weir_Value>:$outputs);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
  code passDeclaration = [{
    ::mlir::Block &getBodyBlock() { return getBody().front(); }
    int64_t getStageNumber() { return getStage(); }
    double getEstimatedSeconds() {
      return getSeconds() ? getSeconds()->convertToDouble() : 0.0;
    }
    int64_t getWorkspaceBytes() { return getWorkspace().value_or(0); }
  }];
}

def Weir_ForwardOp : Weir_StagePassOp<"forward"> {
  let summary = "F: the forward pass of a stage";
  let description = [{
    Takes the stage's inputs, gives its outputs and the bundles that its backward
    passes read.

    Example:

    ```mlir
    %y, %kept = weir.forward 1 (%a = %x : tensor<4x8xf32>)
        -> (tensor<4x8xf32>, !weir.bundle<tensor<4x8xf32>>) {
      %e = math.exp %a : tensor<4x8xf32>
      %b = weir.pack %e : (tensor<4x8xf32>) -> !weir.bundle<tensor<4x8xf32>>
      weir.yield %e, %b : tensor<4x8xf32>, !weir.bundle<tensor<4x8xf32>>
    }
    ```
  }];
  let extraClassDeclaration = passDeclaration # [{
    ::weir::PassKind getPassKind() { return ::weir::PassKind::Forward; }
  }];
}

def Weir_BackwardInputOp : Weir_StagePassOp<"backward_input"> {
  let summary = "B: gradients of the activations of a stage";
  let description = [{
    What the stages before this one wait for: from the gradients of the stage's
    outputs to those of its inputs. Holds no work that only a variable's gradient
    needs. Assembly as for `weir.forward`.

    Example:

    ```mlir
    %dx = weir.backward_input 1 (%g = %dy : tensor<4x8xf32>,
        %k = %kept : !weir.bundle<tensor<4x8xf32>>) -> tensor<4x8xf32> {
      %e = weir.unpack %k : (!weir.bundle<tensor<4x8xf32>>) -> tensor<4x8xf32>
      %p = arith.mulf %g, %e : tensor<4x8xf32>
      weir.yield %p : tensor<4x8xf32>
    }
    ```
  }];
  let extraClassDeclaration = passDeclaration # [{
    ::weir::PassKind getPassKind() { return ::weir::PassKind::BackwardInput; }
  }];
}

def Weir_BackwardWeightOp : Weir_StagePassOp<"backward_weight"> {
  let summary = "W: gradients of the variables of a stage";
  let description = [{
    Gathers the gradients of the variables by `weir.accumulate`. Nothing but the
    update waits for it. Assembly as for `weir.forward`.

    Example:

    ```mlir
    weir.backward_weight 1 (%g = %dy : tensor<8xf32>) {
      weir.accumulate @w use 0, %g : tensor<8xf32>
    }
    ```
  }];
  let extraClassDeclaration = passDeclaration # [{
    ::weir::PassKind getPassKind() { return ::weir::PassKind::BackwardWeight; }
  }];
}

def Weir_UpdateOp : Weir_Op<"update",
    [IsolatedFromAbove, HasParent<"PipelineOp">,
     SingleBlockImplicitTerminator<"YieldOp">,
     Weir_StagePassOpInterface,
     DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "U: the optimizer's step for one variable";
  let description = [{
    The block arguments are, in this order: the variable; one gradient per use;
    the optimizer's state, one tensor per name in `states`; and as `tensor<f32>`
    the step's count of labels, the learning rate and the number of the step
    (from 1). The body yields the new variable and the new states.

    Example:

    ```mlir
    weir.update @w uses 1 states [] (%w: tensor<8xf32>, %g: tensor<8xf32>,
        %count: tensor<f32>, %lr: tensor<f32>, %step: tensor<f32>) {
      %new = arith.subf %w, %g : tensor<8xf32>
      weir.yield %new : tensor<8xf32>
    }
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$variable, Weir_Count:$uses,
                       StrArrayAttr:$states,
                       OptionalAttr<FlatSymbolRefAttr>:$kernel,
                       OptionalAttr<Weir_Count>:$workspace,
                       OptionalAttr<F64Attr>:$seconds);
  let regions = (region SizedRegion<1>:$body);
  let hasCustomAssemblyFormat = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::Block &getBodyBlock() { return getBody().front(); }
    ::weir::PassKind getPassKind() { return ::weir::PassKind::Update; }
    int64_t getStageNumber() { return -1; }
    double getEstimatedSeconds() {
      return getSeconds() ? getSeconds()->convertToDouble() : 0.0;
    }
    int64_t getWorkspaceBytes() { return getWorkspace().value_or(0); }
  }];
}

def Weir_PackOp : Weir_Op<"pack", [Pure]> {
  let summary = "Make a bundle";
  let description = [{
    Example:

    ```mlir
    %b = weir.pack %x, %i : (tensor<4x8xf32>, tensor<4xi32>)
        -> !weir.bundle<tensor<4x8xf32>, tensor<4xi32>>
    ```
  }];
  let arguments = (ins Variadic<Weir_Tensor>:$members);
  let results = (outs Weir_BundleType:$bundle);
  let assemblyFormat = [{
    $members attr-dict `:` functional-type($members, $bundle)
  }];
  let hasVerifier = 1;
}

def Weir_UnpackOp : Weir_Op<"unpack", [Pure]> {
  let summary = "Take a bundle apart";
  let description = [{
    Example:

    ```mlir
    %m:2 = weir.unpack %b : (!weir.bundle<tensor<4x8xf32>, tensor<4xi32>>)
        -> (tensor<4x8xf32>, tensor<4xi32>)
    ```
  }];
  let arguments = (ins Weir_BundleType:$bundle);
  let results = (outs Variadic<Weir_Tensor>:$members);
  let assemblyFormat = [{
    $bundle attr-dict `:` functional-type($bundle, $members)
  }];
  let hasVerifier = 1;
}

def Weir_YieldOp : Weir_Op<"yield",
    [Pure, Terminator,
     ParentOneOf<["KernelOp", "ForwardOp", "BackwardInputOp",
                  "BackwardWeightOp", "UpdateOp"]>]> {
  let summary = "The outputs of a pass";
  let description = [{
    Ends the body of every pass; one that gives nothing is not written.

    Example:

    ```mlir
    weir.yield %y, %b : tensor<4x8xf32>, !weir.bundle<tensor<4x8xf32>>
    ```
  }];
  let arguments = (ins Variadic<Weir_Value>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
  let builders = [OpBuilder<(ins), [{
    build($_builder, $_state, ::mlir::ValueRange());
  }]>];
}

//===----------------------------------------------------------------------===//
// Levels 4 and 5: programs
//===----------------------------------------------------------------------===//

def Weir_ProgramOp : Weir_Op<"program",
    [Symbol, IsolatedFromAbove, SingleBlock, NoTerminator, NoRegionArguments,
     DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "What one device does in a step, in order";
  let description = [{
    A straight list of actions on SSA values. Values live from the action that
    makes them to the last that uses them, transfers from start to wait.

    After `weir-plan-memory`, `arena` is the number of bytes of the device's one
    arena and every op that makes a value carries the offsets of its results.

    Example:

    ```mlir
    weir.program @net_0 of @net device 0 microbatches 8 schedule "1f1b" {
      %t = weir.load "tokens" microbatch 0 : tensor<2x8xi32>
      %y = weir.run forward 0 microbatch 0 (%t)
          : (tensor<2x8xi32>) -> tensor<4x8xf32>
      %s = weir.send_start %y to 1 message 0 microbatch 0 : tensor<4x8xf32>
      weir.wait %s : !weir.sending
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       OptionalAttr<StrAttr>:$sym_visibility,
                       FlatSymbolRefAttr:$pipeline, Weir_Count:$device,
                       Weir_Count:$microbatches,
                       OptionalAttr<StrAttr>:$schedule,
                       OptionalAttr<Weir_Count>:$arena,
                       OptionalAttr<Weir_Count>:$limit);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `of` $pipeline `device` $device `microbatches` $microbatches
    (`schedule` $schedule^)? (`arena` $arena^)? (`limit` $limit^)?
    attr-dict-with-keyword $body
  }];
  let hasVerifier = 1;
}

class Weir_ActionOp<string mnemonic, list<Trait> traits = []>
    : Weir_Op<mnemonic, traits # [HasParent<"ProgramOp">]>;

def Weir_ResidentOp : Weir_ActionOp<"resident",
    [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "A buffer that lives through all steps";
  let description = [{
    `gradient` names the use, `state` the number of the optimizer's state.
    Residents come before all other ops of a program.

    Example:

    ```mlir
    %g = weir.resident gradient @w 0 : tensor<8xf32>
    %n = weir.resident count : tensor<f32>
    ```
  }];
  let arguments = (ins Weir_ResidentKindAttr:$kind,
                       OptionalAttr<FlatSymbolRefAttr>:$variable,
                       OptionalAttr<Weir_Count>:$index,
                       OptionalAttr<DenseI64ArrayAttr>:$offsets);
  let results = (outs Weir_Tensor:$result);
  let assemblyFormat = [{
    `` $kind ($variable^)? ($index^)? (`at` $offsets^)? attr-dict
    `:` type($result)
  }];
  let hasVerifier = 1;
}

def Weir_LoadOp : Weir_ActionOp<"load"> {
  let summary = "Load a data input of a microbatch";
  let description = [{
    Example:

    ```mlir
    %t = weir.load "tokens" microbatch 3 : tensor<2x8xi32>
    ```
  }];
  let arguments = (ins StrAttr:$input, Weir_Count:$microbatch,
                       OptionalAttr<DenseI64ArrayAttr>:$offsets);
  let results = (outs Weir_Tensor:$result);
  let assemblyFormat = [{
    $input `microbatch` $microbatch (`at` $offsets^)? attr-dict
    `:` type($result)
  }];
  let hasVerifier = 1;
}

def Weir_RunOp : Weir_ActionOp<"run", [AttrSizedResultSegments]> {
  let summary = "Run a pass";
  let description = [{
    Runs a pass of a stage for one microbatch, or the update of a variable. The
    operands and results are those of the pass in the pipeline; `backward` runs
    backward_input and then backward_weight, and what the first keeps for the
    second is a result in `between`, which lives during this action only. The
    operands of an update are the gradients of all uses of the variable in order
    and the step's count.

    Planned, `offsets` holds one offset per result in order and `scratch` the
    offset of the pass's workspace.

    Example:

    ```mlir
    %y, %k = weir.run forward 0 microbatch 3 (%x)
        : (tensor<4x8xf32>) -> (tensor<4x8xf32>, !weir.bundle<tensor<4x8xf32>>)
    weir.run update @w (%g, %n) : (tensor<8xf32>, tensor<f32>) -> ()
    ```
  }];
  let arguments = (ins Weir_PassKindAttr:$pass, OptionalAttr<Weir_Count>:$stage,
                       OptionalAttr<FlatSymbolRefAttr>:$variable,
                       OptionalAttr<Weir_Count>:$microbatch,
                       Variadic<Weir_Value>:$inputs,
                       OptionalAttr<DenseI64ArrayAttr>:$offsets,
                       OptionalAttr<Weir_Count>:$scratch);
  let results = (outs Variadic<Weir_Value>:$outputs,
                      Variadic<Weir_Value>:$between);
  let hasCustomAssemblyFormat = 1;
  let hasVerifier = 1;
}

def Weir_SendStartOp : Weir_ActionOp<"send_start"> {
  let summary = "Start to send a tensor to another device";
  let description = [{
    Sends and receives between a pair of devices match in program order per
    direction; `message` is the same at both ends and unlike any other.

    Example:

    ```mlir
    %s = weir.send_start %y to 1 message 4 microbatch 3 : tensor<4x8xf32>
    ```
  }];
  let arguments = (ins Weir_Tensor:$value, Weir_Count:$peer,
                       Weir_Count:$message, OptionalAttr<Weir_Count>:$microbatch);
  let results = (outs Weir_SendingType:$token);
  let assemblyFormat = [{
    $value `to` $peer `message` $message (`microbatch` $microbatch^)?
    attr-dict `:` type($value)
  }];
}

def Weir_RecvStartOp : Weir_ActionOp<"recv_start"> {
  let summary = "Start to receive a tensor from another device";
  let description = [{
    The buffer is written at any time from here to the end of the wait.

    Example:

    ```mlir
    %r = weir.recv_start from 0 message 4 microbatch 3
        : !weir.receiving<tensor<4x8xf32>>
    ```
  }];
  let arguments = (ins Weir_Count:$peer, Weir_Count:$message,
                       OptionalAttr<Weir_Count>:$microbatch,
                       OptionalAttr<DenseI64ArrayAttr>:$offsets);
  let results = (outs Weir_ReceivingType:$token);
  let assemblyFormat = [{
    `from` $peer `message` $message (`microbatch` $microbatch^)?
    (`at` $offsets^)? attr-dict `:` qualified(type($token))
  }];
  let hasVerifier = 1;
}

def Weir_WaitOp : Weir_ActionOp<"wait"> {
  let summary = "Wait for a transfer that was started";
  let description = [{
    Waiting for a receive gives the received tensor, in the buffer of the
    `weir.recv_start`.

    Example:

    ```mlir
    %r = weir.recv_start from 0 message 4 : !weir.receiving<tensor<8xf32>>
    %x = weir.wait %r : !weir.receiving<tensor<8xf32>> -> tensor<8xf32>
    weir.wait %s : !weir.sending
    ```
  }];
  let arguments = (ins AnyTypeOf<[Weir_SendingType, Weir_ReceivingType]>:$token);
  let results = (outs Optional<Weir_Tensor>:$result);
  let assemblyFormat = [{
    $token attr-dict `:` qualified(type($token)) (`->` type($result)^)?
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Level 6: bodies of passes on their way to the target
//===----------------------------------------------------------------------===//

def Weir_CallKernelOp : Weir_Op<"call_kernel",
    [AttrSizedOperandSegments, DestinationStyleOpInterface,
     DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Call a kernel of the user's with buffers";
  let description = [{
    What `weir.custom` becomes while `convert-weir-to-host` compiles a pass: a call
    with a destination for every result, which it writes and does not read, and for
    the workspace, if there is one. On tensors first, then on buffers without
    results.

    Example:

    ```mlir
    weir.call_kernel "rmsnorm" (%x, %gain : memref<8x4xf32>, memref<4xf32>)
        to (%y, %scale : memref<8x4xf32>, memref<8xf32>)
    ```
  }];
  let arguments = (ins StrAttr:$function,
      Variadic<AnyTypeOf<[AnyStaticShapeTensor, AnyStaticShapeMemRef]>>:$inputs,
      Variadic<AnyTypeOf<[AnyStaticShapeTensor, AnyStaticShapeMemRef]>>:$outs);
  let results = (outs Variadic<AnyStaticShapeTensor>:$outputs);
  let assemblyFormat = [{
    $function `(` ($inputs^ `:` type($inputs))? `)` `to`
    `(` $outs `:` type($outs) `)` attr-dict (`->` type($outputs)^)?
  }];
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getOutsMutable(); }
  }];
}

//===----------------------------------------------------------------------===//
// Scheduling problems and their solutions
//===----------------------------------------------------------------------===//

def Weir_ScheduleProblemOp : Weir_Op<"schedule.problem",
    [Symbol, IsolatedFromAbove, SingleBlock, NoTerminator, NoRegionArguments]> {
  let summary = "What has to be scheduled, without a model";
  let description = [{
    A problem of the scheduling library: stages on devices, what their passes
    cost, and the links between devices. Time and memory are in seconds and bytes,
    or in any other units.

    `latency` and `bandwidth` are those of every direction between two devices
    that has no `weir.schedule.link`; by default transfers take no time. `limit` is
    the memory of each device, unless its `weir.schedule.device` says otherwise.
    Stages come in the order of their numbers.

    Example:

    ```mlir
    weir.schedule.problem @two devices 2 microbatches 4 latency 0.1 limit 6 {
      weir.schedule.device 1 fixed 2
      weir.schedule.link 1 to 0 latency 0.2
      weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0
          backward_weight 1.0 activation 1
      weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.5
          backward_weight 0.5 activation 2 released 1
    }
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name,
                       OptionalAttr<StrAttr>:$sym_visibility,
                       I64Attr:$devices, I64Attr:$microbatches,
                       OptionalAttr<F64Attr>:$latency,
                       OptionalAttr<F64Attr>:$bandwidth,
                       OptionalAttr<I64Attr>:$limit);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `devices` $devices
    `microbatches` custom<NumberAndLink>($microbatches, $latency, $bandwidth)
    (`limit` $limit^)? attr-dict-with-keyword $body
  }];
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The problem as the scheduling library takes it; it passes its `check`.
    ::weir::schedule::Problem getProblem();
    /// Makes the op of a problem that passes its `check`.
    static ScheduleProblemOp
    fromProblem(::mlir::OpBuilder &builder, ::mlir::Location loc,
                ::llvm::StringRef name,
                const ::weir::schedule::Problem &problem);
  }];
}

class Weir_ScheduleProblemPart<string mnemonic>
    : Weir_Op<"schedule." # mnemonic, [HasParent<"ScheduleProblemOp">]>;

def Weir_ScheduleDeviceOp : Weir_ScheduleProblemPart<"device"> {
  let summary = "The memory of a device of a scheduling problem";
  let description = [{
    `fixed` is what the device holds all the time, `limit` what it may hold in all.

    Example:

    ```mlir
    weir.schedule.device 0 fixed 100 limit 4096
    ```
  }];
  let arguments = (ins I64Attr:$number, OptionalAttr<I64Attr>:$fixed,
                       OptionalAttr<I64Attr>:$limit);
  let assemblyFormat = [{
    $number (`fixed` $fixed^)? (`limit` $limit^)? attr-dict
  }];
}

def Weir_ScheduleLinkOp : Weir_ScheduleProblemPart<"link"> {
  let summary = "One direction between two devices of a scheduling problem";
  let description = [{
    A queue that moves one transfer after another: each occupies it for its bytes
    over `bandwidth`, unlimited by default, and arrives `latency` later.

    Example:

    ```mlir
    weir.schedule.link 0 to 1 latency 0.1 bandwidth 8.0
    ```
  }];
  let arguments = (ins I64Attr:$from, I64Attr:$to,
                       OptionalAttr<F64Attr>:$latency,
                       OptionalAttr<F64Attr>:$bandwidth);
  let assemblyFormat = [{
    $from `to` custom<NumberAndLink>($to, $latency, $bandwidth) attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::weir::schedule::Link getLink();
  }];
}

def Weir_ScheduleStageOp : Weir_ScheduleProblemPart<"stage"> {
  let summary = "A stage of a scheduling problem";
  let description = [{
    The durations of the passes of stage `number`, on device `device`. A stage
    without `backward_input` or `backward_weight` has no such pass; `backward` is
    the duration of both in one, by default their sum. `recompute` gives the stage
    a pass that computes again what forward does not keep, `gradient_reduction` is
    the exchange of gradients with replicas once per step.

    The memory of a microbatch, from pass to pass: forward takes `activation` (of
    which it keeps only `kept` where the stage recomputes), backward_input gives
    back `released` of it and takes `taken` for backward_weight; the last pass gives
    back the rest. While a pass runs it holds its `workspace` besides. To other
    devices forward sends `forward_transfer` bytes and backward_input
    `backward_transfer`.

    Example:

    ```mlir
    weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0
        backward_weight 0.5 activation 4 released 1 taken 2 forward_transfer 1
        workspace {backward = 2, forward = 1}
    ```
  }];
  let arguments = (ins I64Attr:$number, I64Attr:$device, F64Attr:$forward,
                       OptionalAttr<F64Attr>:$recompute,
                       OptionalAttr<F64Attr>:$backward_input,
                       OptionalAttr<F64Attr>:$backward_weight,
                       OptionalAttr<F64Attr>:$backward,
                       OptionalAttr<F64Attr>:$update,
                       OptionalAttr<F64Attr>:$gradient_reduction,
                       OptionalAttr<I64Attr>:$activation,
                       OptionalAttr<I64Attr>:$kept,
                       OptionalAttr<I64Attr>:$released,
                       OptionalAttr<I64Attr>:$taken,
                       OptionalAttr<I64Attr>:$forward_transfer,
                       OptionalAttr<I64Attr>:$backward_transfer,
                       OptionalAttr<DictionaryAttr>:$workspace);
  let assemblyFormat = [{
    $number `on` custom<DeviceAndDurations>($device, $forward, $recompute,
      $backward_input, $backward_weight, $backward, $update,
      $gradient_reduction)
    (`activation` $activation^)? (`kept` $kept^)? (`released` $released^)?
    (`taken` $taken^)? (`forward_transfer` $forward_transfer^)?
    (`backward_transfer` $backward_transfer^)? (`workspace` $workspace^)?
    attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::weir::schedule::Stage getStage();
  }];
}

def Weir_ScheduleSolutionOp : Weir_Op<"schedule.solution",
    [IsolatedFromAbove, SingleBlock, NoTerminator, NoRegionArguments,
     DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "An order for a scheduling problem";
  let description = [{
    Holds one `weir.schedule.order` per device; a device without one runs nothing.
    The op says nothing about whether the order is right: `weir-check-schedules`
    does, and computes what follows from it: the start and end of every pass, the
    first start to the last end (`makespan`), the longest such time of one device
    (`span`), a lower `bound` on the makespan of any schedule, and the bytes that
    each device holds at most (`peaks`).

    Example:

    ```mlir
    weir.schedule.solution of @two by "gpipe" {
      weir.schedule.order 0 {
        weir.schedule.pass forward 0 microbatch 0
        weir.schedule.pass backward 0 microbatch 0
      }
      weir.schedule.order 1 {
        weir.schedule.pass forward 1 microbatch 0
        weir.schedule.pass backward 1 microbatch 0
      }
    }
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$problem, StrAttr:$schedule,
                       OptionalAttr<F64Attr>:$makespan,
                       OptionalAttr<F64Attr>:$span,
                       OptionalAttr<F64Attr>:$bound,
                       OptionalAttr<DenseI64ArrayAttr>:$peaks);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    `of` $problem
    `by` custom<NameAndTotals>($schedule, $makespan, $span, $bound)
    (`peaks` $peaks^)? attr-dict-with-keyword $body
  }];
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The order as the scheduling library takes it, one list for each of
    /// `numDevices`.
    ::weir::schedule::Schedule getOrder(int numDevices);
    /// Sets the times of the passes and the totals to those of a simulation of
    /// this order; `bound` is one of the makespan.
    void setTimes(const ::weir::schedule::Simulation &simulation, double bound);
    /// Makes the op of an order for the problem of that name, without times.
    static ScheduleSolutionOp
    fromSchedule(::mlir::OpBuilder &builder, ::mlir::Location loc,
                 ::llvm::StringRef problem,
                 const ::weir::schedule::Schedule &schedule);
  }];
}

def Weir_ScheduleOrderOp : Weir_Op<"schedule.order",
    [HasParent<"ScheduleSolutionOp">, SingleBlock, NoTerminator,
     NoRegionArguments]> {
  let summary = "What a device runs, in order";
  let description = [{
    Example:

    ```mlir
    weir.schedule.order 0 {
      weir.schedule.pass forward 0 microbatch 0
      weir.schedule.pass backward 0 microbatch 0
    }
    ```
  }];
  let arguments = (ins I64Attr:$device);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$device attr-dict-with-keyword $body";
  let hasRegionVerifier = 1;
}

def Weir_SchedulePassOp : Weir_Op<"schedule.pass",
    [HasParent<"ScheduleOrderOp">]> {
  let summary = "A pass in the order of a device";
  let description = [{
    An update has no microbatch. Where times are known the pass starts at the first
    and ends at the second.

    Example:

    ```mlir
    weir.schedule.pass forward 0 microbatch 3 at 3.0 to 4.0
    ```
  }];
  let arguments = (ins Weir_PassKindAttr:$kind, I64Attr:$stage,
                       OptionalAttr<I64Attr>:$microbatch,
                       OptionalAttr<F64Attr>:$start, OptionalAttr<F64Attr>:$end);
  let assemblyFormat = [{
    custom<PassName>($kind)
    custom<StageAndTimes>($stage, $microbatch, $start, $end) attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::weir::schedule::Pass getPass();
  }];
}

#endif // WEIR_DIALECT_IR_WEIROPS_TD
