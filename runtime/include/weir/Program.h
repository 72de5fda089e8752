//===- weir/Program.h - the program table ------------------------*- C -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The only interface between the compiler and the runtime: the packed calling
// convention of compiled passes, and the program table, in which a schedule is
// data. Plain C, so that either side can be written in anything.
//
// The table is one block of bytes, little-endian, every record made of 64-bit
// fields, without pointers, so that it can be a constant in an object file or a
// file of its own:
//
//   weir_table_header                      at byte 0
//   sections, each 8-byte aligned          where the header says
//
// Memory is in bytes, time in seconds. Devices, stages and microbatches are
// counted from 0.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_PROGRAM_H
#define WEIR_PROGRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

//===----------------------------------------------------------------------===//
// Compiled passes
//===----------------------------------------------------------------------===//

/// What a compiled pass may ask of the runtime: opaque to compiled code, one per
/// rank.
typedef struct weir_context weir_context;

/// A compiled pass. `buffers` holds one address per buffer of the action that
/// runs it (weir_action.first_buffer, num_buffers), each aligned to
/// WEIR_ALIGNMENT bytes. Tensors are dense and row-major.
typedef void (*weir_kernel)(weir_context *context, void *const *buffers);

/// Alignment, in bytes, of every buffer in an arena and of every member of a
/// bundle.
#define WEIR_ALIGNMENT 64

#define WEIR_PRODUCT_MAX_BATCH 4

/// A matrix product C (+)= A * B over a batch, all sizes and strides in
/// elements. A stride of 0 repeats an operand over a batch dimension. Compiled
/// code holds these as constants and passes their address, so that the runtime
/// can prepare every product before the first step.
typedef struct weir_product {
  int64_t element_type; /* enum weir_element_type, of A, B and C */
  int64_t m, n, k;      /* C is m x n, A is m x k, B is k x n */
  int64_t a_stride_m, a_stride_k;
  int64_t b_stride_k, b_stride_n;
  int64_t c_stride_m, c_stride_n;
  int64_t accumulate; /* 0: C = A B; 1: C = C + A B */
  int64_t batch_rank; /* 0 .. WEIR_PRODUCT_MAX_BATCH */
  int64_t batch_size[WEIR_PRODUCT_MAX_BATCH];
  int64_t a_stride_batch[WEIR_PRODUCT_MAX_BATCH];
  int64_t b_stride_batch[WEIR_PRODUCT_MAX_BATCH];
  int64_t c_stride_batch[WEIR_PRODUCT_MAX_BATCH];
} weir_product;

/// Called by compiled passes. The bits of C depend on `product`, the values of A,
/// B and C, and the number of threads of the rank, on nothing else.
void weir_host_product(weir_context *context, const weir_product *product,
                       const void *a, const void *b, void *c);

//===----------------------------------------------------------------------===//
// The table
//===----------------------------------------------------------------------===//

#define WEIR_TABLE_MAGIC INT64_C(0x31454c4241544957) /* "WITABLE1" */
#define WEIR_TABLE_VERSION 3

enum weir_element_type {
  WEIR_F32 = 0,
  WEIR_F64 = 1,
  WEIR_I32 = 2,
  WEIR_I64 = 3,
};

/// `count` records starting at byte `offset` of the table.
typedef struct weir_section {
  int64_t offset;
  int64_t count;
} weir_section;

typedef struct weir_table_header {
  int64_t magic;
  int64_t version;
  int64_t total_bytes;
  int64_t num_devices;
  int64_t num_stages;
  int64_t num_microbatches;
  int64_t loss_device;   /* holds WEIR_RESIDENT_LOSS and _COUNT */
  int64_t model_name;    /* offset of a string in `strings` */
  int64_t schedule_name; /* likewise */
  /* Tokens, and labels of texts and images, are below this number; 0 where the
     compiler does not know one. Data with a larger one is refused before the
     first step. */
  int64_t vocab;
  weir_section strings;   /* bytes: zero-terminated strings */
  weir_section dims;      /* int64_t: shapes */
  weir_section kernels;   /* weir_kernel_record */
  weir_section inputs;    /* weir_input */
  weir_section variables; /* weir_variable */
  weir_section devices;   /* weir_device, num_devices of them */
  weir_section residents; /* weir_resident */
  weir_section actions;   /* weir_action */
  weir_section buffers;   /* weir_buffer */
} weir_table_header;

/// A compiled pass by name; its address is entry `i` of weir_module.kernels.
typedef struct weir_kernel_record {
  int64_t name;   /* string */
  double seconds; /* of a call, as the schedule reckons; 0 if not known */
} weir_kernel_record;

/// A data input of the model for one microbatch.
typedef struct weir_input {
  int64_t name; /* string: "tokens", "images" or "labels" */
  int64_t element_type;
  int64_t rank;
  int64_t first_dim; /* into `dims` */
} weir_input;

enum weir_init_kind {
  WEIR_INIT_CONSTANT = 0, /* every element is init_value */
  WEIR_INIT_NORMAL = 1,   /* mean 0, standard deviation init_value */
};

