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

/// A text or a set of images in a file, and the rows drawn from it. Row r of a
/// microbatch starts at a position that depends on the seed, the step, the
/// microbatch and r, on nothing else.
///
/// A text is a sequence of tokens: little-endian 16-bit ones in a file whose
/// name ends in ".bin", bytes in any other. A position is a token. The labels
/// of a row are its tokens moved on by one.
///
/// Images are records of the binary format of CIFAR-10 and CIFAR-100
/// (https://www.cs.toronto.edu/~kriz/cifar.html), for any number of channels,
/// height and width:
///
///   label byte (CIFAR-100: coarse label, then fine label)
///   channels x height x width bytes, row by row of channel after channel
///
/// A position is a record. The label of an image is the byte before its pixels.
/// Whether there are one or two label bytes follows from the length of the
/// file; where both are possible, two are if one would give labels out of
/// range.
class Data {
public:
  /// Checks that the model's inputs are ones that a file can fill, all i32:
  /// "tokens" [rows, context] and "labels" [rows, context] or [rows], or
  /// "images" [rows, channels, height, width] and "labels" [rows]; that the
  /// text is long enough or the file made of such records; and that every token
  /// or label is below the model's limit. A model without inputs needs no file:
  /// `path` may then be empty.
  static Status open(const std::string &path, const Table &table, uint64_t seed,
                     Data &data);

  /// Writes input `input` of the table for one microbatch; steps are counted
  /// from 1. Any number of threads may call it at once.
  void fill(int64_t input, int64_t step, int64_t microbatch,
            int32_t *out) const;

  /// What goes in with one microbatch: tokens (rows x context) or images; 0 for
  /// a model without inputs.
  int64_t samplesPerMicrobatch() const {
    return pixels == 0 ? rows * context : rows;
  }
  /// "tokens" or "images"
  const char *sampleName() const { return pixels == 0 ? "tokens" : "images"; }

private:
  enum class Fill { Tokens, Labels, LastLabel, Images, ImageLabels };

  Status checkInputs(const Table &table);
  Status checkLabels(const Table &table, const weir_input &input);

  Status openText(const std::string &path, int64_t vocab);
  int32_t token(int64_t position) const;

  Status openImages(const std::string &path, int64_t classes);
  int64_t recordBytes() const { return labelBytes + pixels; }
  int32_t imageLabel(int64_t position) const;
  /// The first record whose label is not below `classes`; `length` if all are.
  int64_t findWrongLabel(int64_t classes) const;

  int32_t byte(int64_t at) const {
    return std::to_integer<int32_t>(file.data()[at]);
  }

  InputFile file;
  int64_t rows = 0;
  int64_t length = 0;      /* tokens or images in the file */
  std::vector<Fill> fills; /* by input */
  RandomStream stream{0, "data"};

  /* Texts. */
  bool wide = false; /* 16-bit tokens */
  int64_t context = 0;

  /* Images; no pixels in a text. */
  int64_t pixels = 0; /* of one image, all channels */
  int64_t labelBytes = 1;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_DATA_H
