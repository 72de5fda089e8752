//===- weir/Runtime/Table.h - a verified program table ----------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_TABLE_H
#define WEIR_RUNTIME_TABLE_H

#include "weir/Program.h"
#include "weir/Runtime/Status.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::runtime {

/// Size in bytes of one element; 0 for a number that names no type.
int64_t elementBytes(int64_t elementType);

/// "forward", "backward_input" and so on, of an enum weir_pass_kind.
const char *passName(int64_t pass);

/// A program table whose every offset, index and size has been checked, and
/// whose programs end: sends and receives match and no device waits forever.
/// All accessors are safe on a parsed table without further checks.
class Table {
public:
  /// Copies and verifies `size` bytes. On failure `table` is left empty and the
  /// status says what is wrong, by record and field.
  static Status parse(const void *bytes, int64_t size, Table &table);

  const weir_table_header &header() const {
    return *reinterpret_cast<const weir_table_header *>(storage.data());
  }
  int64_t numDevices() const { return header().num_devices; }

  std::span<const weir_kernel_record> kernels() const {
    return records<weir_kernel_record>(header().kernels);
  }
  std::span<const weir_input> inputs() const {
    return records<weir_input>(header().inputs);
  }
  std::span<const weir_variable> variables() const {
    return records<weir_variable>(header().variables);
  }
  std::span<const weir_device> devices() const {
    return records<weir_device>(header().devices);
  }
  std::span<const weir_resident> residents(int64_t device) const;
  std::span<const weir_action> actions(int64_t device) const;

  /// The buffers of a RUN action.
  std::span<const weir_buffer> buffers(const weir_action &action) const;

  const char *string(int64_t offset) const;
  std::span<const int64_t> shape(const weir_input &input) const {
    return dims(input.first_dim, input.rank);
  }
  std::span<const int64_t> shape(const weir_variable &variable) const {
    return dims(variable.first_dim, variable.rank);
  }
  int64_t bytes(const weir_input &input) const;
  int64_t bytes(const weir_variable &variable) const;

  /// Index of the action of `device` that started the transfer which action
  /// `wait` (a WAIT) waits for.
  int64_t startOf(int64_t device, int64_t wait) const;

  /// An action as people write it: "F s3 mb 7", "update wte",
  /// "send x3 mb 2 to device 1", "wait for recv x3 mb 2 from device 0".
  std::string describe(int64_t device, int64_t action) const;

private:
  friend class TableVerifier;

  template <typename Record>
  std::span<const Record> records(const weir_section &section) const {
    return {reinterpret_cast<const Record *>(storage.data() + section.offset),
            static_cast<size_t>(section.count)};
  }
  std::span<const int64_t> dims(int64_t first, int64_t rank) const {
    return records<int64_t>(header().dims).subspan(first, rank);
  }

  std::vector<std::byte> storage;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_TABLE_H
