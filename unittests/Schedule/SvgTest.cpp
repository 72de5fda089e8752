// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedCase.h"

#include <gtest/gtest.h>
#include <sstream>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

TEST(Svg, drawsEveryPass) {
  RenderedCase c("v-half", 4, 6);
  c.schedule.name = "v<half>";
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, c.simulation, {true, 1, 2});
  std::string text = os.str();
  EXPECT_EQ(text.substr(0, 5), "<svg ");
  for (std::string_view kind : {"F", "B", "W"})
    for (std::string_view chunk : {"0", "1"})
      EXPECT_EQ(count(text, "<rect class=\"p " + std::string(kind) +
                                std::string(chunk) + "\""),
                24u);
  EXPECT_EQ(count(text, "<path class=\"memory\""), 4u);
  EXPECT_NE(text.find("v&lt;half&gt;"), std::string::npos);
  EXPECT_NE(text.find("makespan 41, bubble 12.2%, lower bound 39 (gap 5.1%), "
                      "peak memory 3<"),
            std::string::npos)
      << text.substr(0, 3000);
  // Nothing is loaded from elsewhere.
  EXPECT_EQ(count(text, "href"), 0u);
  EXPECT_EQ(count(text, "url("), 0u);
}

TEST(Svg, namesSecondsAndBytes) {
  RenderedCase c("1f1b", 2, 3);
  for (Stage &stage : c.problem.stages) {
    stage.forward = stage.backwardInput = stage.backwardWeight = 1e-3;
    stage.activationBytes = 1536 * 1024;
  }
  c.problem.limitMemory(4 << 20);
  c.simulation = *simulate(c.problem, c.schedule);
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, c.simulation);
  EXPECT_NE(os.str().find("makespan 12 ms, bubble 25%, lower bound 10 ms (gap "
                          "20%), peak memory 3 MiB of 4 MiB"),
            std::string::npos);
}

TEST(Svg, numbersPassesThatHaveRoom) {
  // Three digits in each of 3 x 128 passes have no room, 16 microbatches have.
  std::ostringstream few, many;
  RenderedCase a("zb-h1", 2, 16), b("zb-h1", 2, 128);
  writeSvg(few, a.problem, a.schedule, a.simulation);
  writeSvg(many, b.problem, b.schedule, b.simulation);
  EXPECT_EQ(count(few.str(), "<text class=\"n\""), 2u * 3 * 16);
  EXPECT_EQ(count(few.str(), ">15</text>"), 2u * 3 + 0);
  EXPECT_EQ(count(many.str(), "<text class=\"n\""), 0u);
  EXPECT_EQ(count(many.str(), "<rect class=\"p "), 2u * 3 * 128);
}

TEST(Svg, mergesPassesThatAreTooMany) {
  RenderedCase c("v-half", 16, 128);
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, c.simulation);
  std::string text = os.str();
  EXPECT_EQ(count(text, "<rect class=\"p "), 0u);
  EXPECT_EQ(count(text, "<text class=\"n\""), 0u);
  EXPECT_LT(text.size(), 16u * 16 * 128 * 6);
  // One memory curve stands for all devices, and not every device is labelled.
  EXPECT_EQ(count(text, "<path class=\"memory\""), 1u);
  // Nothing is lost: the lengths of the bands add up to the time that all
  // devices are busy, one bar for each colour and device.
  size_t at = text.find("class=\"lane\"");
  at = text.find("width=\"", at) + 7;
  double width = std::stod(text.substr(at));
  double covered = 0;
  size_t bands = 0;
  for (at = text.find(")scale(.01 1)\" d=\""); at != std::string::npos;
       at = text.find(")scale(.01 1)\" d=\"", at)) {
    ++bands;
    size_t end = text.find('"', at + 20);
    for (at = text.find('h', at); at < end; at = text.find('h', at + 1))
      covered += std::stod(text.substr(at + 1)) / 100;
    at = end;
  }
  EXPECT_EQ(bands, 16u * 6);
  double busy = 0;
  for (double seconds : c.simulation.busy)
    busy += seconds;
  EXPECT_NEAR(covered / width * c.simulation.makespan / busy, 1, 1e-3);
}

