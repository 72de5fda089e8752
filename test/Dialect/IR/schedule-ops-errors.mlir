// RUN: weir-opt %s -verify-diagnostics -split-input-file

// What is wrong with a stage alone is said at the stage.
weir.schedule.problem @p devices 1 microbatches 1 {
  // expected-error @+1 {{'weir.schedule.stage' op has a duration that is negative}}
  weir.schedule.stage 0 on 0 forward -1.0
}

// -----

weir.schedule.problem @p devices 1 microbatches 1 {
  // expected-error @+1 {{gives back}}
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0 activation 1 released 2
}

// -----

weir.schedule.problem @p devices 1 microbatches 1 {
  // expected-error @+1 {{has a workspace that is not the i64 bytes of a pass: "sideways" = 1 : i64}}
  weir.schedule.stage 0 on 0 forward 1.0 workspace {sideways = 1}
}

// -----

weir.schedule.problem @p devices 1 microbatches 1 {
  // expected-error @+1 {{expected 'forward' and its duration}}
  weir.schedule.stage 0 on 0 backward_input 1.0
}

// -----

// What is wrong with it beside the others too.
weir.schedule.problem @p devices 2 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0
  // expected-error @+1 {{stage 1 has no backward-input pass, but stage 0 needs the gradient that it would send}}
  weir.schedule.stage 1 on 1 forward 1.0 backward_weight 1.0
}

// -----

weir.schedule.problem @p devices 2 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
  // expected-error @+1 {{has number 2, but 1 comes next}}
  weir.schedule.stage 2 on 1 forward 1.0
}

// -----

weir.schedule.problem @p devices 2 microbatches 1 {
  // expected-error @+1 {{names device 2, but there are 2}}
  weir.schedule.stage 0 on 2 forward 1.0
}

// -----

weir.schedule.problem @p devices 2 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
  // expected-note @+1 {{first one here}}
  weir.schedule.device 1 fixed 1
  // expected-error @+1 {{is there already}}
  weir.schedule.device 1 limit 1
}

// -----

weir.schedule.problem @p devices 2 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
  // expected-error @+1 {{the link from device 0 to device 1 has a latency that is negative}}
  weir.schedule.link 0 to 1 latency -0.5
}

// -----

// expected-error @+1 {{a pipeline needs at least one stage}}
weir.schedule.problem @p devices 2 microbatches 1 {
}

// -----

// expected-error @+1 {{needs 1 to 65536 devices, has 0}}
weir.schedule.problem @p devices 0 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}

// -----

// expected-error @+1 {{a step needs at least one microbatch, not 0}}
weir.schedule.problem @p devices 1 microbatches 0 {
  weir.schedule.stage 0 on 0 forward 1.0
}

// -----

// expected-error @+1 {{names no scheduling problem: @q}}
weir.schedule.solution of @q by "1f1b" {
}

// -----

// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  weir.schedule.order 0 {
    // expected-error @+1 {{is of stage 1, but there are 1}}
    weir.schedule.pass forward 1 microbatch 0
  }
}

// -----

// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  weir.schedule.order 0 {
    // expected-error @+1 {{is of microbatch 4294967296, but there are 1}}
    weir.schedule.pass forward 0 microbatch 4294967296
  }
}

// -----

// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  // expected-error @+1 {{is of device 1, but there are 1}}
  weir.schedule.order 1 {
  }
}

// -----

// Numbers that keys of hash maps are not made of.
// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  // expected-error @+1 {{is of device 9223372036854775807, but there are 1}}
  weir.schedule.order 9223372036854775807 {
  }
  weir.schedule.order -9223372036854775808 {
  }
}

// -----

weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  // expected-note @+1 {{first one here}}
  weir.schedule.order 0 {
  }
  // expected-error @+1 {{is the second of device 0}}
  weir.schedule.order 0 {
  }
}

// -----

weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  weir.schedule.order 0 {
    // expected-error @+1 {{forward needs a microbatch}}
    weir.schedule.pass forward 0
  }
}

// -----

weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  weir.schedule.order 0 {
    // expected-error @+1 {{needs both its start and its end, or neither}}
    weir.schedule.pass forward 0 microbatch 0 at 1.0
  }
}

// -----

weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "1f1b" {
  weir.schedule.order 0 {
    // expected-error @+1 {{unknown pass 'sideways'}}
    weir.schedule.pass sideways 0 microbatch 0
  }
}
