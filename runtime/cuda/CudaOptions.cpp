//===- CudaOptions.cpp - options of training on CUDA devices --------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Executor.h"

#include <utility>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

using SetOption = std::function<std::string(Options &, std::string_view)>;

template <typename Value>
static SetOption oneOf(Value &field,
                       std::vector<std::pair<std::string_view, Value>> values) {
  return [&field, values = std::move(values)](
             Options &, std::string_view text) -> std::string {
    std::string expected = "one of";
    for (auto [name, value] : values) {
      if (name == text) {
        field = value;
        return "";
      }
      expected += (expected == "one of" ? " " : ", ") + std::string(name);
    }
    return expected;
  };
}

static SetOption natural(int64_t &field) {
  return [&field](Options &, std::string_view text) -> std::string {
    return readNumber(text, int64_t(1), int64_t(1) << 20, field)
               ? ""
               : "a number, at least 1";
  };
}

TargetOptions weir::runtime::cuda::cudaTargetOptions(CudaOptions &options) {
  TargetOptions target;
  target.without = {"--threads"};
  target.more = {
      {"--graph", "MODE",
       "launch passes (pass) or steps (step) as CUDA graphs; none, or auto",
       oneOf<GraphChoice>(options.graphs, {{"none", GraphChoice::None},
                                           {"pass", GraphChoice::Pass},
                                           {"step", GraphChoice::Step},
                                           {"auto", GraphChoice::Auto}})},
      {"--products", "TYPE",
       "compute f32 products in f32, tf32 or bf16 (f32); sums are f32",
       oneOf<ProductPrecision>(options.products,
                               {{"f32", ProductPrecision::F32},
                                {"tf32", ProductPrecision::TF32},
                                {"bf16", ProductPrecision::BF16}})},
      {"--transfers", "KIND",
       "transfer by nccl, or by copies within a process; or auto",
       oneOf<TransportChoice>(options.transport,
                              {{"nccl", TransportChoice::Nccl},
                               {"copies", TransportChoice::Copies},
                               {"auto", TransportChoice::Auto}})},
      {"--transfers-in-flight", "N",
       "at most N transfers of a rank at once (what fits on the device)",
       natural(options.transfersInFlight)},
      {"--ranks-in-process", "N", "ranks of each process, as threads",
       natural(options.ranksInProcess)},
      {"--bootstrap", "WHERE",
       "where processes meet: auto, mpi, file:PATH or tcp:HOST:PORT",
       [&options](Options &, std::string_view text) -> std::string {
         options.bootstrap = text;
         // The rest is checked once there are processes to meet.
         bool isKnown = text == "auto" || text == "mpi" ||
                        text.starts_with("file:") || text.starts_with("tcp:");
         return isKnown ? "" : "one of auto, mpi, file:PATH, tcp:HOST:PORT";
       }},
      {"--play-rank", "R",
       "run rank R alone, with made-up values for what it receives",
       [&options](Options &, std::string_view text) -> std::string {
         return readNumber(text, int64_t(0), int64_t(1) << 20,
                           options.playedRank)
                    ? ""
                    : "the number of a rank";
       }},
      {"--measurements", "FILE",
       "time every pass on the device; write the times beside the plan (JSON)",
       [&options](Options &all, std::string_view text) -> std::string {
         options.measures = true;
         all.measurements = text;
         return text.empty() ? "a file" : "";
       }},
      {"--time-kernels", "",
       "time every kernel, too, beside a copy; this makes passes slower",
       [&options](Options &, std::string_view) -> std::string {
         options.measures = options.timesKernels = true;
         return "";
       }},
  };
  return target;
}
