//===- DevicePasses.h - passes of the host as kernels ------------*- C++
//-*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Makes of each compiled pass of a table for the host a kernel of the emulated
// device, of one thread, and a pass that launches it: the program then has the
// bits of the host's.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_CUDA_DEVICEPASSES_H
#define WEIR_UNITTESTS_CUDA_DEVICEPASSES_H

#include "TableBuilder.h"
#include "weir/Cuda.h"
#include "weir/Emulated.h"
#include "weir/Runtime/Context.h"

#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace weir::runtime::testing {

class DevicePasses {
public:
  static constexpr size_t most = 8;

  /// Replaces the passes of the table. One at a time.
  explicit DevicePasses(TableBuilder &builder);

  weir_cuda_module module(const std::vector<std::byte> &table) const;

  std::vector<weir_kernel> passes;

private:
  /// As far as races are looked for, a kernel writes all of its buffers.
  template <size_t index>
  static void kernel(void *const *arguments, weir_emulated_thread *thread) {
    for (int64_t i = 0; i < launches[index].num_arguments; ++i)
      weir_emulated_access(thread, i, arguments[i], 4, /*write=*/1);
    weir_context context;
    hostPasses[index](&context, arguments);
  }
  template <size_t index>
  static void pass(weir_context *context, void *const *buffers) {
    weir_cuda_launch_kernel(context, &launches[index], buffers);
  }
  template <size_t... index> void make(std::index_sequence<index...>) {
    ((kernels[index] = {names[index].c_str(), kernel<index>,
                        launches[index].num_arguments, 0,
                        WEIR_EMULATED_REPORTS_ACCESSES}),
     ...);
    passes = {pass<index>...};
  }

  static inline std::array<weir_kernel, most> hostPasses;
  static inline std::array<weir_cuda_launch, most> launches;
  std::array<std::string, most> names;
  std::array<const char *, most> nameList;
  std::array<weir_emulated_kernel, most> kernels;
  weir_emulated_image image;
};

inline DevicePasses::DevicePasses(TableBuilder &builder) {
  for (size_t i = 0; i < most; ++i) {
    launches[i] = {int64_t(i), {1, 1, 1}, {1, 1, 1}, 0, 0, 0};
    names[i] = "pass" + std::to_string(i);
    nameList[i] = names[i].c_str();
    if (i < builder.kernels.size())
      hostPasses[i] = builder.kernels[i];
  }
  for (const TableBuilder::Device &device : builder.devices)
    for (const weir_action &action : device.actions)
      if (action.kind == WEIR_ACTION_RUN)
        launches[action.kernel].num_arguments = action.num_buffers;
  make(std::make_index_sequence<most>());
  passes.resize(builder.kernels.size());
  image = {WEIR_EMULATED_MAGIC, int64_t(most), kernels.data()};
}

inline weir_cuda_module
DevicePasses::module(const std::vector<std::byte> &table) const {
  weir_cuda_module module = {};
  module.module = {table.data(), int64_t(table.size()), passes.data(), nullptr,
                   0};
  module.arch = "emulated";
  module.image = &image;
  module.image_bytes = sizeof(image);
  module.kernel_names = nameList.data();
  module.num_kernels = most;
  return module;
}

} // namespace weir::runtime::testing

#endif // WEIR_UNITTESTS_CUDA_DEVICEPASSES_H
