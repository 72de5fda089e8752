//===- Graph.h - captured operations ----------------------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A captured stream adds nodes to a graph instead of running them. A stream
// that waits for an event of the capture joins it:
//
//   stream 0:  a ── record e ── b ── wait f ── d        a ── b ── d
//   stream 1:       wait e ──── c ── record f           └─── c ───┘
//
// A graph is launched as one operation. Inside of it, chains of nodes that
// depend on each other run on a thread each, as they would on streams.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EMULATED_GRAPH_H
#define WEIR_RUNTIME_EMULATED_GRAPH_H

#include "Stream.h"

#include <set>
#include <thread>

struct CUgraphNode_st {
  weir::emulated::Operation operation;
  std::vector<cudaGraphNode_t> dependencies;
  /// Runs in place of the operation, unless null.
  std::unique_ptr<CUgraph_st> child;
};

struct CUgraph_st {
  /// Each after its dependencies.
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;

  std::unique_ptr<CUgraph_st> clone() const;
};

namespace weir::emulated {

/// Guards all captures, and what streams know of them.
std::mutex &captureMutex();

/// All members need the captures' mutex.
class Capture {
public:
  Capture(cudaStream_t origin, cudaStreamCaptureMode mode);

  const uint64_t id;
  const cudaStreamCaptureMode mode;
  const std::thread::id thread;
  const cudaStream_t origin;

  /// Adds a node behind what `stream` did so far.
  cudaError_t add(cudaStream_t stream, Operation operation);
  /// Lets `stream` wait for nodes; a stream of no capture joins this one.
  void join(cudaStream_t stream, const std::vector<cudaGraphNode_t> &nodes);
  /// The graph cannot be used any more.
  void invalidate() { valid = false; }
  cudaError_t error() const {
    return valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
  }
  /// Lets the streams go. Null if a node does not lead to the end of the
  /// origin.
  std::unique_ptr<CUgraph_st> end();

private:
  bool allJoined() const;

  bool valid = true;
  std::unique_ptr<CUgraph_st> graph;
  std::set<cudaStream_t> streams;
};

/// cudaStreamWaitEvent where the stream or the event belongs to a capture.
/// Needs the captures' mutex and the event's.
cudaError_t waitInCapture(cudaStream_t stream, CUevent_st &event);

/// Runs `function` on a thread that nothing else uses meanwhile.
void runOnThread(std::function<void()> function);

} // namespace weir::emulated

#endif // WEIR_RUNTIME_EMULATED_GRAPH_H
