// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schedules with sends and receives, in the CSV format of PyTorch's pipelining.

#ifndef WEIR_SCHEDULE_PIPELINECSV_H
#define WEIR_SCHEDULE_PIPELINECSV_H

#include "weir/Schedule/Schedule.h"

#include <iosfwd>

namespace weir::schedule {

/// One entry of a row. What torch.distributed.pipelining names them:
///
///   F I W B                      0F3    a pass; I is B, B the fused one
///   SEND_F RECV_F SEND_B RECV_B  1RECV_F3  a transfer of stage 1, microbatch 3
///   UNSHARD RESHARD REDUCE_GRAD  2UNSHARD  of a stage's parameters
///
/// RECV_F at stage s takes what SEND_F at stage s - 1 sends, RECV_B what SEND_B
/// at stage s + 1 sends.
struct CsvAction {
  enum class Kind {
    Pass,
    SendForward,
    ReceiveForward,
    SendBackward,
    ReceiveBackward,
    Unshard,
    Reshard,
    ReduceGradient
  };

  Kind kind = Kind::Pass;
  PassKind pass = PassKind::Forward; // of a Pass
  int stage = 0;
  int microbatch = -1; // -1 where it has none
  int row = 0;         // the rank; counted from 0
  int column = 0;      // counted from 0
  /// Runs together with the action before it, as the cell
  /// (0F1;1B2)OVERLAP_F_B says.
  bool overlapped = false;

  bool isSend() const {
    return kind == Kind::SendForward || kind == Kind::SendBackward;
  }
  bool isReceive() const {
    return kind == Kind::ReceiveForward || kind == Kind::ReceiveBackward;
  }
};

/// "1RECV_F3", as a cell has it.
std::string toString(const CsvAction &action);

/// What is wrong with one cell. Row and column are counted from 0; -1 where a
/// finding is about a whole row or file.
struct CsvFinding {
  int row = -1;
  int column = -1;
  std::string cell;
  std::string message;
};

/// "row 2, column 5: '1RECV_F3' has no send", counted from 1.
std::string toString(const CsvFinding &finding);

/// The rows of a file, one per rank, without empty cells.
struct CsvProgram {
  std::vector<std::vector<CsvAction>> rows;

  bool hasTransfers() const;
  /// The passes alone.
  Schedule schedule() const;
};

/// Reads a file with or without transfers. Cells may be quoted; empty lines at
/// the end are no ranks. Stricter than PyTorch, which takes 0F1x for 0F1. Adds
/// a finding for every cell that cannot be read and leaves the cell out.
CsvProgram readCsvProgram(std::istream &is, std::vector<CsvFinding> &findings);

/// The largest number of findings of one kind of check.
inline constexpr size_t kMostCsvFindings = 100;

/// What is wrong with the passes and the transfers of `program`; empty if
/// nothing is. A stage is on the rank that has most of its passes, microbatches
/// are 0 up to the largest of the file; whether B and W are fused may differ
/// from one microbatch to the next, and a file without backward passes is a
/// forward one. Later checks are left out where earlier ones fail:
///
///   1. passes: missing, twice, on another rank, before a pass of the same rank
///      that they read;
///   2. transfers: missing where neighbours are on different ranks, there where
///      they are not, twice, on another rank; a send before the pass that makes
///      what it sends, a pass before the receive of what it reads; a rank's
///      receives from another in an order other than that of the sends;
///   3. deadlock, where a send and its receive happen together and a rank does
///      one thing after the other: the circle of cells that wait for each
///      other. That is also when a communicator that runs the transfers of a
///      rank in order, as NCCL does, hangs;
///   4. the order of microbatches of each kind of pass of a stage, which
///      PyTorch leaves open and `verify` does not.
///
/// In a file without any transfer, 2 is left out, and in 3 a pass waits for the
/// passes that it reads.
std::vector<CsvFinding> checkCsvProgram(const CsvProgram &program);

} // namespace weir::schedule

#endif // WEIR_SCHEDULE_PIPELINECSV_H
