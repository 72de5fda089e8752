// RUN: weir-opt %s --convert-weir-to-host --split-input-file | FileCheck %s

// A call gets a list of buffers: operands, results, workspace. Results are written
// where the pass gives them, without a copy; the workspace is the pass's.
weir.kernel @k calls "norm" (tensor<8xf32>, tensor<2xi64>) -> (tensor<8xf32>)
    keeps (tensor<4xf32>) workspace 100
// CHECK-LABEL: weir.pipeline @buffers
// CHECK: weir.forward 0 {{.*}}attributes {kernel = @f0, workspace = 128 : i64}
// CHECK: llvm.mlir.global internal constant @weir_tensor_0(dense<[8, 1]>
// CHECK: llvm.func @f0(%[[CONTEXT:.*]]: !llvm.ptr, %[[BUFFERS:.*]]: !llvm.ptr)
// CHECK: %[[LIST:.*]] = llvm.alloca %{{.*}} x !llvm.ptr
// CHECK-DAG: %[[SLOT0:.*]] = llvm.getelementptr %[[BUFFERS]][0]
// CHECK-DAG: %[[X:.*]] = llvm.load %[[SLOT0]]
// CHECK-DAG: %[[SLOT1:.*]] = llvm.getelementptr %[[BUFFERS]][1]
// CHECK-DAG: %[[Y:.*]] = llvm.load %[[SLOT1]]
// CHECK-DAG: %[[SLOT3:.*]] = llvm.getelementptr %[[BUFFERS]][3]
// CHECK-DAG: %[[WORKSPACE:.*]] = llvm.load %[[SLOT3]]
// CHECK: llvm.store %[[X]], %[[LIST]]
// CHECK: %[[SIZES:.*]] = llvm.getelementptr %[[LIST]][1]
// CHECK: llvm.store %{{.*}}, %[[SIZES]]
// CHECK: %[[RESULT:.*]] = llvm.getelementptr %[[LIST]][2]
// CHECK: llvm.store %[[Y]], %[[RESULT]]
// CHECK: %[[SCRATCH:.*]] = llvm.getelementptr %[[LIST]][4]
// CHECK: llvm.store %[[WORKSPACE]], %[[SCRATCH]]
// CHECK: llvm.call @norm(%[[CONTEXT]], %[[LIST]])
// CHECK-NEXT: llvm.return
// CHECK: llvm.func @norm(!llvm.ptr, !llvm.ptr)
weir.pipeline @buffers stages 1 (%x = "x" : tensor<8xf32>) {
  %y, %kept = weir.forward 0 (%a = %x : tensor<8xf32>)
      -> (tensor<8xf32>, !weir.bundle<tensor<4xf32>>) {
    %sizes = arith.constant dense<[8, 1]> : tensor<2xi64>
    %b, %s = weir.custom @k(%a, %sizes) : (tensor<8xf32>, tensor<2xi64>)
        -> (tensor<8xf32>, tensor<4xf32>)
    %bundle = weir.pack %s : (tensor<4xf32>) -> !weir.bundle<tensor<4xf32>>
    weir.yield %b, %bundle : tensor<8xf32>, !weir.bundle<tensor<4xf32>>
  }
}

// -----

// A slice is made dense before a kernel sees it; columns 2 and 3 of 4 rows take 32
// bytes. A function of the user's may have the name that a pass would get: the pass
// gives way.
weir.kernel @f0 (tensor<4x2xf32>) -> (tensor<4x2xf32>)
// CHECK-LABEL: weir.pipeline @slice
// CHECK: weir.forward 0 {{.*}}attributes {kernel = @f0_1, workspace = 64 : i64}
// CHECK: llvm.func @f0_1(
// CHECK: %[[LIST:.*]] = llvm.alloca
// CHECK: %[[SLOT:.*]] = llvm.getelementptr %{{.*}}[2] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr
// CHECK-NEXT: %[[DENSE:.*]] = llvm.load %[[SLOT]]
// CHECK: %[[ROW:.*]] = llvm.getelementptr %[[DENSE]]
// CHECK: "llvm.intr.memcpy"(%[[ROW]],
// CHECK: llvm.store %[[DENSE]], %[[LIST]]
// CHECK: llvm.call @f0(
// CHECK: llvm.func @f0(!llvm.ptr, !llvm.ptr)
weir.pipeline @slice stages 1 (%x = "x" : tensor<4x8xf32>) {
  %y = weir.forward 0 (%a = %x : tensor<4x8xf32>) -> (tensor<4x2xf32>) {
    %s = tensor.extract_slice %a[0, 2] [4, 2] [1, 1] : tensor<4x8xf32> to tensor<4x2xf32>
    %b = weir.custom @f0(%s) : (tensor<4x2xf32>) -> tensor<4x2xf32>
    weir.yield %b : tensor<4x2xf32>
  }
}
