//===- Job.cpp - what there is to train -----------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Job.h"
#include "weir/Runtime/Random.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

using namespace weir::runtime;

void Job::initialise(int64_t index, std::span<std::byte> out) const {
  if (!parameters.empty()) {
    std::memcpy(out.data(), parameters[index], out.size());
    return;
  }
  const weir_variable &variable = table.variables()[index];
  auto draw = [&](auto *elements) {
    std::span values(elements, out.size() / sizeof(*elements));
    if (variable.init_kind == WEIR_INIT_CONSTANT) {
      std::fill(values.begin(), values.end(), variable.init_value);
      return;
    }
    RandomStream stream(options.seed, std::string("parameter ") +
                                          table.string(variable.name));
    stream.normal(variable.init_value, values);
  };
  if (variable.element_type == WEIR_F32)
    draw(reinterpret_cast<float *>(out.data()));
  else
    draw(reinterpret_cast<double *>(out.data()));
}

std::vector<ByteRange> weir::runtime::rangesBetweenResidents(const Table &table,
                                                             int64_t device) {
  const int64_t arenaBytes = table.devices()[device].arena_bytes;
  std::map<int64_t, int64_t> residents; /* begin to end */
  for (const weir_resident &resident : table.residents(device))
    residents[resident.offset] = resident.offset + resident.bytes;
  residents[arenaBytes] = arenaBytes;
  std::vector<ByteRange> between;
  int64_t at = 0;
  for (auto [begin, end] : residents) {
    if (begin > at)
      between.push_back({at, begin});
    at = end;
  }
  return between;
}

NamedTensor weir::runtime::namedVariable(const Table &table, int64_t index,
                                         const void *data) {
  const weir_variable &variable = table.variables()[index];
  std::span<const int64_t> shape = table.shape(variable);
  return {table.string(variable.name), variable.element_type,
          std::vector<int64_t>(shape.begin(), shape.end()), data,
          table.bytes(variable)};
}
