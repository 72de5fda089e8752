//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_REDUCER_PASSES_TD
#define WEIR_REDUCER_PASSES_TD

include "mlir/Pass/PassBase.td"

def WeirReduction : Pass<"weir-reduction", "::mlir::ModuleOp"> {
  let summary = "Make a module smaller that still shows a fault";
  let description = [{
    Leaves out of a module what it can, as long as `test` finds the rest
    interesting. `test` is a program that gets `test-arg` and then the name of a
    file; it ends with status 1 if the module in the file is interesting, as for
    the passes of `mlir-reduce`. The pass runs in `weir-reduce`.

    What is left out, the coarsest first, and all of it again until nothing more
    can go:

    - `ops`: ops of the module that nothing refers to;
    - `microbatches`: of all programs, or of scheduling problems and their
      solutions;
    - `devices`: with their stages; what others received of them they load;
    - `stages`: what a stage gave to others becomes an input of the pipeline,
      which its device loads in the place of the run;
    - `transfers`: messages that nobody reads, or that carry what the receiver can
      have by itself;
    - `values`: ops in models and in bodies of passes; an earlier value of the type
      takes the place of the result, the first one first, so that layers go as a
      whole;
    - `zeros`: the same with zeros;
    - `costs`: attributes of scheduling problems and solutions.

    Parts are left out in halves, quarters and so on down to single ones, from
    the back. In between every module is verified. Patterns of `reduction-tree`
    would not do: they see one op, and are applied as often as they match before
    anything is tested, so that of eight microbatches one would be left or all.

    Example: a program for eight devices that `weir-verify-programs` says deadlocks
    is reduced with the script

    ```sh
    #!/bin/sh
    ! weir-opt --weir-verify-programs "$1" 2>&1 | grep -q deadlock
    ```

    by `weir-reduce --weir-reduction=test=./deadlocks programs.mlir`.
  }];
  let options = [
    Option<"test", "test", "std::string", /*default=*/"",
           "Program that ends with status 1 on an interesting module">,
    ListOption<"testArguments", "test-arg", "std::string",
               "Arguments of the test before the file">,
    ListOption<"only", "only", "std::string",
               "What may be left out (default: everything)">,
  ];
  let statistics = [
    Statistic<"numTests", "tests", "Modules that were tested">,
  ];
}

#endif // WEIR_REDUCER_PASSES_TD
