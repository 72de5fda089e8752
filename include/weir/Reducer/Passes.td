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
    - `variables`: with their gradients, states and updates; what reads them gets
      zeros;
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

    Example: `weir-verify-programs` says that a program deadlocks. With the script
    `deadlocks`

    ```sh
    #!/bin/sh
    ! weir-opt --weir-verify-programs "$1" 2>&1 | grep -q deadlock
    ```

    `weir-reduce --weir-reduction=test=./deadlocks programs.mlir` makes of

    ```mlir
    weir.pipeline @p stages 2 (%tokens = "tokens" : tensor<f32>) {
      %y = weir.forward 0 (%x = %tokens : tensor<f32>) -> tensor<f32> {
        weir.yield %x : tensor<f32>
      }
      %z = weir.forward 1 (%x = %y : tensor<f32>) -> tensor<f32> {
        weir.yield %x : tensor<f32>
      }
      weir.backward_input 0 (%x = %z : tensor<f32>) {
      }
    }
    weir.program @d0 of @p device 0 microbatches 2 {
      %t0 = weir.load "tokens" microbatch 0 : tensor<f32>
      %y0 = weir.run forward 0 microbatch 0 (%t0) : (tensor<f32>) -> tensor<f32>
      %s0 = weir.send_start %y0 to 1 message 0 microbatch 0 : tensor<f32>
      %r0 = weir.recv_start from 1 message 1 microbatch 0 : !weir.receiving<tensor<f32>>
      weir.wait %s0 : !weir.sending
      %z0 = weir.wait %r0 : !weir.receiving<tensor<f32>> -> tensor<f32>
      weir.run backward_input 0 microbatch 0 (%z0) : (tensor<f32>) -> ()
      %t1 = weir.load "tokens" microbatch 1 : tensor<f32>
      %y1 = weir.run forward 0 microbatch 1 (%t1) : (tensor<f32>) -> tensor<f32>
      %r1 = weir.recv_start from 1 message 3 microbatch 1 : !weir.receiving<tensor<f32>>
      %z1 = weir.wait %r1 : !weir.receiving<tensor<f32>> -> tensor<f32>
      %s1 = weir.send_start %y1 to 1 message 2 microbatch 1 : tensor<f32>
      weir.wait %s1 : !weir.sending
      weir.run backward_input 0 microbatch 1 (%z1) : (tensor<f32>) -> ()
    }
    weir.program @d1 of @p device 1 microbatches 2 {
      %r0 = weir.recv_start from 0 message 0 microbatch 0 : !weir.receiving<tensor<f32>>
      %y0 = weir.wait %r0 : !weir.receiving<tensor<f32>> -> tensor<f32>
      %z0 = weir.run forward 1 microbatch 0 (%y0) : (tensor<f32>) -> tensor<f32>
      %s0 = weir.send_start %z0 to 0 message 1 microbatch 0 : tensor<f32>
      weir.wait %s0 : !weir.sending
      %r1 = weir.recv_start from 0 message 2 microbatch 1 : !weir.receiving<tensor<f32>>
      %y1 = weir.wait %r1 : !weir.receiving<tensor<f32>> -> tensor<f32>
      %z1 = weir.run forward 1 microbatch 1 (%y1) : (tensor<f32>) -> tensor<f32>
      %s1 = weir.send_start %z1 to 0 message 3 microbatch 1 : tensor<f32>
      weir.wait %s1 : !weir.sending
    }
    ```

    a module without the microbatch that is in order and without the stage of device 1,
    whose result is loaded. Both devices still wait for the other to send:

    ```mlir
    weir.program @d0 of @p device 0 microbatches 1 {
      %t = weir.load "tokens" microbatch 0 : tensor<f32>
      %y = weir.run forward 0 microbatch 0 (%t) : (tensor<f32>) -> tensor<f32>
      %r0 = weir.recv_start from 1 message 3 microbatch 0 : !weir.receiving<tensor<f32>>
      %z0 = weir.wait %r0 : !weir.receiving<tensor<f32>> -> tensor<f32>
      %s0 = weir.send_start %y to 1 message 2 microbatch 0 : tensor<f32>
      weir.wait %s0 : !weir.sending
      weir.run backward_input 0 microbatch 0 (%z0) : (tensor<f32>) -> ()
    }
    weir.program @d1 of @p device 1 microbatches 1 {
      %r1 = weir.recv_start from 0 message 2 microbatch 0 : !weir.receiving<tensor<f32>>
      %y1 = weir.wait %r1 : !weir.receiving<tensor<f32>> -> tensor<f32>
      %z1 = weir.load "input1" microbatch 0 : tensor<f32>
      %s1 = weir.send_start %z1 to 0 message 3 microbatch 0 : tensor<f32>
      weir.wait %s1 : !weir.sending
    }
    ```
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
