// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "RenderedCase.h"

#include "llvm/Support/JSON.h"

#include <gtest/gtest.h>
#include <sstream>

using namespace weir::schedule;
using namespace weir::schedule::test;

namespace {

/// The page and the data in it.
struct Page {
  std::string text;
  llvm::json::Value data = nullptr;

  Page(std::span<const Rendered> rendered) {
    std::ostringstream os;
    writeHtml(os, rendered);
    text = os.str();
    const std::string open =
        "<script type=\"application/json\" id=\"schedules\">";
    size_t begin = text.find(open) + open.size();
    llvm::Expected<llvm::json::Value> parsed = llvm::json::parse(
        text.substr(begin, text.find("</script>", begin) - begin));
    if (parsed)
      data = std::move(*parsed);
    else
      ADD_FAILURE() << llvm::toString(parsed.takeError());
  }
  const llvm::json::Object &schedule(size_t index) const {
    const llvm::json::Array &all = *data.getAsObject()->getArray("schedules");
    return *all[index].getAsObject();
  }
};

std::vector<double> numbers(const llvm::json::Value &value) {
  std::vector<double> result;
  for (const llvm::json::Value &element : *value.getAsArray())
    result.push_back(*element.getAsNumber());
  return result;
}

TEST(Html, holdsSchedulesInCommonUnits) {
  RenderedCase a("1f1b", 2, 1), b("zb-h1", 2, 1);
  for (Stage &stage : b.problem.stages)
    stage.forward = 2e-3;
  b.simulation = *simulate(b.problem, b.schedule);
  for (Stage &stage : a.problem.stages)
    stage.forward = stage.backwardInput = stage.backwardWeight = 1e-3;
  a.problem.limitMemory(3 << 10);
  a.simulation = *simulate(a.problem, a.schedule);
  Page page(std::vector{a.rendered(), b.rendered()});

  const llvm::json::Object &first = page.schedule(0);
  EXPECT_EQ(first.getString("name"), "1f1b");
  // The longer one takes seconds, so both are in seconds.
  EXPECT_EQ(first.getString("timeUnit"), "s");
  EXPECT_EQ(first.getNumber("makespan"), 6e-3);
  EXPECT_EQ(first.getString("memoryUnit"), "B");
  EXPECT_EQ(numbers(*first.get("limits")), (std::vector<double>{3072, 3072}));
  const llvm::json::Array &passes = *first.getArray("passes");
  ASSERT_EQ(passes.size(), 2u);
  // Kind, stage, microbatch, start, duration.
  EXPECT_EQ(numbers(passes[1]),
            (std::vector<double>{0, 1, 0, 1e-3, 1e-3, 3, 1, 0, 2e-3, 2e-3}));
  EXPECT_EQ(numbers((*first.getArray("memory"))[0]),
            (std::vector<double>{0, 1, 6e-3, 0}));

  const llvm::json::Object &second = page.schedule(1);
  EXPECT_EQ(second.getString("name"), "zb-h1");
  EXPECT_TRUE(second.getArray("limits")->empty());
  EXPECT_EQ(page.data.getAsObject()->getArray("kinds")->size(),
            static_cast<size_t>(kNumPassKinds));
}

TEST(Html, hasShadesForEveryStageOfADevice) {
  RenderedCase a("1f1b", 2, 2), b("v-half", 2, 2);
  Page page(std::vector{a.rendered(), b.rendered()});
  for (const llvm::json::Value &kind :
       *page.data.getAsObject()->getArray("kinds"))
    EXPECT_EQ(kind.getAsObject()->getArray("shades")->size(), 2u);
  EXPECT_EQ(numbers(*page.schedule(1).get("chunks")),
            (std::vector<double>{0, 0, 1, 1}));
}

TEST(Html, holdsExchangesOfGradients) {
  RenderedCase c("1f1b", 1, 1);
  c.problem.stages[0].gradientReduction = 5;
  c.simulation = *simulate(c.problem, c.schedule);
  Page page(std::vector{c.rendered({true, 1, 1})});
  EXPECT_EQ(numbers((*page.schedule(0).getArray("reductions"))[0]),
            (std::vector<double>{0, 3, 5}));
}

TEST(Html, isSelfContained) {
  RenderedCase c("1f1b", 2, 2);
  Page page(std::vector{c.rendered()});
  EXPECT_EQ(page.text.substr(0, 15), "<!DOCTYPE html>");
  for (const char *part :
       {"http:", "https:", "src=", "href", "@import", "url(", "fetch(",
        "XMLHttpRequest", "innerHTML", "eval(", "{{"})
    EXPECT_EQ(count(page.text, part), 0u) << part;
  EXPECT_EQ(count(page.text, "<script"), 2u);
  EXPECT_EQ(count(page.text, "</script>"), 2u);
}

TEST(Html, escapesNames) {
  RenderedCase c("1f1b", 1, 1);
  c.schedule.name = kHostileName;
  Page page(std::vector{c.rendered(), c.rendered()});
  EXPECT_EQ(count(page.text, "<script"), 2u);
  EXPECT_EQ(count(page.text, "</script"), 2u);
  EXPECT_EQ(count(page.text, "<!--"), 2u); // the license
  EXPECT_EQ(count(page.text, "<title>&lt;/script&gt;&lt;script&gt;alert(&#39;"),
            1u);
  EXPECT_EQ(page.schedule(1).getString("name"),
            "</script><script>alert('1')</script>\"&<!--\xef\xbf\xbd\x01"
            "{{data}}");
}

TEST(Html, drawsWhatTakesNoTime) {
  RenderedCase c("1f1b", 2, 2);
  for (Stage &stage : c.problem.stages)
    stage.forward = stage.backwardInput = stage.backwardWeight = 0;
  c.simulation = *simulate(c.problem, c.schedule);
  Page page(std::vector{c.rendered()});
  EXPECT_EQ(page.schedule(0).getNumber("makespan"), 0);
}

} // namespace