/// A parameter of the model, kept by the name it has there.
typedef struct weir_variable {
  int64_t name; /* string */
  int64_t element_type;
  int64_t rank;
  int64_t first_dim;
  int64_t init_kind;
  double init_value;
} weir_variable;

typedef struct weir_device {
  int64_t arena_bytes;
  int64_t peak_activation_bytes; /* as planned: activations, without the rest */
  int64_t first_resident, num_residents;
  int64_t first_action, num_actions; /* one step, in order */
} weir_device;

enum weir_resident_kind {
  /// A parameter; initialised or loaded before the first step. Devices that hold
  /// the same variable hold equal bytes.
  WEIR_RESIDENT_PARAMETER = 0,
  /// A gradient accumulator of use `index`; cleared at the start of each step.
  WEIR_RESIDENT_GRADIENT = 1,
  /// Optimizer state number `index`; zero before the first step.
  WEIR_RESIDENT_STATE = 2,
  /// Sum of the losses of the step's microbatches (f32 scalar); cleared at the
  /// start of each step.
  WEIR_RESIDENT_LOSS = 3,
  /// Number of labels that are not ignored (f32 scalar); cleared likewise.
  WEIR_RESIDENT_COUNT = 4,
  /// Scalars given by the runtime, f32: the learning rate of this step, ...
  WEIR_RESIDENT_LEARNING_RATE = 5,
  /// ... and the number of this step, counted from 1.
  WEIR_RESIDENT_STEP = 6,
};

/// A buffer that lives through all steps.
typedef struct weir_resident {
  int64_t kind;
  int64_t variable; /* PARAMETER, GRADIENT, STATE; else -1 */
  int64_t index;    /* GRADIENT: use; STATE: state number; else 0 */
  int64_t offset;   /* in the arena */
  int64_t bytes;
} weir_resident;

enum weir_action_kind {
  /// Call kernel `kernel` with the buffers listed.
  WEIR_ACTION_RUN = 0,
  /// Fill buffer `offset` with input `input` of microbatch `microbatch`.
  WEIR_ACTION_LOAD = 1,
  /// Offer `bytes` at `offset` to device `peer`; the buffer may not be written
  /// until the wait for `token`.
  WEIR_ACTION_SEND_START = 2,
  /// Ask device `peer` for `bytes` at `offset`; the buffer may be neither read
  /// nor written until the wait for `token`.
  WEIR_ACTION_RECV_START = 3,
  /// Wait for the send or receive that was started with `token`.
  WEIR_ACTION_WAIT = 4,
  /// The `bytes` at `offset` are free from here until something writes them.
  /// Nothing to do but in the debug mode that poisons freed bytes.
  WEIR_ACTION_RELEASE = 5,
};

enum weir_pass_kind {
  WEIR_PASS_FORWARD = 0,
  WEIR_PASS_BACKWARD_INPUT = 1,
  WEIR_PASS_BACKWARD_WEIGHT = 2,
  WEIR_PASS_BACKWARD = 3, /* backward_input and backward_weight in one go */
  WEIR_PASS_UPDATE = 4,
};

/// One instruction of a device. Fields that its kind does not name are -1.
/// Sends and receives between a pair of devices match in program order per
/// direction; `message` is the same at both ends and differs between the
/// messages of a step.
typedef struct weir_action {
  int64_t kind;
  int64_t pass;       /* RUN: enum weir_pass_kind */
  int64_t stage;      /* RUN; -1 for updates */
  int64_t microbatch; /* RUN, LOAD, sends and receives; -1 where there is none */
  int64_t label;      /* string: for people, as in "update wte", "x3" */
  int64_t kernel;     /* RUN */
  int64_t first_buffer, num_buffers; /* RUN: into `buffers` */
  int64_t input;   /* LOAD */
  int64_t peer;    /* SEND_START, RECV_START */
  int64_t message; /* SEND_START, RECV_START */
  int64_t token;   /* SEND_START, RECV_START, WAIT: unique per device and step */
  int64_t offset;  /* LOAD, SEND_START, RECV_START, RELEASE */
  int64_t bytes;   /* likewise */
} weir_action;

enum weir_access {
  WEIR_ACCESS_READ = 0,
  /// Writes it, and may read it too.
  WEIR_ACCESS_WRITE = 1,
};

/// A buffer that a RUN action hands to its kernel: `bytes` at `offset` of the
/// arena, and what the kernel does with them.
typedef struct weir_buffer {
  int64_t offset;
  int64_t bytes;
  int64_t access; /* enum weir_access */
} weir_buffer;

/// What a compiled executable hands to the runtime.
typedef struct weir_module {
  const void *table;
  int64_t table_bytes;
  const weir_kernel *kernels; /* as many as the table's `kernels` */
  const weir_product *const *products;
  int64_t num_products;
} weir_module;

/// The whole training program: parses the options, trains, returns the exit
/// status. `main` of a compiled executable calls this and nothing else.
int weir_main(int argc, char **argv, const weir_module *module);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_PROGRAM_H */
