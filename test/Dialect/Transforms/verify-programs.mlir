// Every way in which a program can be wrong is refused, with both ops at fault
// named: the error at one, a note at the other.

// The program itself is right, and stays right when independent actions are put
// in another order.
// RUN: weir-opt %S/Inputs/two-devices.mlir --weir-verify-programs
// RUN: sed -e '/%r1 = weir.recv_start from 0/{h;d}' -e '/weir.run forward 1 microbatch 0/{G}' %S/Inputs/two-devices.mlir | weir-opt --weir-verify-programs

// A pass left out, run twice, or of another stage.
// RUN: sed '/weir.run backward_weight 0 microbatch 1/d' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=MISSING
// MISSING: error: {{.*}}backward_weight 0 of microbatch 1 is run by no program
// MISSING: note: the first of 2 programs is here
// RUN: sed 's/backward_weight 0 microbatch 1/backward_weight 0 microbatch 0/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=TWICE
// TWICE: error: {{.*}}backward_weight 0 of microbatch 0 runs twice
// TWICE: note: it runs here too
// RUN: sed 's/run forward 1 microbatch 1/run forward 7 microbatch 1/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=STAGE
// STAGE: error: {{.*}}runs stage 7, but the pipeline has 2 stages
// RUN: sed 's/backward_input 1 microbatch 1/backward_input 1 microbatch 2/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=RANGE
// RANGE: error: {{.*}}runs microbatch 2 of 2

// The microbatches of a pass out of order.
// RUN: sed -e 's/backward_input 1 microbatch 0/backward_input 1 microbatch X/' -e 's/backward_input 1 microbatch 1/backward_input 1 microbatch 0/' -e 's/microbatch X/microbatch 1/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=ORDER
// ORDER: error: {{.*}}backward_input 1 of microbatch 1 runs before that of microbatch 0
// ORDER: note: which runs here

// The right pass on the wrong value.
// RUN: sed 's/microbatch 1 (%g1, %k1)/microbatch 1 (%g1, %k0)/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=VALUE
// VALUE: error: {{.*}}operand 1 must be result 1 of forward 0 of microbatch 1, but is result 1 of forward 0 of microbatch 0
// VALUE: note: value produced here
// RUN: sed 's/send_start %y1 to 1/send_start %y0 to 1/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=SENT
// SENT: error: {{.*}}operand 0 must be result 0 of forward 0 of microbatch 1, but is result 0 of forward 0 of microbatch 0
// SENT: note: value produced here

// Transfers that do not match.
// RUN: sed -e 's/to 1 message 1/to 1 message X/' -e 's/to 1 message 0/to 1 message 1/' -e 's/message X/message 0/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=MATCH
// MATCH: error: {{.*}}transfer 0 from device 0 to device 1 is received as message 0 {{.*}} but sent as message 1
// MATCH: note: sent here
// RUN: sed 's/message 3 : tensor/message 2 : tensor/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=REUSED
// REUSED: error: {{.*}}message 2 is used twice
// REUSED: note: first used here
// Any other number will do, up to the largest.
// RUN: sed 's/message 4/message 9223372036854775807/' %S/Inputs/two-devices.mlir | weir-opt --weir-verify-programs
// RUN: sed 's/message 0 : tensor/message 0 microbatch 2 : tensor/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=SENTOF
// SENTOF: error: {{.*}}is of microbatch 2 of 2
// A message that its two ends take for different microbatches, or which is of
// another one than what is sent.
// RUN: sed '/send_start/s/message 0 : tensor/message 0 microbatch 0 : tensor/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=ENDS
// ENDS: error: {{.*}}is received as message 0 of type tensor<f32> but sent as message 0 of microbatch 0 of type
// ENDS: note: sent here
// RUN: sed -e '/send_start/s/message 0 : tensor/message 0 microbatch 1 : tensor/' -e '/recv_start/s/message 0 at/message 0 microbatch 1 at/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=SAYS
// SAYS: error: {{.*}}says it is of microbatch 1, but sends result 0 of forward 0 of microbatch 0
// SAYS: note: value produced here
// A send is waited for once.
// RUN: sed 's/weir.wait [%]s[0] : .*/&\n&/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=WAITS
// WAITS: error: {{.*}}is waited for more than once
// WAITS: note: waited for here
// RUN: sed '/[%]s[c]/d' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=UNSENT
// UNSENT: error: {{.*}}message 4 is never sent
// RUN: sed 's/send_start %n to 0/send_start %n to 5/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=PEER
// PEER: error: {{.*}}has no such peer: device 5
// RUN: sed '/weir.wait [%]s[0] : /d' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=WAIT
// WAIT: error: {{.*}}is never waited for

