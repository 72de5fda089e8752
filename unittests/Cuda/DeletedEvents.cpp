//===- DeletedEvents.cpp - compiled programs without an event -------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Takes the place of the training program when it is linked to a compiled model
// (weirc --emit=obj): leaves out each record and each wait of the plan of each
// rank in turn, and prints how many of them checkRaces flags, by kind, and how
// many of them the emulated device agrees on.
//
//   PROGRAM TEXT STRIDE
//
// The device runs every STRIDE-th of these plans on the data TEXT, with
// WEIR_EMULATED_CHECK=races, in a process of its own: what a failed device
// leaves behind cannot be freed. The exit status is 1 if the two disagree, or
// if there is a race with all events in place.
//
//===----------------------------------------------------------------------===//

#include "EmulatedControl.h"
#include "Executor.h"
#include "PlanRaces.h"
#include "weir/Cuda.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <sys/wait.h>
#include <unistd.h>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

namespace {

/// Deletions of one kind of operation on one kind of event.
struct Count {
  int flagged = 0, redundant = 0;
};

class DeletedEvents {
public:
  DeletedEvents(const weir_cuda_module &module, const char *text, int stride)
      : module(module), text(text), stride(stride) {}
  Status run();

private:
  std::shared_ptr<Job> makeJob(Status &status) const;
  Status train(int64_t device, size_t operation) const;
  std::string raceOnDevice(int64_t device, size_t operation) const;
  Status leaveOut(int64_t device, size_t operation);
  void print() const;

  const weir_cuda_module &module;
  const char *text;
  const int stride;
  Table table;
  std::vector<StepPlan> plans;
  /// By event, and by whether it is a record or a wait.
  std::map<std::string, std::map<PlanKind, Count>> counts;
  int number = 0, numRun = 0, numRaces = 0;
  std::string example;
};

} // namespace

/// A job for the device. What goes wrong behind the end of a step is seen in
/// the next one.
std::shared_ptr<Job> DeletedEvents::makeJob(Status &status) const {
  auto job = std::make_shared<Job>();
  job->options.steps = 2;
  job->options.timeout = 60;
  job->options.learningRate = 0;
  const weir_module &base = module.module;
  status = Table::parse(base.table, base.table_bytes, job->table);
  if (!status.failed())
    status = Data::open(text, job->table, /*seed=*/0, job->data);
  if (!status.failed())
    job->kernels.assign(base.kernels,
                        base.kernels + job->table.kernels().size());
  return job;
}

/// Trains without an operation of a device; with all if `device` is -1.
Status DeletedEvents::train(int64_t device, size_t operation) const {
  Status status;
  std::shared_ptr<Job> job = makeJob(status);
  CudaOptions options;
  options.graphs = GraphChoice::None;
  options.environment = [](const char *) { return nullptr; };
  options.editPlan = [&](StepPlan &plan) {
    if (plan.device == device)
      plan = plan.without(operation);
  };
  if (status.failed())
    return status;
  CudaExecutor executor(job, module, options);
  status = executor.prepare();
  return status.failed() ? status : executor.run({});
}

/// What the first device that fails says of train(); "" if it ends well.
std::string DeletedEvents::raceOnDevice(int64_t device,
                                        size_t operation) const {
  int ends[2];
  if (pipe(ends) != 0)
    return "no pipe";
  std::fflush(nullptr);
  pid_t child = fork();
  if (child == 0) {
    // What the device prints comes with the status.
    close(STDERR_FILENO);
    Status status = train(device, operation);
    std::string text = status.message();
    for (int64_t i = 0; i < table.numDevices(); ++i)
      if (std::string race = weir_emulated_message(static_cast<int>(i));
          !race.empty())
        text += "; device " + std::to_string(i) + ": " + race;
    (void)!write(ends[1], text.data(), text.size());
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t size; (size = read(ends[0], buffer, sizeof(buffer))) > 0;)
    text.append(buffer, size);
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
    return "no process, or it ended with status " + std::to_string(status);
  return text;
}

/// "start of send" and the like.
static std::string eventOf(const StepPlan &plan,
                           const PlanOperation &operation) {
  const PlannedTransfer &transfer = plan.transfers[operation.transfer];
  return std::string(operation.event == transfer.startEvent ? "start" : "end") +
         (transfer.isSend ? " of a send" : " of a receive");
}

Status DeletedEvents::leaveOut(int64_t device, size_t operation) {
  const StepPlan &plan = plans[device];
  const PlanOperation &left = plan.operations[operation];
  std::vector<StepPlan> changed = plans;
  changed[device] = plan.without(operation);
  Status status = checkRaces(table, changed);
  Count &count = counts[eventOf(plan, left)][left.kind];
  ++(status.failed() ? count.flagged : count.redundant);
  if (number++ % stride != 0)
    return {};
  std::string found = raceOnDevice(device, operation);
  ++numRun;
  numRaces += !found.empty();
  if (!found.empty() && example.empty())
    example = "without '" + plan.describe(table, operation) +
              "'\nchecker: " + status.message() + "\ndevice: " + found;
  if (status.failed() == !found.empty())
    return {};
  return fail("device ", device, " without '", plan.describe(table, operation),
              "': checkRaces says '", status.message(), "', the device '",
              found, "'");
}

void DeletedEvents::print() const {
  std::printf("event records-flagged records-redundant waits-flagged "
              "waits-redundant\n");
  Count all;
  for (auto &[event, kinds] : counts) {
    std::printf("%s", event.c_str());
    for (PlanKind kind : {PlanKind::Record, PlanKind::Wait}) {
      const Count &count = kinds.at(kind);
      std::printf(" %d %d", count.flagged, count.redundant);
      all.flagged += count.flagged;
      all.redundant += count.redundant;
    }
    std::printf("\n");
  }
  std::printf("all: %d flagged, %d redundant\n", all.flagged, all.redundant);
  std::printf("on the device: %d run, %d races\n", numRun, numRaces);
  std::printf("%s\n", example.c_str());
}

Status DeletedEvents::run() {
  const weir_module &base = module.module;
  Status status = Table::parse(base.table, base.table_bytes, table);
  if (status.failed())
    return status;
  for (int64_t device = 0; device < table.numDevices(); ++device)
    plans.push_back(StepPlan::make(table, device, {}));
  if (status = checkRaces(table, plans); status.failed())
    return status;
  if (std::string found = raceOnDevice(-1, 0); !found.empty())
    return fail("the device finds with all events: ", found);
  std::string differences;
  for (int64_t device = 0; device < table.numDevices(); ++device)
    for (size_t i = 0; i < plans[device].operations.size(); ++i) {
      PlanKind kind = plans[device].operations[i].kind;
      if (kind != PlanKind::Record && kind != PlanKind::Wait)
        continue;
      if (Status left = leaveOut(device, i); left.failed())
        differences += "\n" + left.message();
    }
  print();
  return differences.empty() ? Status() : fail(differences);
}

extern "C" int weir_cuda_main(int argc, char **argv,
                              const weir_cuda_module *module) {
  setenv("WEIR_EMULATED_CHECK", "races", 1);
  Status status = argc == 3
                      ? DeletedEvents(*module, argv[1], atoi(argv[2])).run()
                      : fail("usage: PROGRAM TEXT STRIDE");
  if (status.failed())
    std::fprintf(stderr, "error: %s\n", status.message().c_str());
  return status.failed();
}
