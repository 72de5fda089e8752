// RUN: weir-opt %s --weir-check-schedules -verify-diagnostics -split-input-file

// Each device runs first what needs the other's second.
// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 2 microbatches 2 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_input 1.0
  weir.schedule.stage 1 on 1 forward 1.0 backward_input 1.0
}
weir.schedule.solution of @p by "circle" {
  weir.schedule.order 0 {
    weir.schedule.pass forward 0 microbatch 0
    // expected-error @+1 {{deadlock: B s0 mb 0 on device 0 waits for B s1 mb 0, which comes after F s1 mb 1 on device 1; F s1 mb 1 on device 1 waits for F s0 mb 1, which comes after B s0 mb 0}}
    weir.schedule.pass backward_input 0 microbatch 0
    // expected-note @+1 {{named here}}
    weir.schedule.pass forward 0 microbatch 1
    weir.schedule.pass backward_input 0 microbatch 1
  }
  weir.schedule.order 1 {
    weir.schedule.pass forward 1 microbatch 0
    // expected-note @+1 {{named here}}
    weir.schedule.pass forward 1 microbatch 1
    // expected-note @+1 {{named here}}
    weir.schedule.pass backward_input 1 microbatch 0
    weir.schedule.pass backward_input 1 microbatch 1
  }
}

// -----

// Gradients are gathered in the order of the microbatches.
// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 2 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "turned" {
  weir.schedule.order 0 {
    // expected-note @+1 {{named here}}
    weir.schedule.pass forward 0 microbatch 1
    // expected-error @+1 {{F s0 mb 0 on device 0 comes after F s0 mb 1; microbatches run in order}}
    weir.schedule.pass forward 0 microbatch 0
  }
}

// -----

// A pass is missing: the error is at the order, for it has no op.
// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0 backward_weight 1.0
}
// expected-error @+1 {{W s0 mb 0 on device 0 is missing}}
weir.schedule.solution of @p by "short" {
  weir.schedule.order 0 {
    weir.schedule.pass forward 0 microbatch 0
  }
}

// -----

// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "twice" {
  weir.schedule.order 0 {
    // expected-error @+1 {{F s0 mb 0 on device 0 appears twice}}
    weir.schedule.pass forward 0 microbatch 0
    // expected-note @+1 {{named here}}
    weir.schedule.pass forward 0 microbatch 0
  }
}

// -----

// The stage is another device's.
// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 2 microbatches 1 {
  weir.schedule.stage 0 on 0 forward 1.0
}
weir.schedule.solution of @p by "elsewhere" {
  weir.schedule.order 1 {
    // expected-error @+1 {{F s0 mb 0 on device 1: stage 0 }}
    weir.schedule.pass forward 0 microbatch 0
  }
}

// -----

// Two microbatches at once are more than the limit of the device.
// expected-note @+1 {{the problem is here}}
weir.schedule.problem @p devices 1 microbatches 2 limit 5 {
  weir.schedule.device 0 fixed 1
  weir.schedule.stage 0 on 0 forward 1.0 backward_weight 1.0 activation 3
}
weir.schedule.solution of @p by "greedy" {
  weir.schedule.order 0 {
    weir.schedule.pass forward 0 microbatch 0
    // expected-error @+1 {{device 0 needs 7 bytes during F s0 mb 1, the limit is 5}}
    weir.schedule.pass forward 0 microbatch 1
    weir.schedule.pass backward_weight 0 microbatch 0
    weir.schedule.pass backward_weight 0 microbatch 1
  }
}
