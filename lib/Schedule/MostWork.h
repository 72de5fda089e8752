// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The most work that fits into memory at a time.

#ifndef WEIR_LIB_SCHEDULE_MOSTWORK_H
#define WEIR_LIB_SCHEDULE_MOSTWORK_H

#include <cmath>
#include <limits>

namespace weir::schedule {

/// What a microbatch adds to a window, at a price per byte held.
struct Offer {
  double seconds = 0;
  double bytes = 0;
  double value(double price) const { return seconds - price * bytes; }
  Offer operator+(const Offer &other) const {
    return {seconds + other.seconds, bytes + other.bytes};
  }
};

inline Offer better(double price, const Offer &a, const Offer &b) {
  return a.value(price) >= b.value(price) ? a : b;
}

/// The most seconds of work that `count` microbatches add within `bytes`, each
/// by the best offer: the dual is convex in the price and piecewise linear, and
/// its value at any price is an upper bound.
template <typename BestOffer>
double mostWork(double bytes, double count, double highestPrice,
                BestOffer bestOffer) {
  struct Line {
    double price, value, slope;
  };
  double least = std::numeric_limits<double>::infinity();
  auto evaluate = [&](double price) {
    Offer offer = bestOffer(price);
    Line line{price, price * bytes + count * offer.value(price),
              bytes - count * offer.bytes};
    least = std::min(least, line.value);
    return line;
  };
  Line low = evaluate(0), high = evaluate(highestPrice);
  for (int i = 0; i < 60 && low.slope < 0 && high.slope > 0; ++i) {
    double price = (high.value - high.slope * high.price - low.value +
                    low.slope * low.price) /
                   (low.slope - high.slope);
    double reached = low.value + low.slope * (price - low.price);
    if (!(price > low.price && price < high.price))
      break;
    Line line = evaluate(price);
    if (line.value <= reached + 1e-12 * std::abs(reached))
      break;
    (line.slope < 0 ? low : high) = line;
  }
  return least;
}

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_MOSTWORK_H
