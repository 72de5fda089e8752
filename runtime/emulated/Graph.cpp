//===- Graph.cpp - captured operations ------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Graph.h"

#include <algorithm>
#include <map>

using namespace weir::emulated;

//===----------------------------------------------------------------------===//
// Capture
//===----------------------------------------------------------------------===//

std::mutex &weir::emulated::captureMutex() {
  static auto &mutex = *new std::mutex;
  return mutex;
}

static std::map<uint64_t, Capture *> &captures() {
  static auto &active = *new std::map<uint64_t, Capture *>;
  return active;
}

static uint64_t nextCapture() {
  static uint64_t count = 0;
  return ++count;
}

Capture::Capture(cudaStream_t origin, cudaStreamCaptureMode mode)
    : id(nextCapture()), mode(mode), thread(std::this_thread::get_id()),
      origin(origin), graph(std::make_unique<CUgraph_st>()) {
  captures()[id] = this;
  join(origin, {});
}

cudaError_t Capture::add(cudaStream_t stream, Operation operation) {
  if (!valid)
    return error();
  auto node = std::make_unique<CUgraphNode_st>();
  node->operation = std::move(operation);
  node->dependencies = std::move(stream->tail);
  stream->tail = {node.get()};
  graph->nodes.push_back(std::move(node));
  return cudaSuccess;
}

void Capture::join(cudaStream_t stream,
                   const std::vector<cudaGraphNode_t> &nodes) {
  stream->capture = this;
  streams.insert(stream);
  for (cudaGraphNode_t node : nodes)
    if (std::find(stream->tail.begin(), stream->tail.end(), node) ==
        stream->tail.end())
      stream->tail.push_back(node);
}

bool Capture::allJoined() const {
  std::set<cudaGraphNode_t> reached(origin->tail.begin(), origin->tail.end());
  // From the last to the first: dependencies come before.
  for (auto node = graph->nodes.rbegin(); node != graph->nodes.rend(); ++node) {
    if (!reached.count(node->get()))
      return false;
    reached.insert((*node)->dependencies.begin(), (*node)->dependencies.end());
  }
  return true;
}

std::unique_ptr<CUgraph_st> Capture::end() {
  bool joined = allJoined();
  for (cudaStream_t stream : streams) {
    stream->capture = nullptr;
    stream->tail.clear();
  }
  captures().erase(id);
  return joined ? std::move(graph) : nullptr;
}

cudaError_t weir::emulated::waitInCapture(cudaStream_t stream,
                                          CUevent_st &event) {
  auto found = captures().find(event.capture);
  Capture *capture = found == captures().end() ? nullptr : found->second;
  if (capture && (!stream->capture || stream->capture == capture)) {
    capture->join(stream, event.captured);
    return capture->error();
  }
  if (capture) {
    capture->invalidate();
    stream->capture->invalidate();
    return cudaErrorStreamCaptureMerge;
  }
  // A record of a capture that has ended stands for nothing.
  if (event.capture)
    return cudaErrorCapturedEvent;
  if (!event.record)
    return stream->capture->error();
  stream->capture->invalidate();
  return cudaErrorStreamCaptureIsolation;
}

