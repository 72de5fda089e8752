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
  if (path.empty()) {
    if (!opened.fills.empty())
      return fail("no data to train on: give a text with --data=FILE");
  } else {
    if (Status status = InputFile::open(path, opened.file); status.failed())
      return status;
    opened.wide = path.ends_with(".bin");
    if (opened.wide && opened.file.size() % 2 != 0)
      return fail("'", path, "' is not a file of 16-bit tokens: it has ",
                  opened.file.size(), " bytes");
    opened.length = opened.file.size() / (opened.wide ? 2 : 1);
    if (Status status = opened.checkText(path, table.header().vocab);
        status.failed())
      return status;
  }
  data = std::move(opened);
  return {};
}

Status Data::checkInputs(const Table &table) {
  for (const weir_input &input : table.inputs()) {
    std::string_view name = table.string(input.name);
    if (input.element_type != WEIR_I32)
      return fail("input '", name, "' of the model is not i32");
    if (name == "tokens") {
      if (input.rank != 2)
        return fail("input 'tokens' of the model has rank ", input.rank,
                    "; it must be [rows, context]");
      rows = table.shape(input)[0];
      context = table.shape(input)[1];
    } else if (name != "labels") {
      return fail("input '", name,
                  "' of the model is neither 'tokens' nor 'labels'");
    }
  }
  for (const weir_input &input : table.inputs()) {
    if (std::string_view(table.string(input.name)) == "tokens") {
      fills.push_back(Fill::Tokens);
      continue;
    }
    std::span<const int64_t> shape = table.shape(input);
    if (rows == 0)
      return fail("the model has an input 'labels' but none 'tokens'");
    bool perRow = shape.size() == 1 && shape[0] == rows;
    bool perToken =
        shape.size() == 2 && shape[0] == rows && shape[1] == context;
    if (!perRow && !perToken)
      return fail("input 'labels' of the model must be [", rows, "] or [", rows,
                  ", ", context, "], as its tokens are");
    fills.push_back(perRow ? Fill::LastLabel : Fill::Labels);
  }
  return {};
}

Status Data::checkText(const std::string &path, int64_t vocab) const {
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
  auto byte = [&](int64_t at) {
    return std::to_integer<int32_t>(file.data()[at]);
  };
  if (!wide)
    return byte(position);
  return byte(2 * position) | byte(2 * position + 1) << 8;
}

void Data::fill(int64_t input, int64_t step, int64_t microbatch,
                int32_t *out) const {
  for (int64_t row = 0; row < rows; ++row) {
    // A row and the token after it must fit: length - context positions do.
    int64_t position = stream.below(length - context, step, microbatch, row);
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
    }
  }
}
