// RUN: weir-opt %s --weir-differentiate -verify-diagnostics -split-input-file

// There must be a model.
// expected-error @+1 {{no model: no function marked 'weir.model'}}
module {
  func.func @f() { return }
}

// -----

// And only one.
module {
  // expected-note @+1 {{the other one is here}}
  func.func @f() attributes {weir.model} { return }
  // expected-error @+1 {{more than one function marked 'weir.model'}}
  func.func @g() attributes {weir.model} { return }
}

// -----

// expected-error @+1 {{the model has no body}}
func.func private @f() -> (tensor<f32>, tensor<f32>) attributes {weir.model}

// -----

// A model returns loss and count.
// expected-error @+1 {{the model must return the sum of the losses and the count of labels, got 0 results}}
func.func @f() attributes {weir.model} { return }

// -----

// Labels are below the number of classes, so there is at least one.
// expected-error @+1 {{'weir.classes' must be a number of at least 1, got 0 : i64}}
func.func @f(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.classes = 0 : i64, weir.model} {
  return %x, %x : tensor<f32>, tensor<f32>
}

// -----

// The loss is one number, and a float.
// expected-error @+1 {{the loss must be a float tensor of rank 0, like tensor<f32>, got 'tensor<2xf32>'}}
func.func @f(%x: tensor<2xf32>, %n: tensor<f32>) -> (tensor<2xf32>, tensor<f32>)
    attributes {weir.model} {
  return %x, %n : tensor<2xf32>, tensor<f32>
}

// -----

// expected-error @+1 {{the loss must be a float tensor of rank 0, like tensor<f32>, got 'tensor<i32>'}}
func.func @f(%x: tensor<i32>, %n: tensor<f32>) -> (tensor<i32>, tensor<f32>)
    attributes {weir.model} {
  return %x, %n : tensor<i32>, tensor<f32>
}

// -----

// expected-error @+1 {{the count must be a float tensor of rank 0, like tensor<f32>, got 'f32'}}
func.func @f(%x: tensor<f32>, %n: f32) -> (tensor<f32>, f32)
    attributes {weir.model} {
  return %x, %n : tensor<f32>, f32
}

// -----

func.func @f(%x: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  // expected-error @+1 {{the loss depends on no variable, so there is nothing to train}}
  return %x, %x : tensor<f32>, tensor<f32>
}

// -----

// expected-error @+1 {{a model must have static shapes, got 'tensor<?xf32>'}}
func.func @f(%x: tensor<?xf32>, %l: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

func.func @f(%x: tensor<4xf32>, %l: tensor<f32>, %n: index)
    -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  // expected-error @+1 {{a model must have static shapes, got 'tensor<?xf32>'}}
  %s = tensor.extract_slice %x[0] [%n] [1] : tensor<4xf32> to tensor<?xf32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// expected-error @+1 {{a tensor of a model must have elements, got 'tensor<0x4xf32>'}}
func.func @f(%x: tensor<0x4xf32>, %l: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// Control flow.
func.func @f(%l: tensor<f32>, %n: index) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  // expected-error @+1 {{'scf.for' op has a region: a model has no control flow, and only linalg ops and tensor.pad have bodies}}
  %r = scf.for %i = %zero to %n step %one iter_args(%x = %l) -> tensor<f32> {
    %y = arith.mulf %x, %x : tensor<f32>
    scf.yield %y : tensor<f32>
  }
  return %r, %l : tensor<f32>, tensor<f32>
}

// -----

// expected-error @+1 {{the model must be straight-line code: one block}}
func.func @f(%l: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  cf.br ^bb1
^bb1:
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// An op of the backward has no place in a model.
weir.variable @w <normal, 1.0> : tensor<f32>
func.func @f() -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %w = weir.read @w : tensor<f32>
  // expected-error @+1 {{'weir.report' op belongs behind weir-differentiate, not in a model}}
  weir.report %w, %w : tensor<f32>, tensor<f32>
  return %w, %w : tensor<f32>, tensor<f32>
}

// -----

// An op on tensors without a rule.
weir.variable @w <normal, 1.0> : tensor<f32>
func.func private @g(tensor<f32>) -> tensor<f32>
func.func @f() -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %w = weir.read @w : tensor<f32>
  // expected-error @+1 {{'func.call' op has no derivative rule; give it one in a rule file (DifferentiableOpInterface), write it as a 'weir.custom' op with a backward of its own, or mark it 'weir.stop_gradient' if no gradient shall flow through it}}
  %l = func.call @g(%w) : (tensor<f32>) -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// A scalar op without a rule, in a body, which reads a value that has a gradient
// only inside its regions.
weir.variable @w <normal, 1.0> : tensor<f32>
func.func @f() -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %w = weir.read @w : tensor<f32>
  %e = tensor.empty() : tensor<f32>
  %l = linalg.generic {
      indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>],
      iterator_types = []} ins(%w : tensor<f32>) outs(%e : tensor<f32>) {
  ^bb0(%x: f32, %o: f32):
    %zero = arith.constant 0.0 : f32
    %c = arith.cmpf ogt, %x, %zero : f32
    // expected-error @+1 {{'scf.if' op has no derivative rule; give it one in a rule file (DifferentiableScalarOpInterface), write the op around it as a 'weir.custom' op with a backward of its own, or put 'weir.stop_gradient' there if no gradient shall flow}}
    %y = scf.if %c -> f32 {
      scf.yield %x : f32
    } else {
      scf.yield %zero : f32
    }
    linalg.yield %y : f32
  } -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// A product of running sums is no reduction: it depends on the order of the loop,
