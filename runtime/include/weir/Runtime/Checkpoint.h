//===- weir/Runtime/Checkpoint.h - parameters in safetensors ----*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The safetensors format (https://github.com/huggingface/safetensors): 8 bytes
// of header length, little-endian; a JSON header that maps each name to element
// type, shape and place in the data; the data, without holes.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_CHECKPOINT_H
#define WEIR_RUNTIME_CHECKPOINT_H

#include "weir/Runtime/Files.h"
#include "weir/Runtime/Status.h"
#include "weir/Runtime/Table.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weir::runtime {

/// A tensor to be written: dense, row-major; the bytes are borrowed.
struct NamedTensor {
  std::string name;
  int64_t elementType;
  std::vector<int64_t> shape;
  const void *data;
  int64_t bytes;
};

/// Writes the tensors sorted by name: equal tensors give equal files. The file
/// appears whole or not at all.
Status writeSafetensors(const std::string &path,
                        std::vector<NamedTensor> tensors);

/// A safetensors file that has been read and checked.
class Safetensors {
public:
  struct Tensor {
    std::string name;
    std::string elementType; /* as written: "F32" */
    std::vector<int64_t> shape;
    int64_t begin, end; /* in bytes of the data */
  };

  static Status open(const std::string &path, Safetensors &file);

  /// Sorted by name.
  std::span<const Tensor> tensors() const { return list; }
  /// Null if there is none of that name.
  const Tensor *find(std::string_view name) const;
  const std::byte *data(const Tensor &tensor) const {
    return file.data() + dataOffset + tensor.begin;
  }

private:
  InputFile file;
  int64_t dataOffset = 0;
  std::vector<Tensor> list;
};

/// Opens a file of parameters and checks that it holds the variables of the
/// table, by name, element type and shape, and nothing else. `parameters[i]` is
/// then the bytes of variable `i`, borrowed from `file`.
Status openParameters(const std::string &path, const Table &table,
                      Safetensors &file,
                      std::vector<const std::byte *> &parameters);

} // namespace weir::runtime

#endif // WEIR_RUNTIME_CHECKPOINT_H
