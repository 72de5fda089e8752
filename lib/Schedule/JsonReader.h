// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Files in JSON whose members are all known, with errors that say where.

#ifndef WEIR_LIB_SCHEDULE_JSONREADER_H
#define WEIR_LIB_SCHEDULE_JSONREADER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/JSON.h"

#include <optional>
#include <string>

namespace weir::schedule {

/// The fewest digits that give back the same number.
std::string shortest(double value);
/// ".key", or "[\"key\"]" where the key may hold anything.
std::string memberPath(llvm::StringRef path, llvm::StringRef key);
/// "[index]".
std::string elementPath(llvm::StringRef path, size_t index);

/// What readers of particular files have in common. All functions return
/// nothing and set `error` to one line, "path: what is wrong", where they fail.
class JsonReader {
public:
  std::string error;

protected:
  /// Refuses members that are given twice, and nesting that a recursive reader
  /// should not follow.
  std::optional<llvm::json::Value> parse(llvm::StringRef text);

  bool fail(const llvm::Twine &path, const llvm::Twine &what);

  /// The object in `value`, if it has all of `required` and nothing that is
  /// neither there nor in `optional`.
  const llvm::json::Object *object(const llvm::json::Value &value,
                                   llvm::StringRef path,
                                   llvm::ArrayRef<llvm::StringRef> required,
                                   llvm::ArrayRef<llvm::StringRef> optional);

  const llvm::json::Array *array(const llvm::json::Value &value,
                                 llvm::StringRef path);

  /// From `low` to `high`.
  bool number(const llvm::json::Value &value, llvm::StringRef path, double low,
              double high, double &result);

  /// From `low` to `high`.
  template <typename Int>
  bool integer(const llvm::json::Value &value, llvm::StringRef path,
               int64_t low, int64_t high, Int &result) {
    std::optional<int64_t> given = anyInteger(value, path, low, high);
    if (given)
      result = static_cast<Int>(*given);
    return given.has_value();
  }

private:
  std::optional<int64_t> anyInteger(const llvm::json::Value &value,
                                    llvm::StringRef path, int64_t low,
                                    int64_t high);
};

} // namespace weir::schedule

#endif // WEIR_LIB_SCHEDULE_JSONREADER_H