// Deadlock: device 0 waits for the send of microbatch 1 before it receives the
// gradient of microbatch 0, device 1 for that gradient before it receives
// microbatch 1.
// RUN: split-file %s %t
// RUN: not weir-opt %t/deadlock.mlir --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=DEADLOCK
// DEADLOCK: error: {{.*}}deadlock: device 0 waits here for message 1 to device 1
// DEADLOCK: note: which device 1 receives only here (rendezvous)
// DEADLOCK: note: after device 1 has waited here for message 2 to device 0 (program order)
// DEADLOCK: note: which device 0 receives only here (rendezvous)
// DEADLOCK: note: after device 0 has waited here, where the cycle closes (program order)
// A value that two devices send to each other and nobody makes.
// RUN: not weir-opt %t/circle.mlir --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=CIRCLE
// CIRCLE: error: {{.*}}deadlock: device 0 waits here for message 0 from device 1

// The residents a pass needs, and the place of updates.
// RUN: sed -e '/resident parameter/d' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=RESIDENT
// RESIDENT: error: {{.*}}needs a resident parameter @w, which the program lacks
// RUN: sed -e '/resident learning_rate/d' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=RATE
// RATE: error: {{.*}}needs a resident learning_rate, which the program lacks
// RUN: sed '/weir.run update/d' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=UPDATE
// UPDATE: error: {{.*}}holds @w but does not update it
// RUN: sed 's/weir.run update @w (%d, %c)/weir.run update @w (%c, %c)/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=GRADIENT
// GRADIENT: error: {{.*}}operand 0 must be the gradient of use 0 of @w, but is the count
// RUN: sed -e '/weir.run backward_weight 0 microbatch 1/{h;d}' -e '/weir.run update/G' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=EARLY
// EARLY: error: {{.*}}comes before a pass that adds to gradient @w 0
// EARLY: note: the pass runs here
// RUN: sed -e '/weir.run forward 1 microbatch 1/{h;d}' -e '/send_start [%]n/G' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=UNCOUNTED
// UNCOUNTED: error: {{.*}}comes before a pass that adds to count
// UNCOUNTED: note: the pass runs here

// A count of a device that counts nothing is always zero (spelt so that lit does
// not take it for its tool); what only the device
// itself uses is not sent.
// RUN: sed -e 's/.step = weir.resident .*/&\n%n = weir.resident \x63ount at [832] : tensor<f32>/' -e 's/(%d, %c)/(%d, %n)/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=OWN
// OWN: error: {{.*}}no pass of device 0 adds to count
// RUN: sed 's/send_start %n to 0/send_start %l to 0/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=PRIVATE
// PRIVATE: error: {{.*}}sends a resident that every device has for itself: loss
// PRIVATE: note: the resident is here

// Loads of what is not there.
// RUN: sed -e '/weir.load "tokens" microbatch 1/a weir.load "tokens" microbatch 2 at [832] : tensor<f32>' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=LOAD
// LOAD: error: {{.*}}loads microbatch 2 of 2
// RUN: sed 's/load "tokens" microbatch 1/load "labels" microbatch 1/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=INPUT
// INPUT: error: {{.*}}loads "labels", but the pipeline has no such input

// Devices and microbatches.
// RUN: sed 's/device 1 microbatches 2/device 2 microbatches 2/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=DEVICE
// DEVICE: error: {{.*}}is of device 2, but the devices must be 0 to 1, each once
// RUN: sed 's/device 1 microbatches 2/device 1 microbatches 3/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=COUNT
// COUNT: error: {{.*}}runs 3 microbatches, device 0 runs 2

// The plan: overlap with what lives, alignment, the arena, the limit.
// RUN: sed 's/at .448. :/at [384] :/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=OVERLAP
// OVERLAP: error: {{.*}}bytes 384 to 388 of device 0 are still in use
// OVERLAP: note: made here
// OVERLAP: note: and needed until here
// A resident is needed in the next step, though no action follows that reads it.
// RUN: sed 's/message 4 at .768./message 4 at [64]/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=NEXT
// NEXT: error: {{.*}}bytes 64 to 68 of device 0 are still in use
// NEXT: note: made here
// NEXT: note: and needed in the next step
// Two results of one pass, and a pass that writes over what it reads.
// RUN: sed 's/at .320, 384. :/at [320, 320] :/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=SAME
// SAME: error: {{.*}}bytes 320 to 384 of device 0 are still in use
// RUN: sed 's/at .320, 384. :/at [256, 384] :/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=INPLACE
// INPLACE: error: {{.*}}bytes 256 to 260 of device 0 are still in use
// What is dead may be written over: the first input by the last pass.
// RUN: sed 's/at .512, 576. :/at [256, 576] :/' %S/Inputs/two-devices.mlir | weir-opt --weir-verify-programs
// The buffer of a receive is taken from its start, not from its wait.
// RUN: sed 's/message 1 at .192./message 1 at [256]/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=START
// START: error: {{.*}}bytes 256 to 260 of device 1 are still in use
// The buffer of a send is taken until its wait.
// RUN: sed 's/microbatch 1 (%y1) at .320./microbatch 1 (%y1) at [256]/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=START
// RUN: sed 's/at .448. :/at [450] :/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=ALIGN
// ALIGN: error: {{.*}}offset 450 is not a multiple of 64
// RUN: sed 's/at .448. :/at [832] :/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=OUTSIDE
// OUTSIDE: error: {{.*}}4 bytes at 832 are outside the arena of 832 bytes
// RUN: sed 's/at .448. :/at [9223372036854775744] :/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=BEYOND
// BEYOND: error: {{.*}}4 bytes at 9223372036854775744 are outside the arena
// RUN: sed 's/microbatch 0 at .256. :/microbatch 0 :/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=NONE
// NONE: error: {{.*}}has no offset for result 0
// RUN: sed 's/arena 832/arena 832 limit 800/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=LIMIT
// An arena that is larger than its buffers, and one that is smaller.
// RUN: sed 's/arena 832/arena 896/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=LARGER
// LARGER: error: {{.*}}has an arena of 896 bytes, but its buffers take 832
// LARGER: note: the last one is made here
// RUN: sed 's/arena 832/arena 768/' %S/Inputs/two-devices.mlir | not weir-opt --weir-verify-programs 2>&1 | FileCheck %s --check-prefix=SMALLER
// SMALLER: error: {{.*}}4 bytes at 768 are outside the arena of 768 bytes
// LIMIT: error: {{.*}}device 0 needs 832 bytes, but the memory limit is 800