// even where the sums themselves are of no use to the loss.
weir.variable @w <normal, 1.0> : tensor<4xf32>
func.func @f() -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %w = weir.read @w : tensor<4xf32>
  %i = arith.constant dense<1.0> : tensor<f32>
  // expected-error @+1 {{has no derivative rule for this reduction; known are sums, products, maxima and minima}}
  %s, %l = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>,
                       affine_map<(i) -> ()>],
      iterator_types = ["reduction"]}
      ins(%w : tensor<4xf32>) outs(%i, %i : tensor<f32>, tensor<f32>) {
  ^bb0(%x: f32, %sum: f32, %product: f32):
    %t = arith.addf %sum, %x : f32
    %p = arith.mulf %product, %t : f32
    linalg.yield %t, %p : f32, f32
  } -> (tensor<f32>, tensor<f32>)
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// A running quotient is a reduction without a rule.
weir.variable @w <normal, 1.0> : tensor<4xf32>
func.func @f() -> (tensor<f32>, tensor<f32>) attributes {weir.model} {
  %one = arith.constant 1.0 : f32
  %w = weir.read @w : tensor<4xf32>
  %e = tensor.empty() : tensor<f32>
  %i = linalg.fill ins(%one : f32) outs(%e : tensor<f32>) -> tensor<f32>
  // expected-error @+1 {{has no derivative rule for this reduction; known are sums, products, maxima and minima}}
  %l = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> ()>],
      iterator_types = ["reduction"]} ins(%w : tensor<4xf32>) outs(%i : tensor<f32>) {
  ^bb0(%x: f32, %acc: f32):
    %y = arith.divf %acc, %x : f32
    linalg.yield %y : f32
  } -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}

// -----

// A map with a remainder. The loss reads every element of %w twice.
weir.variable @w <normal, 1.0> : tensor<6xf32>
func.func @f(%x: tensor<3xf32>, %n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %zero = arith.constant 0.0 : f32
  %w = weir.read @w : tensor<6xf32>
  %e = tensor.empty() : tensor<4xf32>
  %z = linalg.fill ins(%zero : f32) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  // expected-error @+1 {{has no derivative rule for operand #0, whose map is not linear in the loops}}
  %y = linalg.generic {
      indexing_maps = [affine_map<(i, k) -> ((i + k) mod 2)>, affine_map<(i, k) -> (k)>,
                       affine_map<(i, k) -> (i)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%w, %x : tensor<6xf32>, tensor<3xf32>) outs(%z : tensor<4xf32>) {
  ^bb0(%a: f32, %b: f32, %acc: f32):
    %p = arith.mulf %a, %b : f32
    %s = arith.addf %acc, %p : f32
    linalg.yield %s : f32
  } -> tensor<4xf32>
  %e0 = tensor.empty() : tensor<f32>
  %z0 = linalg.fill ins(%zero : f32) outs(%e0 : tensor<f32>) -> tensor<f32>
  %l = linalg.reduce { arith.addf } ins(%y : tensor<4xf32>)
      outs(%z0 : tensor<f32>) dimensions = [0]
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// A body that reads a tensor by the back door.
weir.variable @w <normal, 1.0> : tensor<2xf32>
func.func @f(%n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %w = weir.read @w : tensor<2xf32>
  %e = tensor.empty() : tensor<f32>
  %zero = arith.constant 0 : index
  // expected-error @+1 {{uses a value that depends on a variable in its body; make it an operand}}
  %l = linalg.generic {
      indexing_maps = [affine_map<() -> ()>], iterator_types = []}
      outs(%e : tensor<f32>) {
  ^bb0(%o: f32):
    %y = tensor.extract %w[%zero] : tensor<2xf32>
    linalg.yield %y : f32
  } -> tensor<f32>
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// A slice whose place is known only when the model runs.
weir.variable @w <normal, 1.0> : tensor<4xf32>
func.func @f(%i: index, %n: tensor<f32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %w = weir.read @w : tensor<4xf32>
  // expected-error @+1 {{can be differentiated only if its offsets, sizes and strides are constants}}
  %l = tensor.extract_slice %w[%i] [1] [1] : tensor<4xf32> to tensor<f32>
  return %l, %n : tensor<f32>, tensor<f32>
}

// -----

// The same with data, which needs no gradient: still no pass would know of it.
weir.variable @w <normal, 1.0> : tensor<f32>
func.func @f(%x: tensor<2xf32>) -> (tensor<f32>, tensor<f32>)
    attributes {weir.model} {
  %w = weir.read @w : tensor<f32>
  %e = tensor.empty() : tensor<f32>
  %zero = arith.constant 0 : index
  // expected-error @+1 {{uses a value from outside in its body that is no constant; make it an operand}}
  %l = linalg.generic {
      indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>],
      iterator_types = []}
      ins(%w : tensor<f32>) outs(%e : tensor<f32>) {
  ^bb0(%v: f32, %o: f32):
    %y = tensor.extract %x[%zero] : tensor<2xf32>
    %p = arith.mulf %v, %y : f32
    linalg.yield %p : f32
  } -> tensor<f32>
  return %l, %l : tensor<f32>, tensor<f32>
}