cudaError_t weir::emulated::unsafeCallError() {
  if (cudaError_t error = callError())
    return error;
  std::lock_guard lock(captureMutex());
  cudaError_t error = cudaSuccess;
  for (auto [id, capture] : captures()) {
    bool own = capture->thread == std::this_thread::get_id();
    if (capture->mode == cudaStreamCaptureModeGlobal ||
        (own && capture->mode == cudaStreamCaptureModeThreadLocal)) {
      capture->invalidate();
      error = cudaErrorStreamCaptureUnsupported;
    }
  }
  return error;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream,
                                   cudaStreamCaptureMode mode) {
  if (cudaError_t error = callError())
    return report(error);
  // The default stream cannot be captured.
  if (!stream)
    return report(cudaErrorStreamCaptureUnsupported);
  std::lock_guard lock(captureMutex());
  if (stream->capture)
    return report(cudaErrorIllegalState);
  new Capture(stream, mode);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
  *graph = nullptr;
  std::lock_guard lock(captureMutex());
  Capture *capture = stream ? stream->capture : nullptr;
  if (!capture)
    return report(cudaErrorIllegalState);
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id())
    return report(cudaErrorStreamCaptureWrongThread);
  if (capture->origin != stream) {
    capture->invalidate();
    return report(cudaErrorStreamCaptureUnmatched);
  }
  std::unique_ptr<Capture> owned(capture);
  cudaError_t error = capture->error();
  *graph = capture->end().release();
  if (!error && !*graph)
    error = cudaErrorStreamCaptureUnjoined;
  if (error) {
    delete *graph;
    *graph = nullptr;
    return report(error);
  }
  return report(callError());
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream,
                                  cudaStreamCaptureStatus *status) {
  std::lock_guard lock(captureMutex());
  *status = cudaStreamCaptureStatusNone;
  if (stream && stream->capture)
    *status = stream->capture->error() ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return report(callError());
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

std::unique_ptr<CUgraph_st> CUgraph_st::clone() const {
  auto copy = std::make_unique<CUgraph_st>();
  std::map<cudaGraphNode_t, cudaGraphNode_t> copies;
  for (const auto &node : nodes) {
    auto &added = *copy->nodes.emplace_back(new CUgraphNode_st);
    added.operation = node->operation;
    for (cudaGraphNode_t dependency : node->dependencies)
      added.dependencies.push_back(copies[dependency]);
    if (node->child)
      added.child = node->child->clone();
    copies[node.get()] = &added;
  }
  return copy;
}

cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned) {
  *graph = new CUgraph_st;
  return report(callError());
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (!graph)
    return report(cudaErrorInvalidValue);
  delete graph;
  return report(callError());
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t *node, cudaGraph_t graph,
                                       const cudaGraphNode_t *dependencies,
                                       size_t numDependencies,
                                       cudaGraph_t child) {
  if (cudaError_t error = callError())
    return report(error);
  if (!graph || !child)
    return report(cudaErrorInvalidValue);
  auto added = std::make_unique<CUgraphNode_st>();
  for (size_t i = 0; i < numDependencies; ++i) {
    auto isDependency = [&](auto &other) {
      return other.get() == dependencies[i];
    };
    if (!std::any_of(graph->nodes.begin(), graph->nodes.end(), isDependency))
      return report(cudaErrorInvalidValue);
    added->dependencies.push_back(dependencies[i]);
  }
  added->child = child->clone();
  *node = added.get();
  graph->nodes.push_back(std::move(added));
  return cudaSuccess;
}

//===----------------------------------------------------------------------===//
// Executable graphs
//===----------------------------------------------------------------------===//

namespace {

/// A node without children, with its dependencies by position.
struct Step {
  Operation operation;
  std::vector<size_t> dependencies;
};

/// Steps that each depend on the one before: what one thread runs.
struct Chain {
  std::vector<size_t> steps;
  uint64_t line = newLine();
  uint64_t operations = 0;
  /// After the last launch, which comes before the next.
  Clock reached;
};

struct Executable {
  std::vector<Step> steps;
  std::vector<Chain> chains;
  /// Launches run one after the other.
  std::mutex running;
};

/// One launch: which steps have ended, with their clocks if races are checked.
struct Launch {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<char> ended;
  std::vector<Clock> clocks;
  size_t chainsLeft;
  /// What events of steps stand for in this launch, by step.
  std::map<size_t, std::shared_ptr<Record>> waits, records;
};

} // namespace

struct CUgraphExec_st {
  std::shared_ptr<Executable> executable;
};

/// Appends the steps of a graph that begins after `before`; returns those that
/// nothing in the graph comes after.
static std::vector<size_t> flatten(const CUgraph_st &graph,
                                   const std::vector<size_t> &before,
                                   std::vector<Step> &steps) {
  // The last steps of each node.
  std::map<cudaGraphNode_t, std::vector<size_t>> ends;
  std::set<cudaGraphNode_t> sinks;
  for (const auto &node : graph.nodes) {
    std::vector<size_t> dependencies;
    for (cudaGraphNode_t dependency : node->dependencies) {
      dependencies.insert(dependencies.end(), ends[dependency].begin(),
                          ends[dependency].end());
      sinks.erase(dependency);
    }
    if (node->dependencies.empty())
      dependencies = before;
    sinks.insert(node.get());
    if (node->child) {
      ends[node.get()] = flatten(*node->child, dependencies, steps);
      continue;
    }
    ends[node.get()] = {steps.size()};
    steps.push_back({node->operation, std::move(dependencies)});
  }
  std::vector<size_t> last;
  for (cudaGraphNode_t sink : sinks)
    last.insert(last.end(), ends[sink].begin(), ends[sink].end());
  return graph.nodes.empty() ? before : last;
}

/// Splits steps into chains, greedily.
static std::vector<Chain> chainsOf(const std::vector<Step> &steps) {
  std::vector<Chain> chains;
  std::map<size_t, size_t> chainEndingIn;
  for (size_t i = 0; i < steps.size(); ++i) {
    size_t chain = chains.size();
    for (size_t dependency : steps[i].dependencies)
      if (auto found = chainEndingIn.find(dependency);
          found != chainEndingIn.end()) {
        chain = found->second;
        chainEndingIn.erase(found);
        break;
      }
    if (chain == chains.size())
      chains.emplace_back();
    chains[chain].steps.push_back(i);
    chainEndingIn[i] = chain;
  }
  return chains;
}

