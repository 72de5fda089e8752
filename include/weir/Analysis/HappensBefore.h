//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the programs of a pipeline order, whatever the speed of the devices.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_ANALYSIS_HAPPENSBEFORE_H
#define WEIR_ANALYSIS_HAPPENSBEFORE_H

#include "weir/Dialect/IR/WeirDialect.h"

#include <vector>

namespace weir {

/// The happens-before graph of programs as the runtime runs them. Its events
/// are the ops, and one more for each transfer: the moment when the bytes have
/// arrived. Starts wait for nothing; a transfer needs both its starts; what is
/// queued behind another transfer of the same direction arrives after it.
///
///   device 0   run ──> send_start ──> run ──> wait      ──> program order
///                          ╲                  ╱
///                           ╲ rendezvous     ╱
///               arrived ──>  arrived ───────<           ──> queue order
///                           ╱                ╲
///                          ╱                  ╲
///   device 1        recv_start ──> run ──────> wait     ──> program order
///
/// Sends and receives between a pair of devices meet by their place in the
/// queue, as in the runtime; message numbers and types play no part here. A
/// start that meets nothing, and a peer that is no device, order nothing.
class HappensBefore {
public:
  /// Why one event comes before the next.
  enum class Order { Program, Queue, Rendezvous };

  /// An op on a cycle, and by which order it comes after the op of the next
  /// step (of the last step: of the first).
  struct Step {
    mlir::Operation *op;
    Order order;
  };

  /// `programs` are those of devices 0, 1, ...; linear in their ops times
  /// devices.
  explicit HappensBefore(llvm::ArrayRef<ProgramOp> programs);

  /// The cycle in which the programs stop, the shortest if there are several,
  /// each op after the one that it waits for; empty if the programs always end.
  /// It goes through a wait, the start at the other end of the transfer
  /// (rendezvous), the wait that the program of that start stops at (program
  /// order), and so on.
  llvm::SmallVector<Step> findCycle() const;

  /// Whether `before` always ends before `after` starts. Both are ops of the
  /// programs, and there is no cycle.
  bool isBefore(mlir::Operation *before, mlir::Operation *after) const;

  /// The start at the other end of the transfer that `start` starts; null where
  /// there is none.
  mlir::Operation *getOther(mlir::Operation *start) const;

  /// The device of an op of the programs.
  int64_t getDevice(mlir::Operation *op) const {
    return placeOf.lookup(op).device;
  }

private:
  /// Ops by program, then transfers.
  using Event = int;
  struct Edge {
    Event from, to;
    Order order;
  };
  struct Place {
    int device, place;
  };

  void addOps(llvm::ArrayRef<ProgramOp> programs);
  void addTransfers();
  void indexEdges();
  void sortTopologically();
  void setClocks();

  llvm::ArrayRef<Edge> getEdgesFrom(Event event) const {
    return llvm::ArrayRef(edges).slice(firstEdge[event],
                                       firstEdge[event + 1] - firstEdge[event]);
  }
  Event getEvent(mlir::Operation *op) const {
    Place place = placeOf.lookup(op);
    return firstEvent[place.device] + place.place;
  }
  bool isOp(Event event) const { return event < static_cast<int>(ops.size()); }
  mlir::Operation *getFirstStuck(int device) const;

  int numDevices, numEvents = 0;
  std::vector<mlir::Operation *> ops;
  std::vector<Event> firstEvent; ///< by device, and the end of the last
  llvm::DenseMap<mlir::Operation *, Place> placeOf;
  llvm::DenseMap<mlir::Operation *, mlir::Operation *> others; ///< of starts
  std::vector<Edge> edges;    ///< by where they come from
  std::vector<int> firstEdge; ///< by event
  std::vector<Event> sorted;  ///< topologically, as far as there is no cycle
  std::vector<bool> isSorted; ///< by event

  /// By device, how many of its ops come before an event. Where nothing arrives
  /// an op shares the clock of the op ahead of it.
  std::vector<int> clocks;
  std::vector<int> clockOf; ///< by event; where its clock begins in `clocks`
};

} // namespace weir

#endif // WEIR_ANALYSIS_HAPPENSBEFORE_H