TEST(Svg, drawsLimitsThatAreNear) {
  auto limits = [](int64_t bytes) {
    RenderedCase c("1f1b", 4, 8);
    c.problem.limitMemory(bytes);
    std::ostringstream os;
    writeSvg(os, c.problem, c.schedule, c.simulation);
    return count(os.str(), "<path class=\"limit\"");
  };
  EXPECT_EQ(limits(4), 4u);
  EXPECT_EQ(limits(6), 4u);
  EXPECT_EQ(limits(1000), 0u);
}

TEST(Svg, boundsWhatMissesItsLimitWithoutIt) {
  RenderedCase c("zb-h1", 4, 8);
  auto caption = [&] {
    std::ostringstream os;
    writeSvg(os, c.problem, c.schedule, c.simulation);
    std::string text = os.str();
    size_t begin = text.find("lower bound");
    return text.substr(begin, text.find(", peak", begin) - begin);
  };
  std::string unlimited = caption();
  c.problem.limitMemory(1);
  EXPECT_EQ(caption(), unlimited);
}

TEST(Svg, drawsEveryKindOfWork) {
  RenderedCase c("1f1b", 2, 2);
  for (Stage &stage : c.problem.stages) {
    stage.gradientReduction = 3;
    stage.update = 2;
    stage.recompute = 1;
  }
  for (int s : {0, 1}) {
    std::vector<Pass> order;
    for (const Pass &pass : c.schedule.order[s]) {
      if (pass.kind == PassKind::Backward)
        order.push_back({PassKind::Recompute, s, pass.microbatch});
      order.push_back(pass);
    }
    order.push_back({PassKind::Update, s, -1});
    c.schedule.order[s] = order;
  }
  std::string error;
  std::optional<Simulation> simulation =
      simulate(c.problem, c.schedule, &error);
  ASSERT_TRUE(simulation) << error;
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, *simulation);
  std::string text = os.str();
  EXPECT_EQ(count(text, "<rect class=\"p R0\""), 4u);
  EXPECT_EQ(count(text, "<rect class=\"p U0\""), 2u);
  EXPECT_EQ(count(text, ">U</text>"), 2u);
  // The legend has one too.
  EXPECT_EQ(count(text, "<rect class=\"G\""), 2u + 1);
  for (const char *entry : {"R recompute", "U update", "G gradient exchange"})
    EXPECT_EQ(count(text, entry), 1u) << entry;
}

TEST(Svg, escapesAndShortensNames) {
  RenderedCase c("1f1b", 1, 1);
  c.schedule.name = kHostileName;
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, c.simulation);
  EXPECT_EQ(count(os.str(), "<script"), 0u);
  EXPECT_EQ(count(os.str(), "<!--"), 0u);
  EXPECT_EQ(count(os.str(), "&lt;script&gt;alert(&#39;1&#39;)"), 2u);
  EXPECT_EQ(count(os.str(), "\xff"), 0u);

  // A cut never leaves half a character.
  for (int spaces = 0; spaces < 3; ++spaces) {
    c.schedule.name = std::string(spaces, ' ');
    for (int i = 0; i < 100; ++i)
      c.schedule.name += "\xe2\x82\xac";
    os.str("");
    writeSvg(os, c.problem, c.schedule, c.simulation);
    EXPECT_EQ(count(os.str(), "\xef\xbf\xbd"), 0u);
    EXPECT_EQ(count(os.str(), "\xe2\x80\xa6\xe2\x82\xac"), 1u);
  }
}

TEST(Svg, drawsWhatTakesNoTime) {
  RenderedCase c("1f1b", 2, 2);
  for (Stage &stage : c.problem.stages)
    stage.forward = stage.backwardInput = stage.backwardWeight = 0;
  c.simulation = *simulate(c.problem, c.schedule);
  std::ostringstream os;
  writeSvg(os, c.problem, c.schedule, c.simulation);
  EXPECT_EQ(count(os.str(), "<rect class=\"p "), 8u);
  EXPECT_EQ(count(os.str(), "nan"), 0u);
  EXPECT_EQ(count(os.str(), "inf"), 0u);
}

} // namespace
