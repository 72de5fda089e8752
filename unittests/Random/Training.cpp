//===- Training.cpp - run planned programs in this process ----------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Training.h"

#include "weir/Runtime/Executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace weir::runtime;
using namespace weir::test;

template <typename Element>
static bool areFinite(const std::vector<std::byte> &bytes) {
  for (size_t i = 0; i + sizeof(Element) <= bytes.size();
       i += sizeof(Element)) {
    Element value;
    std::memcpy(&value, bytes.data() + i, sizeof value);
    if (!std::isfinite(value))
      return false;
  }
  return true;
}

/// Copies tensors, sorted by name; returns what is not finite.
static std::string take(std::vector<NamedTensor> tensors,
                        const std::string &prefix, Trained &result) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor &a, const NamedTensor &b) {
              return a.name < b.name;
            });
  for (const NamedTensor &tensor : tensors) {
    auto *data = static_cast<const std::byte *>(tensor.data);
    result.tensors.push_back(
        {prefix + tensor.name, {data, data + tensor.bytes}});
    const std::vector<std::byte> &bytes = result.tensors.back().bytes;
    bool isFinite = tensor.elementType == WEIR_F64 ? areFinite<double>(bytes)
                                                   : areFinite<float>(bytes);
    if (!isFinite)
      return prefix + tensor.name + " is not finite";
  }
  return "";
}

std::string weir::test::train(std::span<const char> table,
                              std::vector<weir_kernel> kernels,
                              const TrainingOptions &options, Trained &result) {
  auto job = std::make_shared<Job>();
  job->options.steps = options.steps;
  job->options.data = options.data;
  job->options.poison = true;
  job->options.timeout = 60;
  job->options.learningRate = options.learningRate;
  // The name is never opened; it asks for the gradients of step 1.
  job->options.saveGradients = "gradients";
  job->kernels = std::move(kernels);
  Status status = Table::parse(table.data(), table.size(), job->table);
  if (status.failed())
    return "the table is refused: " + status.message();
  status = Data::open(options.data, job->table, job->options.seed, job->data);
  if (status.failed())
    return status.message();
  Executor executor(job);
  if (status = executor.prepare(); status.failed())
    return status.message();
  RunEvents events;
  std::string error;
  events.onStep = [&](const StepRecord &record) -> Status {
    result.losses.push_back(record.lossSum);
    result.losses.push_back(record.count);
    return {};
  };
  events.onGradients = [&]() -> Status {
    error = take(executor.gradients(), "gradient ", result);
    return {};
  };
  status = executor.run(events);
  if (status.failed())
    return status.message();
  if (error.empty())
    error = take(executor.parameters(), "parameter ", result);
  return error;
}

std::string weir::test::compare(const Trained &is, const Trained &should) {
  if (is.losses != should.losses)
    return "losses differ";
  if (is.tensors.size() != should.tensors.size())
    return "the number of tensors differs";
  for (size_t i = 0; i < is.tensors.size(); ++i)
    if (!(is.tensors[i] == should.tensors[i]))
      return is.tensors[i].name + " differs";
  return "";
}
