//===- Random.cpp - counter-based random numbers --------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Random.h"

#include <cmath>
#include <numbers>

using namespace weir::runtime;

std::array<uint32_t, 4> weir::runtime::philox(std::array<uint32_t, 4> counter,
                                              std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = uint64_t(0xD2511F53) * counter[0];
    uint64_t product1 = uint64_t(0xCD9E8D57) * counter[2];
    counter = {
        uint32_t(product1 >> 32) ^ counter[1] ^ key[0], uint32_t(product1),
        uint32_t(product0 >> 32) ^ counter[3] ^ key[1], uint32_t(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

static uint64_t joined(uint32_t low, uint32_t high) {
  return uint64_t(high) << 32 | low;
}

RandomStream::RandomStream(uint64_t seed, std::string_view name) {
  // FNV-1a, 64 bits. Streams have different keys where hashes or lengths
  // differ.
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : name)
    hash = (hash ^ c) * 0x100000001b3;
  std::array<uint32_t, 4> derived =
      philox({uint32_t(hash), uint32_t(hash >> 32), uint32_t(name.size()), 0},
             {uint32_t(seed), uint32_t(seed >> 32)});
  key = {derived[0], derived[1]};
}

uint64_t RandomStream::below(uint64_t bound, uint32_t c0, uint32_t c1,
                             uint32_t c2) const {
  std::array<uint32_t, 4> random = words(c0, c1, c2, 0);
  unsigned __int128 product =
      static_cast<unsigned __int128>(joined(random[0], random[1])) * bound;
  return static_cast<uint64_t>(product >> 64);
}

template <typename Element>
void RandomStream::fillNormal(double deviation, std::span<Element> out) const {
  for (size_t i = 0; i < out.size(); i += 2) {
    uint64_t block = i / 2;
    std::array<uint32_t, 4> random =
        words(uint32_t(block), uint32_t(block >> 32), 0, 0);
    // 53 bits each; the first is in (0, 1], so that its logarithm is finite.
    double u = double((joined(random[0], random[1]) >> 11) + 1) * 0x1p-53;
    double v = double(joined(random[2], random[3]) >> 11) * 0x1p-53;
    double radius = deviation * std::sqrt(-2.0 * std::log(u));
    double angle = 2.0 * std::numbers::pi * v;
    out[i] = static_cast<Element>(radius * std::cos(angle));
    if (i + 1 < out.size())
      out[i + 1] = static_cast<Element>(radius * std::sin(angle));
  }
}

void RandomStream::normal(double deviation, std::span<float> out) const {
  fillNormal(deviation, out);
}

void RandomStream::normal(double deviation, std::span<double> out) const {
  fillNormal(deviation, out);
}
