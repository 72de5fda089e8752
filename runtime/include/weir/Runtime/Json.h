//===- weir/Runtime/Json.h - the JSON that the runtime needs ----*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_JSON_H
#define WEIR_RUNTIME_JSON_H

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::runtime {

/// A string as a JSON literal, with its quotes.
std::string jsonString(std::string_view text);

/// Reads JSON whose structure the caller knows: each function reads one value,
/// and returns false, for good, where another is there.
class JsonReader {
public:
  explicit JsonReader(std::string_view text) : rest(text) {}

  bool readString(std::string &value);
  /// An array of natural numbers below 2^53.
  bool readNaturals(std::vector<int64_t> &values);
  /// An object; `readMember` is called at each value and must read it.
  bool readObject(const std::function<bool(const std::string &)> &readMember);
  /// Whether nothing but white space is left.
  bool atEnd();

private:
  void skipSpace();
  bool take(char c);
  bool readNatural(int64_t &value);
  bool readHex(uint32_t &value);

  std::string_view rest;
};

} // namespace weir::runtime

#endif // WEIR_RUNTIME_JSON_H
