// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What holds for the readers of files whatever a file says. Run on mutated
// files by the tests, and on many more of them by the fuzzers.

#ifndef WEIR_UNITTESTS_SCHEDULE_READERPROPERTIES_H
#define WEIR_UNITTESTS_SCHEDULE_READERPROPERTIES_H

#include <string>
#include <string_view>

namespace weir::schedule::test {

/// Each returns what is violated, or an empty string. `isRead` is set where the
/// file can be read and is right, so that tests see that some are.
///
/// A file that cannot be read has a cell and a reason; writing and reading what
/// was read changes nothing; a file is right exactly if `verify` takes its
/// passes, and transfers fit them.
std::string violatedByCsv(std::string_view text, bool &isRead);
/// A problem that is read passes `check`, is written and read without a change,
/// and every named schedule that takes it makes a schedule that `verify` takes.
std::string violatedByProblem(std::string_view text, bool &isRead);
/// A block that is read makes a schedule that `verify` takes, or is refused
/// with a reason.
std::string violatedByBlock(std::string_view text, bool &isRead);

} // namespace weir::schedule::test

#endif // WEIR_UNITTESTS_SCHEDULE_READERPROPERTIES_H
