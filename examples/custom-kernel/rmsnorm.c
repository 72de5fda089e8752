/*===- rmsnorm.c - a layer of one's own, by hand --------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// y[i][j] = x[i][j] * s[i] * gain[j] with s[i] = 1 / sqrt(mean(x[i]^2) + 1e-5),
// and its derivative in two functions: what the layers before this one wait for
// (dx), and what only the optimizer waits for (dgain). model.mlir declares them.
// `sizes` holds the numbers of rows and columns, so that one function serves all
// shapes.
//
//===----------------------------------------------------------------------===*/

#include "weir/Custom.h"

#include <math.h>

/* (x, gain, sizes) -> y keeps s */
WEIR_CUSTOM_KERNEL void rmsnorm(weir_context *context, void *const *buffers) {
  const float *x = buffers[0], *gain = buffers[1];
  const int64_t *sizes = buffers[2];
  float *y = buffers[3], *s = buffers[4];
  const int64_t rows = sizes[0], columns = sizes[1];
  (void)context;
  for (int64_t i = 0; i < rows; ++i, x += columns, y += columns) {
    double sum = 0;
    for (int64_t j = 0; j < columns; ++j)
      sum += (double)x[j] * x[j];
    s[i] = (float)(1 / sqrt(sum / (double)columns + 1e-5));
    for (int64_t j = 0; j < columns; ++j)
      y[j] = x[j] * s[i] * gain[j];
  }
}

/* (dy, x, gain, s, sizes) -> dx
   dx[i][j] = s[i] * (gain[j] dy[i][j] - x[i][j] s[i]^2 mean(gain dy[i] x[i])) */
WEIR_CUSTOM_KERNEL void rmsnorm_input(weir_context *context, void *const *buffers) {
  const float *dy = buffers[0], *x = buffers[1], *gain = buffers[2];
  const float *s = buffers[3];
  const int64_t *sizes = buffers[4];
  float *dx = buffers[5];
  const int64_t rows = sizes[0], columns = sizes[1];
  (void)context;
  for (int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < columns; ++j)
      sum += (double)gain[j] * dy[j] * x[j];
    const float mean = (float)(sum / (double)columns) * s[i] * s[i];
    for (int64_t j = 0; j < columns; ++j)
      dx[j] = s[i] * (gain[j] * dy[j] - x[j] * mean);
    dy += columns;
    x += columns;
    dx += columns;
  }
}

/* (dy, x, s, sizes) -> dgain, with a workspace of a double per column
   dgain[j] = sum over i of dy[i][j] x[i][j] s[i] */
WEIR_CUSTOM_KERNEL void rmsnorm_gain(weir_context *context, void *const *buffers) {
  const float *dy = buffers[0], *x = buffers[1], *s = buffers[2];
  const int64_t *sizes = buffers[3];
  float *dgain = buffers[4];
  double *sums = buffers[5];
  const int64_t rows = sizes[0], columns = sizes[1];
  (void)context;
  for (int64_t j = 0; j < columns; ++j)
    sums[j] = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      sums[j] += (double)dy[i * columns + j] * x[i * columns + j] * s[i];
  for (int64_t j = 0; j < columns; ++j)
    dgain[j] = (float)sums[j];
}
