//===- DataTest.cpp - rows drawn from a text or from images ---------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Data.h"
#include "BigramModel.h"
#include "TemporaryDirectory.h"

#include <gtest/gtest.h>
#include <set>

using namespace weir::runtime;
using namespace weir::runtime::testing;

namespace {

class DataTest : public ::testing::Test {
protected:
  /// A table with inputs of the given shapes and nothing to run.
  static Table makeTable(std::vector<int64_t> tokens,
                         std::vector<int64_t> labels, int64_t vocab,
                         std::vector<int64_t> images = {}) {
    TableBuilder builder(1);
    builder.header.num_stages = builder.header.num_microbatches = 1;
    builder.header.vocab = vocab;
    // In this order, so that a label cannot rely on what came before.
    if (!labels.empty())
      builder.addInput("labels", labels);
    if (!tokens.empty())
      builder.addInput("tokens", tokens);
    if (!images.empty())
      builder.addInput("images", images);
    builder.addResident(0, WEIR_RESIDENT_LOSS, -1, 0, 4);
    builder.addResident(0, WEIR_RESIDENT_COUNT, -1, 0, 4);
    std::vector<std::byte> bytes = builder.build();
    Table table;
    Status status = Table::parse(bytes.data(), bytes.size(), table);
    EXPECT_FALSE(status.failed()) << status.message();
    return table;
  }

  /// Two images of 1 x 1 x 2 in a microbatch.
  static Table makeImageTable(int64_t classes) {
    return makeTable({}, {2}, classes, {2, 1, 1, 2});
  }

  std::string openError(const std::string &path, const Table &table) {
    Data data;
    return Data::open(path, table, 0, data).message();
  }

  static std::vector<int32_t> fill(const Data &data, int64_t input,
                                   int64_t step, int64_t microbatch,
                                   size_t size) {
    std::vector<int32_t> out(size);
    data.fill(input, step, microbatch, out.data());
    return out;
  }

  TemporaryDirectory directory;
  const int64_t labels = 0, tokens = 1, images = 1;
};

} // namespace

TEST_F(DataTest, LabelsAreTheNextTokens) {
  std::string text;
  for (int i = 0; i < 256; ++i)
    text += static_cast<char>(i);
  Data data;
  Status status = Data::open(directory.write("text", text),
                             makeTable({3, 5}, {3, 5}, 256), 7, data);
  ASSERT_FALSE(status.failed()) << status.message();
  EXPECT_EQ(data.samplesPerMicrobatch(), 15);
  std::vector<int32_t> t = fill(data, tokens, 1, 0, 15);
  std::vector<int32_t> l = fill(data, labels, 1, 0, 15);
  for (int i = 0; i < 15; ++i) {
    // The text counts up, so a row does as well, also beyond 127.
    EXPECT_EQ(l[i], t[i] + 1);
    if (i % 5 > 0)
      EXPECT_EQ(t[i], t[i - 1] + 1);
  }
}

TEST_F(DataTest, OneLabelPerRowIsTheTokenAfterTheContext) {
  std::string text;
  for (int i = 0; i < 100; ++i)
    text += static_cast<char>(i);
  Data data;
  Status status = Data::open(directory.write("text", text),
                             makeTable({4, 6}, {4}, 0), 7, data);
  ASSERT_FALSE(status.failed()) << status.message();
  std::vector<int32_t> t = fill(data, tokens, 3, 2, 24);
  std::vector<int32_t> l = fill(data, labels, 3, 2, 4);
  for (int row = 0; row < 4; ++row)
    EXPECT_EQ(l[row], t[row * 6 + 5] + 1);
}

