//===- TableBuilder.h - program tables made by hand -------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_RUNTIME_TABLEBUILDER_H
#define WEIR_UNITTESTS_RUNTIME_TABLEBUILDER_H

#include "weir/Program.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace weir::runtime::testing {

/// Collects the records of a table and lays them out. Its lists are public, so
/// that a test can break one field.
class TableBuilder {
public:
  struct Device {
    int64_t arenaBytes = 0;
    int64_t nextToken = 0;
    std::vector<weir_resident> residents;
    std::map<int64_t, int64_t> allocated; /* offsets to bytes */
    std::vector<weir_action> actions;

    /// Takes aligned bytes from the arena; returns their offset.
    int64_t allocate(int64_t bytes);
    /// Bytes from an offset to the end of what was allocated there.
    int64_t bytesAt(int64_t offset) const;
  };

  explicit TableBuilder(int64_t numDevices) : devices(numDevices) {}

  int64_t string(const std::string &text);
  /// A kernel that only reads some of its buffers: entry i of `accesses` is 'r'
  /// for those; it writes the others.
  int64_t addKernel(const std::string &name, weir_kernel kernel,
                    const std::string &accesses = "");
  int64_t addInput(const std::string &name, std::vector<int64_t> shape);
  int64_t addVariable(const std::string &name, std::vector<int64_t> shape,
                      int64_t initKind, double initValue);

  int64_t addResident(int64_t device, int64_t kind, int64_t variable,
                      int64_t index, int64_t bytes);

  void run(int64_t device, int64_t kernel, int64_t pass, int64_t stage,
           int64_t microbatch, std::vector<int64_t> offsets,
           const std::string &label = "");
  void load(int64_t device, int64_t input, int64_t microbatch, int64_t offset,
            int64_t bytes);
  /// Return the token.
  int64_t sendStart(int64_t device, int64_t peer, int64_t message,
                    int64_t microbatch, int64_t offset, int64_t bytes,
                    const std::string &label);
  int64_t recvStart(int64_t device, int64_t peer, int64_t message,
                    int64_t microbatch, int64_t offset, int64_t bytes,
                    const std::string &label);
  void wait(int64_t device, int64_t token);
  void release(int64_t device, int64_t offset, int64_t bytes);

  std::vector<std::byte> build();

  weir_table_header header = {};
  std::vector<Device> devices;
  std::vector<weir_kernel> kernels;
  std::vector<weir_input> inputs;
  std::vector<weir_variable> variables;
  std::vector<weir_buffer> buffers;

private:
  int64_t transferStart(int64_t kind, int64_t device, int64_t peer,
                        int64_t message, int64_t microbatch, int64_t offset,
                        int64_t bytes, const std::string &label);
  int64_t addDims(const std::vector<int64_t> &shape);

  std::string strings = std::string(1, '\0');
  std::map<std::string, int64_t> stringOffsets = {{"", 0}};
  std::vector<int64_t> dims;
  std::vector<weir_kernel_record> kernelRecords;
  std::vector<std::string> accesses; /* by kernel */
};

} // namespace weir::runtime::testing

#endif // WEIR_UNITTESTS_RUNTIME_TABLEBUILDER_H
