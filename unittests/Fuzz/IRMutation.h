// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Changes of the text of a module that know its grammar: tokens are replaced by
// tokens of their kind, ops are dropped, repeated, swapped and taken from other
// modules as a whole, elements of lists come and go, and sizes and element
// types change everywhere at once, so that many results are legal modules.

#ifndef WEIR_UNITTESTS_FUZZ_IRMUTATION_H
#define WEIR_UNITTESTS_FUZZ_IRMUTATION_H

#include <random>
#include <string>
#include <string_view>

namespace weir::test {

using Random = std::mt19937;

/// Returns `text` with one to four changes.
std::string mutate(std::string_view text, Random &random);

/// Returns `text` with an op of `other` in it.
std::string splice(std::string_view text, std::string_view other,
                   Random &random);

} // namespace weir::test

#endif // WEIR_UNITTESTS_FUZZ_IRMUTATION_H