TEST_F(DataTest, RowsDependOnSeedStepMicrobatchAndRow) {
  std::string text(10000, '\0');
  for (size_t i = 0; i < text.size(); ++i)
    text[i] = static_cast<char>(i * i % 251);
  std::string path = directory.write("text", text);
  Table table = makeTable({2, 16}, {2, 16}, 0);
  Data data, again, other;
  ASSERT_FALSE(Data::open(path, table, 7, data).failed());
  ASSERT_FALSE(Data::open(path, table, 7, again).failed());
  ASSERT_FALSE(Data::open(path, table, 8, other).failed());
  std::set<std::vector<int32_t>> rows;
  auto addRows = [&](const std::vector<int32_t> &filled) {
    rows.insert({filled.begin(), filled.begin() + 16});
    rows.insert({filled.begin() + 16, filled.end()});
  };
  std::vector<int32_t> first = fill(data, tokens, 1, 0, 32);
  fill(again, tokens, 9, 9, 32); // what was drawn before does not matter
  EXPECT_EQ(first, fill(again, tokens, 1, 0, 32));
  addRows(first);
  addRows(fill(data, tokens, 2, 0, 32));
  addRows(fill(data, tokens, 1, 1, 32));
  addRows(fill(other, tokens, 1, 0, 32));
  EXPECT_EQ(rows.size(), 8u);
}

TEST_F(DataTest, BinHoldsSixteenBitTokens) {
  // 0x0102, 0x0304, 0xFFFE: exactly one row of context 2.
  std::string path = directory.write("text.bin", "\x02\x01\x04\x03\xFE\xFF");
  Data data;
  Status status = Data::open(path, makeTable({1, 2}, {1, 2}, 0), 0, data);
  ASSERT_FALSE(status.failed()) << status.message();
  EXPECT_EQ(fill(data, tokens, 1, 0, 2), (std::vector<int32_t>{0x102, 0x304}));
  EXPECT_EQ(fill(data, labels, 1, 0, 2), (std::vector<int32_t>{0x304, 0xFFFE}));
}

TEST_F(DataTest, AllPositionsAreReachedAndNoneBeyond) {
  std::string path = directory.write("text", "abcdef");
  Data data;
  ASSERT_FALSE(
      Data::open(path, makeTable({1, 3}, {1, 3}, 0), 0, data).failed());
  std::set<int32_t> starts, ends;
  for (int64_t step = 1; step <= 100; ++step) {
    starts.insert(fill(data, tokens, step, 0, 3)[0]);
    ends.insert(fill(data, labels, step, 0, 3)[2]);
  }
  EXPECT_EQ(starts, (std::set<int32_t>{'a', 'b', 'c'}));
  EXPECT_EQ(ends, (std::set<int32_t>{'d', 'e', 'f'}));
}

TEST_F(DataTest, RefusesUnusableText) {
  Table table = makeTable({2, 8}, {2, 8}, 128);
  EXPECT_EQ(openError("", table),
            "no data to train on: give a text with --data=FILE");
  EXPECT_EQ(openError(directory.file("none"), table),
            "cannot read '" + directory.file("none") +
                "': No such file or directory");
  EXPECT_EQ(openError(directory.path(), table),
            "cannot read '" + directory.path() + "': not a regular file");
  std::string path = directory.write("short", "12345678");
  EXPECT_EQ(openError(path, table), "'" + path +
                                        "' is too short: it has 8 tokens, and "
                                        "a row of the model needs 9");
  path = directory.write("empty", "");
  EXPECT_EQ(openError(path, table), "'" + path +
                                        "' is too short: it has 0 tokens, and "
                                        "a row of the model needs 9");
  path = directory.write("large", "123456789\x80");
  EXPECT_EQ(openError(path, table),
            "'" + path +
                "' does not fit the model: token 128 at position 9 is not "
                "below the vocabulary of 128");
  path = directory.write("odd.bin", "123");
  EXPECT_EQ(openError(path, table),
            "'" + path + "' is not a file of 16-bit tokens: it has 3 bytes");
}

TEST_F(DataTest, RefusesInputsThatNoTextCanFill) {
  std::string path = directory.write("text", "1234567890");
  EXPECT_EQ(openError(path, makeTable({2}, {2}, 0)),
            "input 'tokens' of the model has rank 1; it must be [rows, "
            "context]");
  EXPECT_EQ(openError(path, makeTable({2, 4}, {2, 5}, 0)),
            "input 'labels' of the model must be [2] or [2, 4], as its tokens "
            "are");
  EXPECT_EQ(openError(path, makeTable({}, {2, 5}, 0)),
            "the model has an input 'labels' but neither 'tokens' nor "
            "'images'");
}

