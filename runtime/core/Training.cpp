//===- Training.cpp - a training program from options to exit status ------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Training.h"
#include "weir/Runtime/Files.h"
#include "weir/Runtime/Metrics.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>

using namespace weir::runtime;

/// Steps that a trace keeps: enough to see the rhythm, few enough to look at.
static constexpr int64_t tracedSteps = 8;

//===----------------------------------------------------------------------===//
// Interrupts
//===----------------------------------------------------------------------===//

static std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

namespace {

/// While it lives, the first interrupt asks for the end of training after the
/// step under way; a second one ends the process as usual.
class InterruptGuard {
public:
  InterruptGuard() {
    interrupted = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &previous);
  }
  ~InterruptGuard() { sigaction(SIGINT, &previous, nullptr); }

private:
  struct sigaction previous;
};

} // namespace

//===----------------------------------------------------------------------===//
// Before training
//===----------------------------------------------------------------------===//

static Status checkModule(const weir_module &module, const Table &table) {
  const int64_t numKernels = table.kernels().size();
  for (int64_t i = 0; i < numKernels; ++i)
    if (!module.kernels || !module.kernels[i])
      return fail("program: compiled pass '",
                  table.string(table.kernels()[i].name), "' is missing");
  return {};
}

/// No output may take the place of an input or of another output; but a
/// training may go on in the file that it was loaded from.
static Status checkPaths(const Options &options) {
  struct {
    const char *option;
    const std::string &path;
    bool isOutput;
  } files[] = {
      {"--data", options.data, false},
      {"--load", options.load, false},
      {"--save", options.save, true},
      {"--save-gradients", options.saveGradients, true},
      {"--metrics", options.metrics, true},
      {"--trace", options.trace, true},
      {"--measurements", options.measurements, true},
  };
  for (const auto &output : files) {
    if (!output.isOutput || output.path.empty())
      continue;
    for (const auto &other : files) {
      if (&other == &output || other.path.empty() ||
          (&other.path == &options.load && &output.path == &options.save))
        continue;
      std::error_code ignored;
      if (output.path == other.path ||
          (std::filesystem::is_regular_file(output.path, ignored) &&
           std::filesystem::equivalent(output.path, other.path, ignored)))
        return fail(output.option, " and ", other.option,
                    " name the same file '", output.path, "'");
    }
    // Metrics are written as training goes on, and may go to a pipe.
    if (&output.path == &options.metrics)
      continue;
    if (Status status = OutputFile::check(output.path); status.failed())
      return status;
  }
  return {};
}

static Status makeJob(const weir_module &module, const Options &options,
                      Job &job) {
  job.options = options;
  Status status = Table::parse(module.table, module.table_bytes, job.table);
  if (status.failed())
    return status;
  const Table &table = job.table;
  if (status = checkModule(module, table); status.failed())
    return status;
  job.kernels.assign(module.kernels, module.kernels + table.kernels().size());
  if (status = checkPaths(options); status.failed())
    return status;
  status = Data::open(options.data, table, options.seed, job.data);
  if (status.failed())
    return status;
  if (!options.load.empty()) {
    status =
        openParameters(options.load, table, job.parameterFile, job.parameters);
    if (status.failed())
      return status;
  }
  if (!options.trace.empty())
    job.trace = std::make_unique<Trace>(table, tracedSteps);
  return {};
}

//===----------------------------------------------------------------------===//
// After training
//===----------------------------------------------------------------------===//

static Status checkFinite(const std::vector<NamedTensor> &tensors) {
  for (const NamedTensor &tensor : tensors) {
    auto check = [&](const auto *elements) -> Status {
      for (size_t i = 0; i < tensor.bytes / sizeof(*elements); ++i)
        if (!std::isfinite(elements[i]))
          return fail("element ", i, " of parameter '", tensor.name,
                      "' is not finite after training; nothing is saved");
      return {};
    };
    Status status = tensor.elementType == WEIR_F32
                        ? check(static_cast<const float *>(tensor.data))
                        : check(static_cast<const double *>(tensor.data));
    if (status.failed())
      return status;
  }
  return {};
}

namespace {

/// What is told of the steps as they end.
class StepLog {
public:
  explicit StepLog(const Options &options)
      : options(options), progress(options.steps, options.quiet) {}

  Status open() {
    return options.metrics.empty() ? Status() : metrics.open(options.metrics);
  }

