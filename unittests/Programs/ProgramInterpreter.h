//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_UNITTESTS_PROGRAMS_PROGRAMINTERPRETER_H
#define WEIR_UNITTESTS_PROGRAMS_PROGRAMINTERPRETER_H

#include "weir/Dialect/IR/WeirDialect.h"

#include <map>
#include <optional>

namespace weir {

/// How fast devices and transfers are.
enum class Speed {
  Eager, ///< transfers happen as soon as both sides have started
  Lazy,  ///< transfers happen when a wait needs them
  Random
};

/// What residents hold at the end of a step, as fingerprints of all that went
/// into them, by device and name.
using Outcome = std::map<std::pair<int, std::string>, uint64_t>;

/// Runs planned programs on arenas of symbolic words: every pass fingerprints
/// the words that it reads and writes what follows from them, after it has
/// spoilt what it writes and its workspace. It knows what the runtime does and
/// nothing of live ranges or orders. Returns nothing if the programs come to no
/// end.
std::optional<Outcome> interpret(llvm::ArrayRef<ProgramOp> programs,
                                 Speed speed, uint64_t seed);

} // namespace weir

#endif // WEIR_UNITTESTS_PROGRAMS_PROGRAMINTERPRETER_H
