//===- weir/Runtime/Random.h - counter-based random numbers -----*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Random numbers are functions of what they are for (a seed, a name, counters),
// never of the order in which they are drawn, so that no cut, schedule or
// number of devices can change them.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_RANDOM_H
#define WEIR_RUNTIME_RANDOM_H

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace weir::runtime {

/// Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As
/// Easy as 1, 2, 3" (SC 2011): four random words for each counter and key.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter,
                               std::array<uint32_t, 2> key);

/// The numbers that belong to one seed and name.
class RandomStream {
public:
  RandomStream(uint64_t seed, std::string_view name);

  std::array<uint32_t, 4> words(uint32_t c0, uint32_t c1, uint32_t c2,
                                uint32_t c3) const {
    return philox({c0, c1, c2, c3}, key);
  }

  /// A number in [0, bound), bound > 0.
  uint64_t below(uint64_t bound, uint32_t c0, uint32_t c1, uint32_t c2) const;

  /// Elements 0, 1, ... of a normal distribution of mean 0, computed in double
  /// precision by Box and Muller's transform and rounded once.
  void normal(double deviation, std::span<float> out) const;
  void normal(double deviation, std::span<double> out) const;

private:
  template <typename Element>
  void fillNormal(double deviation, std::span<Element> out) const;

  std::array<uint32_t, 2> key;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_RANDOM_H
