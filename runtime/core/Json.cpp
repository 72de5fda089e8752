//===- Json.cpp - the JSON that the runtime needs -------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Json.h"

#include <cstdio>

using namespace weir::runtime;

std::string weir::runtime::jsonString(std::string_view text) {
  std::string literal = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      literal += '\\';
      literal += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", c);
      literal += escape;
    } else {
      literal += c;
    }
  }
  return literal + '"';
}

void JsonReader::skipSpace() {
  size_t first = rest.find_first_not_of(" \t\r\n");
  rest.remove_prefix(first == rest.npos ? rest.size() : first);
}

bool JsonReader::take(char c) {
  skipSpace();
  if (rest.empty() || rest.front() != c)
    return false;
  rest.remove_prefix(1);
  return true;
}

bool JsonReader::atEnd() {
  skipSpace();
  return rest.empty();
}

bool JsonReader::readHex(uint32_t &value) {
  if (rest.size() < 4)
    return false;
  value = 0;
  for (char c : rest.substr(0, 4)) {
    value *= 16;
    if (c >= '0' && c <= '9')
      value += c - '0';
    else if (c >= 'a' && c <= 'f')
      value += c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
      value += c - 'A' + 10;
    else
      return false;
  }
  rest.remove_prefix(4);
  return true;
}

static void appendUtf8(std::string &text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
    return;
  }
  int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static constexpr uint32_t lead[] = {0, 0xC0, 0xE0, 0xF0};
  text += static_cast<char>(lead[following] | code >> (6 * following));
  while (following-- > 0)
    text += static_cast<char>(0x80 | ((code >> (6 * following)) & 0x3F));
}

bool JsonReader::readString(std::string &value) {
  if (!take('"'))
    return false;
  value.clear();
  while (!rest.empty()) {
    char c = rest.front();
    rest.remove_prefix(1);
    if (c == '"')
      return true;
    if (static_cast<unsigned char>(c) < 0x20)
      return false;
    if (c != '\\') {
      value += c;
      continue;
    }
    if (rest.empty())
      return false;
    char escape = rest.front();
    rest.remove_prefix(1);
    switch (escape) {
    case '"':
    case '\\':
    case '/':
      value += escape;
      break;
    case 'b':
      value += '\b';
      break;
    case 'f':
      value += '\f';
      break;
    case 'n':
      value += '\n';
      break;
    case 'r':
      value += '\r';
      break;
    case 't':
      value += '\t';
      break;
    case 'u': {
      uint32_t code, low;
      if (!readHex(code) || (code >= 0xDC00 && code < 0xE000))
        return false;
      if (code >= 0xD800 && code < 0xDC00) {
        if (!rest.starts_with("\\u"))
          return false;
        rest.remove_prefix(2);
        if (!readHex(low) || low < 0xDC00 || low >= 0xE000)
          return false;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      appendUtf8(value, code);
      break;
    }
    default:
      return false;
    }
  }
  return false;
}

bool JsonReader::readNatural(int64_t &value) {
  skipSpace();
  size_t digits = 0;
  value = 0;
  while (digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9') {
    value = value * 10 + (rest[digits] - '0');
    if (value >= int64_t(1) << 53)
      return false;
    ++digits;
  }
  if (digits == 0 || (digits > 1 && rest.front() == '0'))
    return false;
  rest.remove_prefix(digits);
  return true;
}

bool JsonReader::readNaturals(std::vector<int64_t> &values) {
  values.clear();
  if (!take('['))
    return false;
  if (take(']'))
    return true;
  do {
    int64_t value;
    if (!readNatural(value))
      return false;
    values.push_back(value);
  } while (take(','));
  return take(']');
}

bool JsonReader::readObject(
    const std::function<bool(const std::string &)> &readMember) {
  if (!take('{'))
    return false;
  if (take('}'))
    return true;
  do {
    std::string key;
    if (!readString(key) || !take(':') || !readMember(key))
      return false;
  } while (take(','));
  return take('}');
}
