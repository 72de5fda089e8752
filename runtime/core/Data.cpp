//===- Data.cpp - training data -------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Data.h"

#include <string_view>

using namespace weir::runtime;

Status Data::open(const std::string &path, const Table &table, uint64_t seed,
                  Data &data) {
  Data opened;
  opened.stream = RandomStream(seed, "data");
  if (Status status = opened.checkInputs(table); status.failed())
    return status;
  bool isText = opened.pixels == 0;
  if (path.empty()) {
    if (!opened.fills.empty())
      return fail("no data to train on: give ", isText ? "a text" : "images",
                  " with --data=FILE");
  } else {
    if (Status status = InputFile::open(path, opened.file); status.failed())
      return status;
    int64_t limit = table.header().vocab;
    if (Status status = isText ? opened.openText(path, limit)
                               : opened.openImages(path, limit);
        status.failed())
      return status;
  }
  data = std::move(opened);
  return {};
}

//===----------------------------------------------------------------------===//
// Inputs of the model
//===----------------------------------------------------------------------===//

Status Data::checkInputs(const Table &table) {
  for (const weir_input &input : table.inputs()) {
    std::string_view name = table.string(input.name);
    std::span<const int64_t> shape = table.shape(input);
    if (input.element_type != WEIR_I32)
      return fail("input '", name, "' of the model is not i32");
    bool isTokens = name == "tokens", isImages = name == "images";
    if (!isTokens && !isImages && name != "labels")
      return fail("input '", name,
                  "' of the model is none of 'tokens', 'images' and 'labels'");
    if (isTokens && shape.size() != 2)
      return fail("input 'tokens' of the model has rank ", input.rank,
                  "; it must be [rows, context]");
    if (isImages && shape.size() != 4)
      return fail("input 'images' of the model has rank ", input.rank,
                  "; it must be [rows, channels, height, width]");
    if ((isTokens || isImages) && rows != 0)
      return fail("the model has inputs 'tokens' and 'images'; one file is "
                  "either a text or images");
    if (isTokens) {
      rows = shape[0];
      context = shape[1];
    } else if (isImages) {
      rows = shape[0];
      pixels = shape[1] * shape[2] * shape[3];
    }
  }
  for (const weir_input &input : table.inputs()) {
    std::string_view name = table.string(input.name);
    if (name != "labels")
      fills.push_back(name == "tokens" ? Fill::Tokens : Fill::Images);
    else if (Status status = checkLabels(table, input); status.failed())
      return status;
  }
  return {};
}

Status Data::checkLabels(const Table &table, const weir_input &input) {
  std::span<const int64_t> shape = table.shape(input);
  if (rows == 0)
    return fail("the model has an input 'labels' but neither 'tokens' nor "
                "'images'");
  bool perRow = shape.size() == 1 && shape[0] == rows;
  if (pixels > 0) {
    if (!perRow)
      return fail("input 'labels' of the model must be [", rows,
                  "], one for each of its images");
    fills.push_back(Fill::ImageLabels);
    return {};
  }
  bool perToken = shape.size() == 2 && shape[0] == rows && shape[1] == context;
  if (!perRow && !perToken)
    return fail("input 'labels' of the model must be [", rows, "] or [", rows,
                ", ", context, "], as its tokens are");
  fills.push_back(perRow ? Fill::LastLabel : Fill::Labels);
  return {};
}

//===----------------------------------------------------------------------===//
// Texts
//===----------------------------------------------------------------------===//

Status Data::openText(const std::string &path, int64_t vocab) {
  wide = path.ends_with(".bin");
  if (wide && file.size() % 2 != 0)
    return fail("'", path, "' is not a file of 16-bit tokens: it has ",
                file.size(), " bytes");
  length = file.size() / (wide ? 2 : 1);
  if (length < context + 1)
    return fail("'", path, "' is too short: it has ", length,
                " tokens, and a row of the model needs ", context + 1);
  if (vocab == 0 || vocab >= (wide ? 65536 : 256))
    return {};
  for (int64_t position = 0; position < length; ++position)
    if (token(position) >= vocab)
      return fail("'", path, "' does not fit the model: token ",
                  token(position), " at position ", position,
                  " is not below the vocabulary of ", vocab);
  return {};
}

int32_t Data::token(int64_t position) const {
  if (!wide)
    return byte(position);
  return byte(2 * position) | byte(2 * position + 1) << 8;
}

//===----------------------------------------------------------------------===//
// Images
//===----------------------------------------------------------------------===//

Status Data::openImages(const std::string &path, int64_t classes) {
  int64_t bytes = file.size();
  auto isWhole = [&](int64_t labels) { return bytes % (labels + pixels) == 0; };
  if (bytes == 0 || (!isWhole(1) && !isWhole(2)))
    return fail("'", path, "' is not a file of the model's images: it has ",
                bytes, " bytes, and a record has 1 or 2 of labels and ", pixels,
                " of pixels");
  auto read = [&](int64_t labels) {
    labelBytes = labels;
    length = bytes / recordBytes();
    return findWrongLabel(classes);
  };
  int64_t wrong = read(isWhole(1) ? 1 : 2);
  if (wrong < length && labelBytes == 1 && isWhole(2))
    wrong = read(2);
  if (wrong < length)
    return fail("'", path, "' does not fit the model: label ",
                imageLabel(wrong), " of image ", wrong, " is not below its ",
                classes, " classes");
  return {};
}

int32_t Data::imageLabel(int64_t position) const {
  return byte(position * recordBytes() + labelBytes - 1);
}

int64_t Data::findWrongLabel(int64_t classes) const {
  if (classes == 0)
    return length;
  int64_t position = 0;
  while (position < length && imageLabel(position) < classes)
    ++position;
  return position;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

void Data::fill(int64_t input, int64_t step, int64_t microbatch,
                int32_t *out) const {
  // A row and the token after it must fit: length - context positions do.
  // Images have no context.
  int64_t positions = length - context;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t position = stream.below(positions, step, microbatch, row);
    switch (fills[input]) {
    case Fill::Tokens:
      for (int64_t i = 0; i < context; ++i)
        *out++ = token(position + i);
      break;
    case Fill::Labels:
      for (int64_t i = 0; i < context; ++i)
        *out++ = token(position + i + 1);
      break;
    case Fill::LastLabel:
      *out++ = token(position + context);
      break;
    case Fill::Images: {
      int64_t first = position * recordBytes() + labelBytes;
      for (int64_t i = 0; i < pixels; ++i)
        *out++ = byte(first + i);
      break;
    }
    case Fill::ImageLabels:
      *out++ = imageLabel(position);
      break;
    }
  }
}
