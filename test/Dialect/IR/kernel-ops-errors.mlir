// RUN: weir-opt %s -verify-diagnostics -split-input-file

// A call names a kernel, and nothing else will do.
weir.variable @w <constant, 0.0> : tensor<4xf32>
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{'weir.custom' op names no kernel: @w}}
  %y = weir.custom @w(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

// It passes what the kernel takes, ...
// expected-note@+1 {{kernel declared here}}
weir.kernel @k (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>)
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{'weir.custom' op has 1 operands, but kernel @k has 2}}
  %y = weir.custom @k(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

// ... of the same shape, ...
// expected-note@+1 {{kernel declared here}}
weir.kernel @k (tensor<4xf32>, tensor<4xf32>) -> (tensor<4xf32>)
func.func @f(%x: tensor<4xf32>, %z: tensor<5xf32>) {
  // expected-error@+1 {{'weir.custom' op has operand 1 of type tensor<5xf32>, but kernel @k has tensor<4xf32>}}
  %y = weir.custom @k(%x, %z) : (tensor<4xf32>, tensor<5xf32>) -> tensor<4xf32>
  return
}

// -----

// ... and takes all that it gives, what it keeps too.
// expected-note@+1 {{kernel declared here}}
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>) keeps (tensor<f32>)
func.func @f(%x: tensor<4xf32>) {
  // expected-error@+1 {{'weir.custom' op has 1 results, but kernel @k has 2}}
  %y = weir.custom @k(%x) : (tensor<4xf32>) -> tensor<4xf32>
  return
}

// -----

// A kernel has a name that C can give a function.
// expected-error@+1 {{'weir.kernel' op calls 'my.kernel', which is no name of a function in C; give one by `calls`}}
weir.kernel @my.kernel (tensor<4xf32>) -> (tensor<4xf32>)

// -----

// expected-error@+1 {{'weir.kernel' op calls '', which is no name of a function in C}}
weir.kernel @k calls "" (tensor<4xf32>) -> (tensor<4xf32>)

// -----

// expected-error@+1 {{'weir.kernel' op calls 'weir_main', a name that Weir itself uses}}
weir.kernel @k calls "weir_main" (tensor<4xf32>) -> (tensor<4xf32>)

// -----

// A kernel gives something.
// expected-error@+1 {{'weir.kernel' op gives nothing but what it keeps}}
weir.kernel @k (tensor<4xf32>) -> () keeps (tensor<4xf32>)

// -----

// Buffers have a size.
// expected-error@+1 {{'weir.kernel' op has operand 1, which no buffer can hold: 'tensor<?xf32>'}}
weir.kernel @k (tensor<4xf32>, tensor<?xf32>) -> (tensor<4xf32>)

// -----

// expected-error@+1 {{'weir.kernel' op has result 0, which no buffer can hold: 'f32'}}
weir.kernel @k (tensor<4xf32>) -> (f32)

// -----

// Costs are not negative, nor without end.
// expected-error@+1 {{'weir.kernel' op has negative flops: -1}}
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>) flops -1

// -----

// expected-error@+1 {{'weir.kernel' op has negative bytes: -8}}
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>) bytes -8

// -----

// expected-error@+1 {{'weir.kernel' op takes}}
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>) seconds 0x7FF0000000000000

// -----

// expected-error@+1 {{'weir.kernel' op has a workspace of -64 bytes}}
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>) workspace -64

// -----

// A derivative takes operands, results, and gradients of what is not kept, ...
// expected-error@+1 {{'weir.kernel' op has a derivative that takes 3 values, but there must be 4: operand 0, result 0, result 1, gradient of result 0}}
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>) keeps (tensor<f32>)
    derivative (%x: tensor<4xf32>, %y: tensor<4xf32>, %s: tensor<f32>) {
  weir.yield %x : tensor<4xf32>
}

// -----

// ... in this order.
// expected-error@+1 {{'weir.kernel' op has a derivative that takes 'tensor<4xf32>' as operand 1, which is 'tensor<i64>'}}
weir.kernel @k (tensor<4xf32>, tensor<i64>) -> (tensor<4xf32>)
    derivative (%x: tensor<4xf32>, %y: tensor<4xf32>, %n: tensor<i64>, %dy: tensor<4xf32>) {
  weir.yield %dy : tensor<4xf32>
}

// -----

// It gives one gradient for each operand that can have one.
// expected-error@+1 {{'weir.kernel' op has a derivative that gives 1 values, but there must be 2: gradient of operand 0, gradient of operand 2}}
weir.kernel @k (tensor<4xf32>, tensor<i64>, tensor<f32>) -> (tensor<4xf32>)
    derivative (%x: tensor<4xf32>, %n: tensor<i64>, %z: tensor<f32>,
                %y: tensor<4xf32>, %dy: tensor<4xf32>) {
  weir.yield %dy : tensor<4xf32>
}

// -----

// It depends on its arguments alone.
weir.variable @w <constant, 0.0> : tensor<4xf32>
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>)
    derivative (%x: tensor<4xf32>, %y: tensor<4xf32>, %dy: tensor<4xf32>) {
  // expected-error@+1 {{'weir.read' op has no place in the derivative of a kernel, which depends on its arguments alone}}
  %w = weir.read @w : tensor<4xf32>
  weir.yield %w : tensor<4xf32>
}

// -----

weir.variable @w <constant, 0.0> : tensor<4xf32>
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>)
    derivative (%x: tensor<4xf32>, %y: tensor<4xf32>, %dy: tensor<4xf32>) {
  // expected-error@+1 {{'weir.accumulate' op has no place in the derivative of a kernel}}
  weir.accumulate @w use 0, %dy : tensor<4xf32>
  weir.yield %dy : tensor<4xf32>
}

// -----

// It ends with its gradients.
weir.kernel @k (tensor<4xf32>) -> (tensor<4xf32>)
    derivative (%x: tensor<4xf32>, %y: tensor<4xf32>, %dy: tensor<4xf32>) {
  // expected-error@+1 {{'func.return' op}}
  func.return
}
