// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The fuzzers' properties on a fixed number of mutated files.

#include "ReaderProperties.h"
#include "RandomProblems.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

using namespace weir::schedule::test;

namespace {

using Property = std::string (*)(std::string_view text, bool &isRead);

std::string contents(const std::filesystem::path &path) {
  std::ifstream is(path, std::ios::binary);
  std::ostringstream os;
  os << is.rdbuf();
  return os.str();
}

/// The files of a directory of seeds, in the order of their names.
std::vector<std::string> readSeeds(const std::string &directory) {
  std::vector<std::filesystem::path> paths;
  for (const auto &entry : std::filesystem::directory_iterator(
           std::string(WEIR_FUZZ_CORPUS) + "/" + directory))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const auto &path : paths)
    seeds.push_back(contents(path));
  return seeds;
}

/// Changes `text` in one place: a byte, a number, or a part that is dropped,
/// repeated, or moved.
void mutate(Random &random, std::string &text) {
  auto at = [&] { return randomInt(random, 0, static_cast<int>(text.size())); };
  auto part = [&] {
    return std::pair<size_t, size_t>(at(), randomInt(random, 1, 12));
  };
  switch (randomInt(random, 0, 6)) {
  case 0:
    text.insert(at(), 1, static_cast<char>(randomInt(random, 0, 255)));
    break;
  case 1: {
    const char *frequent = "0123456789,;()FBIW_[]{}\":-.e\n ";
    text.insert(at(), 1, frequent[randomInt(random, 0, 29)]);
    break;
  }
  case 2: {
    auto [begin, length] = part();
    text.erase(begin, length);
    break;
  }
  case 3: {
    auto [begin, length] = part();
    text.insert(at(), text.substr(begin, length));
    break;
  }
  case 4: {
    auto [begin, length] = part();
    std::string moved = text.substr(begin, length);
    text.erase(begin, length);
    text.insert(at(), moved);
    break;
  }
  default: {
    size_t digit = text.find_first_of("0123456789", at());
    if (digit == std::string::npos)
      return;
    const char *numbers[] = {"0",  "1",     "2",   "3",       "-1",
                             "17", "99999", "1e9", "4194304", "1e300"};
    text.replace(digit, text.find_first_not_of("0123456789", digit) - digit,
                 numbers[randomInt(random, 0, 9)]);
  }
  }
}

void checkMutations(Property property, const std::string &directory,
                    int numMutations) {
  std::vector<std::string> seeds = readSeeds(directory);
  ASSERT_FALSE(seeds.empty());
  for (const std::string &seed : seeds) {
    bool isRead = false;
    EXPECT_EQ(property(seed, isRead), "") << seed;
    EXPECT_TRUE(isRead) << seed;
  }
  Random random(1);
  int numRead = 0;
  for (int i = 0; i < numMutations; ++i) {
    std::string text = seeds[i % seeds.size()];
    for (int n = randomInt(random, 1, 3); n > 0; --n)
      mutate(random, text);
    bool isRead = false;
    std::string violated = property(text, isRead);
    ASSERT_EQ(violated, "") << text;
    numRead += isRead;
  }
  // Neither all nor none.
  EXPECT_GT(numRead, numMutations / 50);
  EXPECT_LT(numRead, numMutations * 9 / 10);
}

TEST(ReaderProperties, csv) { checkMutations(violatedByCsv, "csv", 20000); }
TEST(ReaderProperties, problem) {
  checkMutations(violatedByProblem, "problem", 20000);
}
TEST(ReaderProperties, block) {
  checkMutations(violatedByBlock, "block", 20000);
}

} // namespace
