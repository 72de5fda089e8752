// RUN: weir-opt %s --weir-estimate-costs="gflops=0" -verify-diagnostics -split-input-file

// expected-error@+1 {{no joint graph: no function marked 'weir.joint'; run weir-differentiate first}}
module {
  func.func @model() attributes {weir.model} {
    return
  }
}

// -----

module {
  // expected-note@+1 {{the other one is here}}
  func.func @a() attributes {weir.joint} {
    return
  }
  // expected-error@+1 {{more than one function marked 'weir.joint'}}
  func.func @b() attributes {weir.joint} {
    return
  }
}

// -----

// expected-error@+1 {{speeds and bandwidth of the cost model must be positive}}
func.func @net() attributes {weir.joint} {
  return
}
