//===- ConvolutionTest.cpp - compiled convolutions and pooling ------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Generic ops whose maps are sums: windows with strides and dilations, kernels
// read backwards, constant offsets. Each is drawn with its own sizes, most of
// which no vector width divides, and with elementwise ops around it that fusion
// may pull in.
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include <gtest/gtest.h>

#include <random>

namespace {

class RandomConvolution {
public:
  RandomConvolution(uint64_t seed, const std::string &element)
      : generator(seed), element(element) {}

  std::string make();

private:
  int draw(int from, int to) {
    return from + static_cast<int>(generator() % (to - from + 1));
  }
  std::string type(std::initializer_list<int> shape) const {
    std::string text = "tensor<";
    for (int size : shape)
      text += std::to_string(size) + "x";
    return text + element + ">";
  }

  std::mt19937_64 generator;
  std::string element;
};

} // namespace

/// Along one dim: windows of `taps` elements, `dilation` apart, begin every
/// `stride` elements from `offset` on; the kernel may be read backwards.
struct Window {
  int count, taps, stride, dilation, offset;
  bool reversesKernel, reversesInput;

  int size() const {
    return offset + (count - 1) * stride + (taps - 1) * dilation + 1;
  }
  std::string input(const std::string &at, const std::string &tap) const {
    std::string position = at + " * " + std::to_string(stride) + " + " + tap +
                           " * " + std::to_string(dilation) + " + " +
                           std::to_string(offset);
    return reversesInput
               ? "(" + position + ") * -1 + " + std::to_string(size() - 1)
               : position;
  }
  std::string kernel(const std::string &tap) const {
    return reversesKernel ? tap + " * -1 + " + std::to_string(taps - 1) : tap;
  }
};

std::string RandomConvolution::make() {
  auto drawWindow = [&](int most) {
    return Window{draw(1, most), draw(1, 4),      draw(1, 3),     draw(1, 2),
                  draw(0, 2),    draw(0, 2) == 0, draw(0, 4) == 0};
  };
  Window y = drawWindow(5), x = drawWindow(21);
  int channels = draw(1, 5), filters = draw(1, 19);
  bool channelsLast = draw(0, 1);
  std::string in = channelsLast ? type({y.size(), x.size(), channels})
                                : type({channels, y.size(), x.size()});
  std::string kernel = type({y.taps, x.taps, channels, filters});
  std::string out = channelsLast ? type({y.count, x.count, filters})
                                 : type({filters, y.count, x.count});
  std::string dims = "(f, y, x, c, ky, kx)";
  std::string at = y.input("y", "ky") + ", " + x.input("x", "kx");
  std::string text = "#in = affine_map<" + dims + " -> (" +
                     (channelsLast ? at + ", c" : "c, " + at) +
                     ")>\n#kernel = affine_map<" + dims + " -> (" +
                     y.kernel("ky") + ", " + x.kernel("kx") +
                     ", c, f)>\n#taps = affine_map<" + dims +
                     " -> (ky, kx, c)>\n#out = affine_map<" + dims + " -> (" +
                     (channelsLast ? "y, x, f" : "f, y, x") + ")>\n";
  std::string taps = type({y.taps, x.taps, channels});
  const char *combiners[] = {"addf", "maximumf", "minimumf", "mulf"};
  std::string second = combiners[draw(0, 3)];
  // A value before the op and one after it, both cheap to fuse.
  std::string body =
      "%before = arith.addf %a0, %a0 : " + in +
      "\n%empty = tensor.empty() : " + taps + R"(
    %r:2 = linalg.generic {indexing_maps = [#in, #kernel, #taps, #out, #out],
        iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}
        ins(%before, %a1, %empty : )" +
      in + ", " + kernel + ", " + taps + ") outs(%a2, %a2 : " + out + ", " +
      out + ") {\n^bb0(%v: " + element + ", %w: " + element +
      ", %t: " + element + ", %sum: " + element + ", %other: " + element +
      "):\n%p = arith.mulf %v, %w : " + element +
      "\n%s = arith.addf %sum, %p : " + element + "\n%o = arith." + second +
      " %other, %v : " + element + "\nlinalg.yield %s, %o : " + element + ", " +
      element + "\n} -> (" + out + ", " + out +
      ")\n%after = arith.mulf %r#0, %r#1 : " + out +
      "\nweir.yield %after, %r#1 : " + out + ", " + out;
  return text + makeForward({in, kernel, out}, out + ", " + out, body);
}

TEST(Convolution, RandomWindows) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::string text =
        RandomConvolution(seed, seed % 4 == 3 ? "f64" : "f32").make();
    ASSERT_EQ(compareWithInterpreter(text), "") << "seed " << seed << "\n"
                                                << text;
  }
}

// The gradient of the input, written as a gather: every input position takes
// the taps that reached it; positions between strides get none by a select.
TEST(Convolution, IndexedGather) {
  std::string in = "tensor<24xf32>", out = "tensor<45xf32>";
  EXPECT_EQ(compareWithInterpreter(R"(
#out = affine_map<(i, k) -> (i)>
#kernel = affine_map<(i, k) -> (k * -1 + 2)>
#taps = affine_map<(i, k) -> (k)>
)" + makeForward({in, "tensor<3xf32>", out}, out,
                 R"(
    %e = tensor.empty() : tensor<3xf32>
    %r = linalg.generic {indexing_maps = [#kernel, #taps, #out],
        iterator_types = ["parallel", "reduction"]}
        ins(%a1, %e : tensor<3xf32>, tensor<3xf32>) outs(%a2 : tensor<45xf32>) {
    ^bb0(%w: f32, %t: f32, %acc: f32):
      %zero = arith.constant 0.0 : f32
      %c0 = arith.constant 0 : index
      %two = arith.constant 2 : index
      %i = linalg.index 0 : index
      %k = linalg.index 1 : index
      %at = arith.addi %i, %k : index
      %row = arith.divui %at, %two : index
      %odd = arith.remui %at, %two : index
      %hit = arith.cmpi eq, %odd, %c0 : index
      %v = tensor.extract %a0[%row] : tensor<24xf32>
      %p = arith.mulf %v, %w : f32
      %q = arith.select %hit, %p, %zero : f32
      %s = arith.addf %acc, %q : f32
      linalg.yield %s : f32
    } -> tensor<45xf32>
    weir.yield %r : tensor<45xf32>)")),
            "");
}
