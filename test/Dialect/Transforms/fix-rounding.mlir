// RUN: weir-opt %s --weir-fix-rounding | FileCheck %s
// RUN: weir-opt %s --weir-fix-rounding -o %t.once
// RUN: weir-opt %t.once --weir-fix-rounding -o %t.twice
// RUN: diff %t.once %t.twice
// RUN: weir-opt %s --weir-fix-rounding=lanes=8 | FileCheck %s --check-prefix=EIGHT

#full = affine_map<(i, j) -> (i, j)>
#transposed = affine_map<(i, j) -> (j, i)>
#row = affine_map<(i, j) -> (i)>
#column = affine_map<(i, j) -> (j)>
#id = affine_map<(i) -> (i)>

weir.variable @w <normal, 0.02> : tensor<6x6xf32>

// Where the data's last dim is reduced, a result has 16 lanes, else 4.
// CHECK-LABEL: func.func @reductions
// EIGHT-LABEL: func.func @reductions
func.func @reductions(%x: tensor<6x6xf32>, %rows: tensor<6xf32>, %columns: tensor<6xf32>) attributes {weir.joint} {
  // CHECK: linalg.generic
  // CHECK-SAME: iterator_types = ["parallel", "reduction"]
  // CHECK-SAME: weir.lanes = 16 : i64
  // CHECK-SAME: weir.op = 3 : i64
  // EIGHT: weir.lanes = 8 : i64
  %0 = linalg.generic {indexing_maps = [#full, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<6x6xf32>) outs(%rows : tensor<6xf32>) attrs = {weir.op = 3 : i64} {
  ^bb0(%in: f32, %acc: f32):
    %s = arith.addf %acc, %in : f32
    linalg.yield %s : f32
  } -> tensor<6xf32>
  // CHECK: linalg.generic
  // CHECK-SAME: iterator_types = ["reduction", "parallel"]
  // CHECK-SAME: weir.lanes = 4 : i64
  // EIGHT: weir.lanes = 2 : i64
  %1 = linalg.generic {indexing_maps = [#full, #column], iterator_types = ["reduction", "parallel"]}
      ins(%x : tensor<6x6xf32>) outs(%columns : tensor<6xf32>) {
  ^bb0(%in: f32, %acc: f32):
    %s = arith.addf %acc, %in : f32
    linalg.yield %s : f32
  } -> tensor<6xf32>
  // The layout of the data counts, not the order of the loops.
  // CHECK: linalg.generic
  // CHECK-SAME: iterator_types = ["parallel", "reduction"]
  // CHECK-SAME: weir.lanes = 4 : i64
  %2 = linalg.generic {indexing_maps = [#transposed, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<6x6xf32>) outs(%rows : tensor<6xf32>) {
  ^bb0(%in: f32, %acc: f32):
    %s = arith.maximumf %acc, %in : f32
    linalg.yield %s : f32
  } -> tensor<6xf32>
  // Lanes that are there stay.
  // CHECK: weir.lanes = 2 : i64
  %3 = linalg.generic {indexing_maps = [#full, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<6x6xf32>) outs(%rows : tensor<6xf32>) attrs = {weir.lanes = 2 : i64} {
  ^bb0(%in: f32, %acc: f32):
    %s = arith.addf %acc, %in : f32
    linalg.yield %s : f32
  } -> tensor<6xf32>
  return
}

// Functions with polynomials are expanded inside bodies; others and other types
// stay. The constants stay in the body too.
// CHECK-LABEL: func.func @functions
func.func @functions(%x: tensor<6xf32>, %y: tensor<6xf64>) attributes {weir.joint} {
  // CHECK-NEXT: linalg.generic
  // CHECK-NOT: math.exp
  // CHECK-NOT: math.tanh
  // CHECK: math.fma
  // CHECK: math.powf
  // CHECK: linalg.yield
  %0 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<6xf32>) outs(%x : tensor<6xf32>) {
  ^bb0(%in: f32, %out: f32):
    %a = math.exp %in : f32
    %b = math.tanh %a : f32
    %c = math.powf %b, %in : f32
    linalg.yield %c : f32
  } -> tensor<6xf32>
  // CHECK: math.exp %{{.*}} : f64
  %1 = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%y : tensor<6xf64>) outs(%y : tensor<6xf64>) {
  ^bb0(%in: f64, %out: f64):
    %a = math.exp %in : f64
    // Flags that allow other roundings are dropped.
    // CHECK: arith.addf %{{.*}}, %{{.*}} : f64
    %b = arith.addf %a, %in fastmath<reassoc, contract> : f64
    linalg.yield %b : f64
  } -> tensor<6xf64>
  return
}

// Ops on tensors and named ops become generic and keep their numbers; products
// stay what they are.
// CHECK-LABEL: func.func @named
func.func @named(%x: tensor<6x6xf32>) attributes {weir.joint} {
  %w = weir.read @w : tensor<6x6xf32>
  // CHECK: linalg.generic {{.*}}weir.op = 1 : i64
  // CHECK-NOT: math.exp
  %0 = math.exp %x {weir.op = 1 : i64} : tensor<6x6xf32>
  %e = tensor.empty() : tensor<6x6xf32>
  // CHECK: linalg.generic {{.*}}weir.op = 2 : i64
  // CHECK: arith.addf
  %1 = linalg.add {weir.op = 2 : i64} ins(%0, %x : tensor<6x6xf32>, tensor<6x6xf32>) outs(%e : tensor<6x6xf32>) -> tensor<6x6xf32>
  // CHECK: linalg.contract
  %2 = linalg.contract indexing_maps = [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (k, n)>, affine_map<(m, n, k) -> (m, n)>]
      ins(%1, %w : tensor<6x6xf32>, tensor<6x6xf32>) outs(%e : tensor<6x6xf32>) -> tensor<6x6xf32>
  return
}

// A model is differentiated first.
// CHECK-LABEL: func.func @model
// CHECK: math.exp
func.func @model(%x: tensor<6xf32>) -> tensor<6xf32> attributes {weir.model} {
  %0 = math.exp %x : tensor<6xf32>
  return %0 : tensor<6xf32>
}
