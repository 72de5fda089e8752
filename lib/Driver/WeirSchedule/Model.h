// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What is to be scheduled, as the command line gives it: a model of equal parts
// in abstract units, or a problem file.

#ifndef WEIR_LIB_DRIVER_WEIRSCHEDULE_MODEL_H
#define WEIR_LIB_DRIVER_WEIRSCHEDULE_MODEL_H

#include "weir/Schedule/LowerBound.h"
#include "weir/Schedule/Rendering.h"
#include "weir/Schedule/Variants.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"

namespace weir::schedule::tool {

extern llvm::cl::OptionCategory category;

llvm::Error fail(const llvm::Twine &message);

/// The text of a file.
llvm::Expected<std::string> readText(const std::string &path);

/// With up to `digits` digits after the point.
std::string number(double value, int digits = 3);

/// "<option> is between <low> and <high>, not <value>" if it is not.
llvm::Error checkRange(const llvm::cl::Option &option, double value, double low,
                       double high);

class Model {
public:
  /// Reads the options, and the file that they name.
  static llvm::Expected<Model> create();

  /// Bytes of a limit on every device, given in the unit of memory; takes the
  /// place of the limits that the model has.
  llvm::Error limitMemory(double limit);
  /// Lets no device have more bytes than that, whatever its limit is.
  void lowerLimits(int64_t most) { mostBytes = most; }
  bool hasMemoryLimit() const;

  bool isFromFile() const { return file.has_value(); }
  /// Whether the model says where each of its stages is.
  bool isPlaced() const { return file && !file->placement.empty(); }

  /// The model as --chunks and --placement have it, or, where they are not
  /// given, `defaultChunks` and `defaultPlacement`.
  llvm::Expected<weir::schedule::Problem>
  problem(weir::schedule::Placement defaultPlacement, int defaultChunks) const;

  /// A problem with the given number of devices and microbatches, of stages
  /// that are on the given devices. Fails if the model is another one, or
  /// --chunks or --placement say otherwise. Whether a model of equal parts has
  /// backward passes, is up to the caller.
  llvm::Expected<weir::schedule::Problem> problemOf(int numDevices,
                                                    int numMicrobatches,
                                                    std::vector<int> placement,
                                                    bool hasBackward) const;

  int numMicrobatches() const;

  /// All ways to cut and to place the model that --chunks, --max-chunks and
  /// --placement leave open.
  llvm::Expected<std::vector<weir::schedule::Problem>> variants() const;

  /// What no variant can beat; nothing for a file, whose stages differ, and
  /// where the placement is given.
  llvm::Expected<std::optional<weir::schedule::Bound>>
  boundOfVariants(weir::schedule::Objective objective) const;

  const weir::schedule::Units &units() const { return theUnits; }
  /// In abstract units, or seconds with a prefix.
  std::string time(double seconds) const;
  /// In abstract units, or bytes with a prefix.
  std::string memory(int64_t bytes) const;
  /// A message of the library, which speaks of bytes.
  std::string inUnits(const std::string &message) const;

private:
  Model() = default;

  /// Stages of a model of equal parts.
  llvm::Expected<weir::schedule::Stage> equalStage(int stagesPerDevice) const;
  /// The model of equal parts, or the file, with so many stages per device.
  llvm::Expected<weir::schedule::UnplacedProblem> cut(int chunks) const;
  llvm::Error finish(weir::schedule::Problem &problem) const;

  std::optional<weir::schedule::Problem> file;
  std::vector<int64_t> fixedBytesOfStages; // of the file
  std::optional<weir::schedule::Placement> givenPlacement;
  std::vector<double> durations = {1, 1, 1};
  std::vector<double> givenBack = {0, 1};
  std::optional<int64_t> bytesLimit, mostBytes;
  weir::schedule::Units theUnits;
};

} // namespace weir::schedule::tool

#endif // WEIR_LIB_DRIVER_WEIRSCHEDULE_MODEL_H
