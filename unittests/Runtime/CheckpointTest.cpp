//===- CheckpointTest.cpp - safetensors in and out ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Checkpoint.h"
#include "BigramModel.h"
#include "TemporaryDirectory.h"
#include "weir/Runtime/Random.h"

#include <cstring>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace weir::runtime;
using namespace weir::runtime::testing;

namespace {

class CheckpointTest : public ::testing::Test {
protected:
  CheckpointTest() {
    std::vector<std::byte> bytes = Bigram::onOneDevice().build();
    EXPECT_FALSE(Table::parse(bytes.data(), bytes.size(), table).failed());
    embedding.resize(Bigram::vocab * Bigram::width);
    head.resize(Bigram::vocab * Bigram::width);
    RandomStream(0, "embedding").normal(1, std::span(embedding));
    RandomStream(0, "head").normal(1, std::span(head));
  }

  std::vector<NamedTensor> parameters() const {
    const int64_t bytes = head.size() * 4;
    return {{"head", WEIR_F32, {16, 32}, head.data(), bytes},
            {"embedding", WEIR_F32, {32, 16}, embedding.data(), bytes}};
  }

  std::string openError(const std::string &path) {
    Safetensors file;
    std::vector<const std::byte *> found;
    std::string message = openParameters(path, table, file, found).message();
    EXPECT_EQ(message.find('\n'), message.npos);
    return message;
  }

  /// A file with this header and `dataBytes` of zeros.
  std::string writeFile(const std::string &header, size_t dataBytes) {
    uint64_t length = header.size();
    std::string bytes(reinterpret_cast<const char *>(&length), 8);
    return directory.write("file",
                           bytes + header + std::string(dataBytes, '\0'));
  }

  Table table;
  std::vector<float> embedding, head;
  TemporaryDirectory directory;
};

} // namespace

TEST_F(CheckpointTest, ComesBackAsItWent) {
  std::string path = directory.file("parameters");
  ASSERT_FALSE(writeSafetensors(path, parameters()).failed());
  Safetensors file;
  std::vector<const std::byte *> found;
  Status status = openParameters(path, table, file, found);
  ASSERT_FALSE(status.failed()) << status.message();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(std::memcmp(found[0], embedding.data(), embedding.size() * 4), 0);
  EXPECT_EQ(std::memcmp(found[1], head.data(), head.size() * 4), 0);
  EXPECT_EQ(directory.size(), 1u) << "only the file itself is left";
}

TEST_F(CheckpointTest, FollowsTheFormat) {
  float values[] = {1, 2};
  double scalar = 3;
  ASSERT_FALSE(writeSafetensors(directory.file("f"),
                                {{"b", WEIR_F64, {}, &scalar, 8},
                                 {"a\"\n", WEIR_F32, {2, 1}, values, 8}})
                   .failed());
  std::string header =
      R"({"a\"\u000a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"F64","shape":[],"data_offsets":[8,16]}})";
  while (header.size() % 8 != 0)
    header += ' ';
  uint64_t length = header.size();
  std::string expected(reinterpret_cast<const char *>(&length), 8);
  expected += header;
  expected.append(reinterpret_cast<const char *>(values), 8);
  expected.append(reinterpret_cast<const char *>(&scalar), 8);
  EXPECT_EQ(directory.read("f"), expected);
}

TEST_F(CheckpointTest, OrderDoesNotMatter) {
  std::vector<NamedTensor> reversed = parameters();
  std::swap(reversed[0], reversed[1]);
  ASSERT_FALSE(writeSafetensors(directory.file("a"), parameters()).failed());
  ASSERT_FALSE(writeSafetensors(directory.file("b"), reversed).failed());
  EXPECT_EQ(directory.read("a"), directory.read("b"));
}

TEST_F(CheckpointTest, ReadsWhatOthersWrite) {
  // Metadata, white space, other key order, escapes, data in another order.
  std::string path = writeFile(
      " {\"__metadata__\" : {\"format\":\"pt\"}, \"h\\u0065ad\": "
      "{\"data_offsets\":[0, 2048],\"dtype\":\"F32\",\"shape\":[16 ,32]},\n"
      "\"embedding\":{\"shape\":[32,16],\"dtype\":\"F32\",\"data_offsets\":"
      "[2048,4096]}}  ",
      4096);
  EXPECT_EQ(openError(path), "");
}

