// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "JsonReader.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"

#include <charconv>
#include <cmath>

using namespace llvm;

namespace weir::schedule {

namespace {

/// Deeper than any file, and shallow enough for a recursive parser.
constexpr int kMaxDepth = 32;

/// Where strings are skipped, brackets outside of them tell the depth, even in
/// a text that is no JSON.
bool isTooDeep(StringRef text) {
  int depth = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i)
        if (text[i] == '\\')
          ++i;
    } else if (text[i] == '[' || text[i] == '{') {
      if (++depth > kMaxDepth)
        return true;
    } else if (text[i] == ']' || text[i] == '}') {
      --depth;
    }
  }
  return false;
}

/// The parser keeps one of the members that share a name, so this looks at the
/// text, which is known to be JSON.
class DuplicateFinder {
public:
  explicit DuplicateFinder(StringRef text) : text(text) {}

  /// The path of a member that comes again, or nullopt.
  std::optional<std::string> find() {
    value("");
    return duplicate;
  }

private:
  void skipSpace() {
    while (at < text.size() && isSpace(text[at]))
      ++at;
  }

  std::string string() {
    size_t begin = at++;
    while (text[at] != '"')
      at += text[at] == '\\' ? 2 : 1;
    ++at;
    Expected<json::Value> parsed = json::parse(text.slice(begin, at));
    if (!parsed) {
      consumeError(parsed.takeError());
      return {};
    }
    return parsed->getAsString().value_or("").str();
  }

  void value(const std::string &path) {
    skipSpace();
    if (text[at] == '{') {
      ++at;
      StringSet<> keys;
      for (skipSpace(); text[at] != '}'; skipSpace()) {
        std::string key = string();
        std::string member = memberPath(path, key);
        if (!keys.insert(key).second && !duplicate)
          duplicate = member;
        skipSpace();
        ++at; // the colon
        value(member);
        skipSpace();
        if (text[at] == ',')
          ++at;
      }
      ++at;
    } else if (text[at] == '[') {
      ++at;
      size_t index = 0;
      for (skipSpace(); text[at] != ']'; skipSpace()) {
        value(elementPath(path, index++));
        skipSpace();
        if (text[at] == ',')
          ++at;
      }
      ++at;
    } else if (text[at] == '"') {
      string();
    } else {
      while (at < text.size() && !isSpace(text[at]) &&
             !StringRef(",]}").contains(text[at]))
        ++at;
    }
  }

  StringRef text;
  size_t at = 0;
  std::optional<std::string> duplicate;
};

} // namespace

std::string shortest(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, std::end(digits), value).ptr};
}

std::string memberPath(StringRef path, StringRef key) {
  bool isName = !key.empty() &&
                all_of(key, [](char c) { return isAlnum(c) || c == '_'; });
  if (isName && key.size() <= 64)
    return (path + (path.empty() ? "" : ".") + key).str();
  std::string quoted = formatv("{0}", json::Value(json::fixUTF8(key))).str();
  if (quoted.size() > 64)
    quoted = json::fixUTF8(StringRef(quoted).take_front(60)) + "...\"";
  return (path + "[" + quoted + "]").str();
}

std::string elementPath(StringRef path, size_t index) {
  return (path + "[" + Twine(index) + "]").str();
}

bool JsonReader::fail(const Twine &path, const Twine &what) {
  std::string where = path.str();
  error = where.empty() ? what.str() : where + ": " + what.str();
  return false;
}

std::optional<json::Value> JsonReader::parse(StringRef text) {
  if (isTooDeep(text)) {
    fail("", "nested more deeply than any problem");
    return std::nullopt;
  }
  Expected<json::Value> root = json::parse(text);
  if (!root) {
    fail("", "not JSON: " + toString(root.takeError()));
    return std::nullopt;
  }
  if (auto duplicate = DuplicateFinder(text).find()) {
    fail(*duplicate, "given twice");
    return std::nullopt;
  }
  return std::move(*root);
}

const json::Object *JsonReader::object(const json::Value &value, StringRef path,
                                       ArrayRef<StringRef> required,
                                       ArrayRef<StringRef> optional) {
  const json::Object *members = value.getAsObject();
  if (!members) {
    fail(path, "expected an object");
    return nullptr;
  }
  for (StringRef key : required)
    if (!members->get(key)) {
      fail(memberPath(path, key), "missing");
      return nullptr;
    }
  // Objects are not sorted; the message should not depend on that.
  std::optional<StringRef> unknown;
  for (const auto &[key, member] : *members)
    if (!is_contained(required, StringRef(key)) &&
        !is_contained(optional, StringRef(key)) &&
        (!unknown || StringRef(key) < *unknown))
      unknown = key;
  if (!unknown)
    return members;
  fail(memberPath(path, *unknown),
       "unknown; there are " + join(required, ", ") +
           (required.empty() || optional.empty() ? "" : ", ") +
           join(optional, ", "));
  return nullptr;
}

const json::Array *JsonReader::array(const json::Value &value, StringRef path) {
  const json::Array *elements = value.getAsArray();
  if (!elements)
    fail(path, "expected an array");
  return elements;
}

bool JsonReader::number(const json::Value &value, StringRef path, double low,
                        double high, double &result) {
  std::optional<double> given = value.getAsNumber();
  if (!given)
    return fail(path, "expected a number");
  if (!(*given >= low && *given <= high))
    return fail(path, "expected " + shortest(low) + " to " + shortest(high) +
                          ", not " + shortest(*given));
  result = *given;
  return true;
}

std::optional<int64_t> JsonReader::anyInteger(const json::Value &value,
                                              StringRef path, int64_t low,
                                              int64_t high) {
  if (!value.getAsNumber()) {
    fail(path, "expected an integer");
    return std::nullopt;
  }
  std::optional<int64_t> given = value.getAsInteger();
  if (!given && std::trunc(*value.getAsNumber()) != *value.getAsNumber()) {
    fail(path, formatv("expected an integer, not {0}", value).str());
    return std::nullopt;
  }
  if (!given || *given < low || *given > high) {
    fail(path, formatv("expected {0} to {1}, not {2}", low, high, value).str());
    return std::nullopt;
  }
  return given;
}

} // namespace weir::schedule