  Status add(const StepRecord &record) {
    if (record.step == 1)
      first = record;
    last = record;
    seconds += record.seconds;
    progress.show(record);
    return metrics.isOpen() ? metrics.write(record) : Status();
  }

  void finish() { progress.finish(); }

  void printSummary() const {
    std::printf("%s %lld steps in %.1f s: loss %.4f -> %.4f, %.0f "
                "%s/s\n",
                interrupted ? "interrupted after" : "trained",
                static_cast<long long>(last.step), seconds, first.loss(),
                last.loss(),
                last.samples * static_cast<double>(last.step) / seconds,
                last.sampleName);
  }

private:
  const Options &options;
  Progress progress;
  MetricsFile metrics;
  StepRecord first = {}, last = {};
  double seconds = 0;
};

} // namespace

static void printProgram(const Table &table) {
  const weir_table_header &header = table.header();
  std::fprintf(stderr,
               "%s: %lld stages on %lld devices, %lld microbatches, "
               "schedule %s\n",
               table.string(header.model_name),
               static_cast<long long>(header.num_stages),
               static_cast<long long>(header.num_devices),
               static_cast<long long>(header.num_microbatches),
               table.string(header.schedule_name));
}

static Status writeResults(const Job &job, Trainer &trainer) {
  const Options &options = job.options;
  if (!options.save.empty()) {
    std::vector<NamedTensor> parameters;
    Status status = trainer.collectParameters(parameters);
    if (!status.failed() && trainer.writesFiles())
      status = checkFinite(parameters);
    if (!status.failed() && trainer.writesFiles())
      status = writeSafetensors(options.save, std::move(parameters));
    if (status.failed())
      return status;
  }
  if (job.trace)
    if (Status status =
            job.trace->write(trainer.ownFile(options.trace), job.table);
        status.failed())
      return status;
  return trainer.writeMeasurements();
}

static Status train(const weir_module &module, const Options &options,
                    const TrainingTarget &target) {
  auto job = std::make_shared<Job>();
  if (Status status = makeJob(module, options, *job); status.failed())
    return status;
  if (Status status = target.checkProducts(); status.failed())
    return status;
  std::unique_ptr<Trainer> trainer = target.makeTrainer(job);
  if (Status status = trainer->prepare(); status.failed())
    return status;
  StepLog log(options);
  if (trainer->writesFiles()) {
    if (Status status = log.open(); status.failed())
      return status;
    if (!options.quiet)
      printProgram(job->table);
  }

  InterruptGuard guard;
  RunEvents events;
  events.onStep = [&](const StepRecord &record) {
    return trainer->trains() ? log.add(record) : Status();
  };
  events.onGradients = [&] {
    return writeSafetensors(options.saveGradients, trainer->gradients());
  };
  events.shouldStop = [] { return interrupted.load(); };

  Status status = trainer->run(events);
  log.finish();
  if (status.failed()) {
    if (!trainer->hasHungRank())
      return status;
    // A thread inside a compiled pass cannot be ended, and may not go on while
    // the process takes itself down around it.
    std::fprintf(stderr, "error: %s\n", status.message().c_str());
    std::fflush(nullptr);
    trainer->leaveHungRanks();
    std::_Exit(1);
  }
  trainer->measureMemory();
  if (status = writeResults(*job, *trainer); status.failed())
    return status;
  if (!options.quiet) {
    if (trainer->writesFiles() && trainer->trains())
      log.printSummary();
    trainer->printMeasurements();
    trainer->printMemory();
    if (std::fflush(stdout) != 0)
      return fail("cannot write to standard output: ", std::strerror(errno));
  }
  return {};
}

int weir::runtime::trainingMain(int argc, char **argv,
                                const weir_module &module,
                                const TrainingTarget &target) {
  Options options;
  Status status = parseOptions(argc, argv, options, target.options);
  if (!status.failed() && options.help) {
    std::printf("usage: %s [options]\n\nTrains the model that this program was "
                "compiled from.\n\n%s",
                argc > 0 ? argv[0] : "train",
                runtimeOptionsHelp(target.options).c_str());
    return 0;
  }
  if (!status.failed()) {
    try {
      status = train(module, options, target);
    } catch (const std::exception &error) {
      status = fail("out of memory or threads: ", error.what());
    }
  }
  if (status.failed()) {
    std::fprintf(stderr, "error: %s\n", status.message().c_str());
    return 1;
  }
  return interrupted ? 130 : 0;
}
