// RUN: weir-opt %s --weir-split-backward -verify-diagnostics -split-input-file

// There is nothing to split before differentiation.
// expected-error @+1 {{no joint graph: no function marked 'weir.joint'; run weir-differentiate first}}
module {
  func.func @f() { return }
}

// -----

// Two joint graphs: it is not clear which is meant.
module {
  // expected-note @+1 {{the other one is here}}
  func.func @f() attributes {weir.joint} { return }
  // expected-error @+1 {{more than one function marked 'weir.joint'}}
  func.func @g() attributes {weir.joint} { return }
}

// -----

// A declaration has nothing to split.
// expected-error @+1 {{a joint graph needs a body of one block}}
func.func private @f(tensor<4xf32>) attributes {weir.joint}