static void runStep(Executable &executable, Launch &launch, size_t index,
                    Line &line) {
  const Step &step = executable.steps[index];
  bool check = settings().checkRaces;
  {
    std::unique_lock lock(launch.mutex);
    launch.changed.wait(lock, [&] {
      return std::all_of(step.dependencies.begin(), step.dependencies.end(),
                         [&](size_t before) { return launch.ended[before]; });
    });
    if (check)
      for (size_t before : step.dependencies)
        line.clock.join(launch.clocks[before]);
  }
  if (launch.waits.count(index) || launch.records.count(index)) {
    Operation resolved = step.operation;
    if (auto found = launch.waits.find(index); found != launch.waits.end())
      resolved.waits = found->second;
    if (auto found = launch.records.find(index); found != launch.records.end())
      resolved.signals = found->second;
    execute(resolved, line);
  } else {
    execute(step.operation, line);
  }
  std::lock_guard lock(launch.mutex);
  launch.ended[index] = true;
  if (check)
    launch.clocks[index] = line.clock;
  launch.changed.notify_all();
}

static void runChain(Executable &executable, Launch &launch, Chain &chain,
                     Line &parent, Clock start) {
  Line line{parent.device, chain.line, chain.operations, std::move(start)};
  line.clock.join(chain.reached);
  for (size_t step : chain.steps)
    runStep(executable, launch, step, line);
  chain.operations = line.operations;
  chain.reached = line.clock;
  std::lock_guard lock(launch.mutex);
  --launch.chainsLeft;
  launch.changed.notify_all();
}

static void runGraph(Executable &executable, Launch &launch, Line &line) {
  std::lock_guard running(executable.running);
  launch.ended.assign(executable.steps.size(), false);
  launch.clocks.resize(settings().checkRaces ? executable.steps.size() : 0);
  launch.chainsLeft = executable.chains.size();
  Clock start = line.clock;
  for (size_t i = 1; i < executable.chains.size(); ++i)
    runOnThread([&, i] {
      runChain(executable, launch, executable.chains[i], line, start);
    });
  if (!executable.chains.empty())
    runChain(executable, launch, executable.chains.front(), line, start);
  std::unique_lock lock(launch.mutex);
  launch.changed.wait(lock, [&] { return launch.chainsLeft == 0; });
  for (const Clock &clock : launch.clocks)
    line.clock.join(clock);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph,
                                 unsigned long long) {
  if (cudaError_t error = callError())
    return report(error);
  if (!graph)
    return report(cudaErrorInvalidValue);
  auto made = std::make_shared<Executable>();
  flatten(*graph, {}, made->steps);
  made->chains = chainsOf(made->steps);
  *executable = new CUgraphExec_st{std::move(made)};
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (!executable)
    return report(cudaErrorInvalidValue);
  delete executable;
  return report(callError());
}

/// What the events of a graph stand for in a launch that begins now.
static void resolveEvents(const Executable &executable, Launch &launch) {
  for (size_t i = 0; i < executable.steps.size(); ++i) {
    const Operation &operation = executable.steps[i].operation;
    if (cudaEvent_t event = operation.waitsFor) {
      std::lock_guard lock(event->mutex);
      if (event->record)
        launch.waits[i] = event->record;
    }
    if (cudaEvent_t event = operation.records) {
      std::lock_guard lock(event->mutex);
      event->record = launch.records[i] = std::make_shared<Record>();
      event->capture = 0;
    }
  }
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (cudaError_t error = callError())
    return report(error);
  if (!executable)
    return report(cudaErrorInvalidValue);
  auto launch = std::make_shared<Launch>();
  resolveEvents(*executable->executable, *launch);
  Operation operation;
  operation.name = "a graph";
  operation.run = [graph = executable->executable, launch](Line &line) {
    runGraph(*graph, *launch, line);
  };
  return report(enqueue(stream, std::move(operation)));
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

namespace {

/// Threads that wait for the next function; never destroyed.
struct IdleThreads {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::function<void()>> functions;
  size_t idle = 0;
};

} // namespace

static void serve(IdleThreads &threads) {
  std::unique_lock lock(threads.mutex);
  while (true) {
    threads.changed.wait(lock, [&] { return !threads.functions.empty(); });
    std::function<void()> function = std::move(threads.functions.front());
    threads.functions.pop_front();
    --threads.idle;
    lock.unlock();
    function();
    function = nullptr;
    lock.lock();
    ++threads.idle;
  }
}

void weir::emulated::runOnThread(std::function<void()> function) {
  static IdleThreads &threads = *new IdleThreads;
  std::lock_guard lock(threads.mutex);
  threads.functions.push_back(std::move(function));
  if (threads.functions.size() > threads.idle) {
    ++threads.idle;
    std::thread([] { serve(threads); }).detach();
  }
  threads.changed.notify_one();
}