TEST_F(CheckpointTest, RefusesWhatDoesNotFitTheModel) {
  auto entry = [](const char *name, const char *type, const char *shape,
                  int begin) {
    return std::string("\"") + name + "\":{\"dtype\":\"" + type +
           "\",\"shape\":" + shape + ",\"data_offsets\":[" +
           std::to_string(begin) + "," + std::to_string(begin + 2048) + "]}";
  };
  std::string good = entry("embedding", "F32", "[32,16]", 0);
  auto errorOf = [&](const std::string &second) {
    std::string path = writeFile("{" + good + "," + second + "}", 4096);
    return openError(path).substr(("'" + path + "' ").size());
  };
  EXPECT_EQ(errorOf(entry("tail", "F32", "[16,32]", 2048)),
            "does not fit the model: it lacks 'head'");
  EXPECT_EQ(errorOf(entry("head", "F32", "[32,16]", 2048)),
            "does not fit the model: 'head' has the shape [32,16], not "
            "[16,32]");
  EXPECT_EQ(errorOf(entry("head", "BF16", "[32,32]", 2048)),
            "does not fit the model: 'head' is BF16, not F32");
  std::string path =
      writeFile("{" + good + "," + entry("head", "F32", "[16,32]", 2048) + "," +
                    entry("more", "F32", "[512]", 4096) + "}",
                6144);
  EXPECT_EQ(openError(path),
            "'" + path + "' does not fit the model: the model has no 'more'");
}

TEST_F(CheckpointTest, RefusesBrokenFiles) {
  std::string prefix = "is not a complete safetensors file: ";
  auto errorOf = [&](const std::string &path) {
    std::string message = openError(path);
    size_t at = message.find(prefix);
    EXPECT_NE(at, message.npos) << message;
    return message.substr(at + prefix.size());
  };
  auto headerError = [&](const std::string &header, size_t dataBytes) {
    return errorOf(writeFile(header, dataBytes));
  };
  EXPECT_EQ(errorOf(directory.write("f", "abc")), "it has 3 bytes");
  EXPECT_EQ(errorOf(directory.write("f", std::string(16, '\xFF'))),
            "its header says 18446744073709551615 bytes, but the file has 16");
  EXPECT_EQ(headerError("[1,2]", 0), "its header is not a JSON object");
  EXPECT_EQ(headerError("{} x", 0), "its header is not a JSON object");
  EXPECT_EQ(headerError("{\"a\":{\"dtype\":\"F32\"}}", 0),
            "the entry of 'a' cannot be read");
  EXPECT_EQ(headerError("{\"a\":{\"dtype\":\"F32\",\"shape\":[1e9],"
                        "\"data_offsets\":[0,4]}}",
                        4),
            "the entry of 'a' cannot be read");
  EXPECT_EQ(headerError("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],"
                        "\"data_offsets\":[0,4]}}",
                        4),
            "'a' has 4 bytes, its shape [2] needs 8");
  EXPECT_EQ(headerError("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
                        "\"data_offsets\":[4,8]}}",
                        8),
            "'a' has data from 4 to 8 after data that ends at 0");
  EXPECT_EQ(headerError("{\"a\":{\"dtype\":\"F31\",\"shape\":[1],"
                        "\"data_offsets\":[0,4]}}",
                        4),
            "'a' has the unknown type F31");
  EXPECT_EQ(headerError("{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740991,"
                        "9007199254740991,4],\"data_offsets\":[0,4]}}",
                        4),
            "'a' has the shape [9007199254740991,9007199254740991,4]");

  // A file that was cut off anywhere is refused, in one line.
  ASSERT_FALSE(writeSafetensors(directory.file("cut"), parameters()).failed());
  std::string whole = directory.read("cut");
  for (size_t size = 0; size < whole.size(); size += size < 300 ? 1 : 97)
    EXPECT_NE(openError(directory.write("cut", whole.substr(0, size))), "");
  EXPECT_NE(openError(directory.write("cut", whole + "x")), "");
}

TEST_F(CheckpointTest, DamagedHeadersNeverCrash) {
  ASSERT_FALSE(writeSafetensors(directory.file("f"), parameters()).failed());
  std::string whole = directory.read("f");
  RandomStream random(0, "damage");
  int refused = 0;
  for (uint32_t i = 0; i < 500; ++i) {
    std::string bytes = whole;
    size_t at = random.below(160, i, 0, 0);
    bytes[at] = static_cast<char>(random.below(256, i, 0, 1));
    refused += !openError(directory.write("f", bytes)).empty();
  }
  EXPECT_GT(refused, 350);
}

TEST_F(CheckpointTest, WritesWholeFilesOrNone) {
  EXPECT_EQ(OutputFile::check(directory.file("none/f")).message(),
            "cannot write '" + directory.file("none/f") +
                "': No such file or directory");
  EXPECT_EQ(OutputFile::check(directory.path()).message(),
            "cannot write '" + directory.path() + "': not a regular file");
  EXPECT_FALSE(OutputFile::check(directory.file("f")).failed());
  EXPECT_EQ(directory.size(), 0u) << "a check leaves nothing behind";

  directory.write("f", "before");
  {
    OutputFile file;
    ASSERT_FALSE(file.open(directory.file("f")).failed());
    ASSERT_FALSE(file.write("half", 4).failed());
  }
  EXPECT_EQ(directory.read("f"), "before");
  EXPECT_EQ(directory.size(), 1u);
}
