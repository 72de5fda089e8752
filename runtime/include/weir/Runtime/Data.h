//===- weir/Runtime/Data.h - training data ----------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_DATA_H
#define WEIR_RUNTIME_DATA_H

#include "weir/Runtime/Files.h"
#include "weir/Runtime/Random.h"
#include "weir/Runtime/Status.h"
#include "weir/Runtime/Table.h"

#include <cstdint>
#include <string>

namespace weir::runtime {

/// A text as a sequence of tokens, and the rows drawn from it.
///
/// A file whose name ends in ".bin" holds little-endian 16-bit tokens; any
/// other file is read as bytes, each a token. Row r of a microbatch starts at a
/// position that depends on the seed, the step, the microbatch and r, on
/// nothing else; the labels of a row are its tokens moved on by one.
class Data {
public:
  /// Checks that the model's inputs are ones that a text can fill ("tokens"
  /// [rows, context] and "labels" [rows, context] or [rows], i32), that the
  /// text is long enough, and that every token is below the model's vocabulary.
  /// A model without inputs needs no text: `path` may then be empty.
  static Status open(const std::string &path, const Table &table, uint64_t seed,
                     Data &data);

  /// Writes input `input` of the table for one microbatch; steps are counted
  /// from 1. Any number of threads may call it at once.
  void fill(int64_t input, int64_t step, int64_t microbatch,
            int32_t *out) const;

  /// Tokens in one microbatch: rows x context; 0 for a model without inputs.
  int64_t tokensPerMicrobatch() const { return rows * context; }

private:
  enum class Fill { Tokens, Labels, LastLabel };

  int32_t token(int64_t position) const;
  Status checkInputs(const Table &table);
  Status checkText(const std::string &path, int64_t vocab) const;

  InputFile file;
  bool wide = false;  /* 16-bit tokens */
  int64_t length = 0; /* tokens */
  int64_t rows = 0, context = 0;
  std::vector<Fill> fills; /* by input */
  RandomStream stream{0, "data"};
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_DATA_H
