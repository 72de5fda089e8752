// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What holds for every text that somebody takes for a module.

#ifndef WEIR_UNITTESTS_FUZZ_IRPROPERTY_H
#define WEIR_UNITTESTS_FUZZ_IRPROPERTY_H

#include <string>
#include <string_view>

namespace weir::test {

/// What came of a text, for statistics.
enum class Progress { Refused, Read, Compiled };

/// Reads `text`, prints it and reads it again, and runs passes on it, which
/// follow from the text. Returns what is wrong, or nothing:
/// - what was printed must read, and print the same;
/// - a pass must leave a module that verifies, or fail with an error.
std::string violatedByModule(std::string_view text, Progress &progress);

} // namespace weir::test

#endif // WEIR_UNITTESTS_FUZZ_IRPROPERTY_H
