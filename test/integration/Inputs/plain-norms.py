# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Writes the example's model with its norms in linalg instead of kernels.

usage: plain-norms.py model.mlir > plain.mlir
"""

import re
import sys

CALL = re.compile(r"  (%\w+), %\w+ = weir\.custom @rmsnorm\((%\w+), (%\w+), %sizes\).*?\n\n", re.DOTALL)
NORM = """  {y}_squares_empty = tensor.empty() : tensor<128xf32>
  {y}_squares_start = linalg.fill ins(%zero : f32) outs({y}_squares_empty : tensor<128xf32>) -> tensor<128xf32>
  {y}_squares = linalg.generic {{indexing_maps = [#rc_rc, #rc_r], iterator_types = ["parallel", "reduction"]}}
      ins({x} : tensor<128x32xf32>) outs({y}_squares_start : tensor<128xf32>) {{
  ^bb0(%in: f32, %acc: f32):
    %square = arith.mulf %in, %in : f32
    %sum = arith.addf %acc, %square : f32
    linalg.yield %sum : f32
  }} -> tensor<128xf32>
  {y}_empty = tensor.empty() : tensor<128x32xf32>
  {y} = linalg.generic {{indexing_maps = [#rc_rc, #rc_r, #rc_c, #rc_rc], iterator_types = ["parallel", "parallel"]}}
      ins({x}, {y}_squares, {gain} : tensor<128x32xf32>, tensor<128xf32>, tensor<32xf32>)
      outs({y}_empty : tensor<128x32xf32>) {{
  ^bb0(%in: f32, %sum: f32, %factor: f32, %out: f32):
    %columns = arith.constant 32.0 : f32
    %epsilon = arith.constant 1.0e-5 : f32
    %mean = arith.divf %sum, %columns : f32
    %shifted = arith.addf %mean, %epsilon : f32
    %root = math.sqrt %shifted : f32
    %scaled = arith.divf %in, %root : f32
    %result = arith.mulf %scaled, %factor : f32
    linalg.yield %result : f32
  }} -> tensor<128x32xf32>

"""

with open(sys.argv[1]) as file:
    model = file.read()
model = model.replace("#rce_re ", "#rc_c = affine_map<(r, c) -> (c)>\n#rce_re ")
model, count = CALL.subn(lambda m: NORM.format(y=m[1], x=m[2], gain=m[3]), model)
assert count == 2
print(model, end="")