TEST_F(DataTest, AnImageIsWhatFollowsItsLabel) {
  // Every record says which it is, in pixels beyond 127, too.
  std::string records;
  for (int i = 0; i < 200; ++i)
    for (int byte : {i % 10, i, 255 - i})
      records += static_cast<char>(byte);
  Data data;
  Status status = Data::open(directory.write("images", records),
                             makeImageTable(10), 7, data);
  ASSERT_FALSE(status.failed()) << status.message();
  EXPECT_EQ(data.samplesPerMicrobatch(), 2);
  EXPECT_STREQ(data.sampleName(), "images");
  std::set<int32_t> seen;
  for (int64_t step = 1; step <= 2000; ++step) {
    std::vector<int32_t> pixels = fill(data, images, step, 0, 4);
    std::vector<int32_t> classes = fill(data, labels, step, 0, 2);
    for (int row : {0, 1}) {
      ASSERT_EQ(pixels[2 * row + 1], 255 - pixels[2 * row]);
      ASSERT_EQ(classes[row], pixels[2 * row] % 10);
      seen.insert(pixels[2 * row]);
    }
  }
  EXPECT_EQ(seen.size(), 200u) << "the first and the last image as well";
}

TEST_F(DataTest, OfTwoLabelsTheSecondCounts) {
  // 4 bytes a record: coarse label, fine label, pixels.
  std::string path = directory.write("two", std::string("\1\7\x50\x60", 4));
  Data data;
  ASSERT_FALSE(Data::open(path, makeImageTable(8), 0, data).failed());
  EXPECT_EQ(fill(data, labels, 1, 0, 2), (std::vector<int32_t>{7, 7}));
  EXPECT_EQ(fill(data, images, 1, 0, 4),
            (std::vector<int32_t>{0x50, 0x60, 0x50, 0x60}));

  // 12 bytes are four records of 3 or three of 4; as the former, 0x60 would be
  // a label. If both fit, a record has one label.
  std::string twelve = "\1\7\x50\x60\1\6\x51\x61\1\5\x52\x62";
  path = directory.write("twelve", twelve);
  ASSERT_FALSE(Data::open(path, makeImageTable(8), 0, data).failed());
  EXPECT_GE(fill(data, labels, 1, 0, 2)[0], 5);
  ASSERT_FALSE(Data::open(path, makeImageTable(128), 0, data).failed());
  std::set<int32_t> classes;
  for (int64_t step = 1; step <= 100; ++step)
    classes.insert(fill(data, labels, step, 0, 2)[0]);
  EXPECT_EQ(classes, (std::set<int32_t>{1, 0x60, 0x51, 5}));
}

TEST_F(DataTest, RefusesUnusableImages) {
  Table table = makeImageTable(10);
  EXPECT_EQ(openError("", table),
            "no data to train on: give images with --data=FILE");
  std::string path = directory.write("empty", "");
  EXPECT_EQ(openError(path, table),
            "'" + path +
                "' is not a file of the model's images: it has 0 bytes, and a "
                "record has 1 or 2 of labels and 2 of pixels");
  path = directory.write("cut", "12345");
  EXPECT_EQ(openError(path, table),
            "'" + path +
                "' is not a file of the model's images: it has 5 bytes, and a "
                "record has 1 or 2 of labels and 2 of pixels");
  path = directory.write("classes", "\1ab\12ab");
  EXPECT_EQ(openError(path, table),
            "'" + path +
                "' does not fit the model: label 10 of image 1 is not below "
                "its 10 classes");
}

TEST_F(DataTest, RefusesInputsThatNoImagesCanFill) {
  std::string path = directory.write("images", "\1ab");
  EXPECT_EQ(openError(path, makeTable({}, {2}, 0, {2, 1, 2})),
            "input 'images' of the model has rank 3; it must be [rows, "
            "channels, height, width]");
  EXPECT_EQ(openError(path, makeTable({}, {3}, 0, {2, 1, 1, 2})),
            "input 'labels' of the model must be [2], one for each of its "
            "images");
  EXPECT_EQ(openError(path, makeTable({2, 4}, {2}, 0, {2, 1, 1, 2})),
            "the model has inputs 'tokens' and 'images'; one file is either a "
            "text or images");
}