//--- deadlock.mlir
weir.pipeline @p stages 2 (%t = "tokens" : tensor<f32>) {
  %y = weir.forward 0 (%x = %t : tensor<f32>) -> tensor<f32> {
    weir.yield %x : tensor<f32>
  }
  %g = weir.forward 1 (%a = %y : tensor<f32>) -> tensor<f32> {
    weir.yield %a : tensor<f32>
  }
  weir.backward_input 0 (%a = %g : tensor<f32>) {
  }
}
weir.program @d0 of @p device 0 microbatches 2 {
  %t0 = weir.load "tokens" microbatch 0 : tensor<f32>
  %y0 = weir.run forward 0 microbatch 0 (%t0) : (tensor<f32>) -> tensor<f32>
  %t1 = weir.load "tokens" microbatch 1 : tensor<f32>
  %y1 = weir.run forward 0 microbatch 1 (%t1) : (tensor<f32>) -> tensor<f32>
  %s0 = weir.send_start %y0 to 1 message 0 : tensor<f32>
  %s1 = weir.send_start %y1 to 1 message 1 : tensor<f32>
  weir.wait %s0 : !weir.sending
  weir.wait %s1 : !weir.sending
  %r0 = weir.recv_start from 1 message 2 : !weir.receiving<tensor<f32>>
  %g0 = weir.wait %r0 : !weir.receiving<tensor<f32>> -> tensor<f32>
  weir.run backward_input 0 microbatch 0 (%g0) : (tensor<f32>) -> ()
  %r1 = weir.recv_start from 1 message 3 : !weir.receiving<tensor<f32>>
  %g1 = weir.wait %r1 : !weir.receiving<tensor<f32>> -> tensor<f32>
  weir.run backward_input 0 microbatch 1 (%g1) : (tensor<f32>) -> ()
}
weir.program @d1 of @p device 1 microbatches 2 {
  %r0 = weir.recv_start from 0 message 0 : !weir.receiving<tensor<f32>>
  %y0 = weir.wait %r0 : !weir.receiving<tensor<f32>> -> tensor<f32>
  %g0 = weir.run forward 1 microbatch 0 (%y0) : (tensor<f32>) -> tensor<f32>
  %s0 = weir.send_start %g0 to 0 message 2 : tensor<f32>
  weir.wait %s0 : !weir.sending
  %r1 = weir.recv_start from 0 message 1 : !weir.receiving<tensor<f32>>
  %y1 = weir.wait %r1 : !weir.receiving<tensor<f32>> -> tensor<f32>
  %g1 = weir.run forward 1 microbatch 1 (%y1) : (tensor<f32>) -> tensor<f32>
  %s1 = weir.send_start %g1 to 0 message 3 : tensor<f32>
  weir.wait %s1 : !weir.sending
}

//--- circle.mlir
weir.pipeline @p stages 1 (%t = "tokens" : tensor<f32>) {
  weir.forward 0 (%x = %t : tensor<f32>) {
  }
}
weir.program @d0 of @p device 0 microbatches 1 {
  %r = weir.recv_start from 1 message 0 : !weir.receiving<tensor<f32>>
  %x = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>
  %s = weir.send_start %x to 1 message 1 : tensor<f32>
  weir.wait %s : !weir.sending
  weir.run forward 0 microbatch 0 (%x) : (tensor<f32>) -> ()
}
weir.program @d1 of @p device 1 microbatches 1 {
  %r = weir.recv_start from 0 message 1 : !weir.receiving<tensor<f32>>
  %x = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>
  %s = weir.send_start %x to 0 message 0 : tensor<f32>
  weir.wait %s : !weir.sending
}
