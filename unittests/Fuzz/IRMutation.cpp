// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "IRMutation.h"

#include <algorithm>
#include <cctype>
#include <vector>

using namespace weir::test;

namespace {

enum class Kind {
  Space,
  Value,
  Symbol,
  Alias,
  Shape,
  Number,
  String,
  Word,
  Sign
};

struct Token {
  Kind kind;
  std::string text;
};

/// A range of tokens [begin, end).
struct Range {
  size_t begin = 0, end = 0;
  bool empty() const { return begin == end; }
};

class Text {
public:
  Text(std::string_view text, Random &random) : random(random) { read(text); }

  std::string print() const;

  /// One change. Not every kind of change has a place in every text.
  void change();

  /// An op as it is written, with its regions.
  std::vector<Token> pickOp();
  void insertOp(std::vector<Token> op);

private:
  void read(std::string_view text);

  size_t pick(size_t count) {
    return std::uniform_int_distribution<size_t>(0, count - 1)(random);
  }
  /// A token of a kind, or the number of tokens if there is none.
  size_t pickToken(Kind kind);
  Range pickStatement();
  Range pickElement();
  size_t skipBalanced(size_t begin) const;

  void replaceToken();
  void changeNumber();
  void changeSize();
  void changeElementType();
  void dropElement();
  void repeatElement();
  void dropOp();
  void repeatOp();
  void swapOps();

  Random &random;
  std::vector<Token> tokens;
};

} // namespace

static bool isWordCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
         c == '$';
}

/// `4x?x8xf32` and what begins like it.
static bool isShape(std::string_view word) {
  size_t x = word.find('x');
  return x != std::string_view::npos && x > 0 &&
         std::all_of(word.begin(), word.begin() + x,
                     [](char c) { return std::isdigit(c) || c == '?'; });
}

void Text::read(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    size_t end = at + 1;
    Kind kind = Kind::Sign;
    auto extend = [&](auto belongs) {
      while (end < text.size() && belongs(text[end]))
        ++end;
    };
    auto isSpace = [](char c) {
      return std::isspace(static_cast<unsigned char>(c)) != 0;
    };
    char c = text[at];
    if (isSpace(c)) {
      kind = Kind::Space;
      extend(isSpace);
    } else if (text.substr(at, 2) == "//") {
      kind = Kind::Space;
      extend([](char c) { return c != '\n'; });
    } else if (c == '%' || c == '^') {
      kind = Kind::Value;
      extend([](char c) { return isWordCharacter(c) || c == '#' || c == ':'; });
      // A block's colon belongs to the grammar around it.
      while (text[end - 1] == ':')
        --end;
    } else if (c == '@') {
      kind = Kind::Symbol;
      extend(isWordCharacter);
    } else if (c == '#' || c == '!') {
      kind = Kind::Alias;
      extend(isWordCharacter);
    } else if (c == '"') {
      kind = Kind::String;
      extend([](char c) { return c != '"' && c != '\n'; });
      end = std::min(end + 1, text.size());
    } else if (c == '-' && end < text.size() && text[end] == '>') {
      ++end;
    } else if (std::isdigit(static_cast<unsigned char>(c)) || c == '?' ||
               (c == '-' && end < text.size() &&
                std::isdigit(static_cast<unsigned char>(text[end])))) {
      extend([](char c) { return isWordCharacter(c) || c == '?'; });
      if ((text[end - 1] == 'e' || text[end - 1] == 'E') && end < text.size() &&
          (text[end] == '-' || text[end] == '+'))
        extend(
            [](char c) { return isWordCharacter(c) || c == '-' || c == '+'; });
      kind = isShape(text.substr(at, end - at)) ? Kind::Shape : Kind::Number;
    } else if (isWordCharacter(c)) {
      kind = Kind::Word;
      extend(isWordCharacter);
    }
    tokens.push_back({kind, std::string(text.substr(at, end - at))});
    at = end;
  }
}

std::string Text::print() const {
  std::string text;
  for (const Token &token : tokens)
    text += token.text;
  return text;
}

size_t Text::pickToken(Kind kind) {
  std::vector<size_t> found;
  for (size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i].kind == kind)
      found.push_back(i);
  return found.empty() ? tokens.size() : found[pick(found.size())];
}

static bool isOpening(std::string_view sign) {
  return sign == "(" || sign == "[" || sign == "{" || sign == "<";
}

static bool isClosing(std::string_view sign) {
  return sign == ")" || sign == "]" || sign == "}" || sign == ">";
}

/// The end of what begins at `begin`, up to the end of a line or, inside of a
/// list, up to a comma or the end of the list.
size_t Text::skipBalanced(size_t begin) const {
  int depth = 0;
  bool isLine = begin == 0 || tokens[begin - 1].kind == Kind::Space;
  for (size_t i = begin; i < tokens.size(); ++i) {
    const std::string &text = tokens[i].text;
    if (isOpening(text))
      ++depth;
    else if (isClosing(text) && --depth < 0)
      return i;
    else if (depth == 0 && i > begin &&
             (text == "," || (isLine && tokens[i].kind == Kind::Space &&
                              text.find('\n') != std::string::npos)))
      return i;
  }
  return tokens.size();
}

/// An op that begins on a line of its own.
Range Text::pickStatement() {
  std::vector<size_t> begins;
  for (size_t i = 1; i < tokens.size(); ++i)
    if (tokens[i - 1].kind == Kind::Space &&
        tokens[i - 1].text.find('\n') != std::string::npos &&
        (tokens[i].kind == Kind::Value || tokens[i].kind == Kind::Word ||
         tokens[i].kind == Kind::String))
      begins.push_back(i);
  if (begins.empty())
    return {};
  size_t begin = begins[pick(begins.size())];
  int depth = 0;
  for (size_t i = begin; i < tokens.size(); ++i) {
    const std::string &text = tokens[i].text;
    if (isOpening(text))
      ++depth;
    else if (isClosing(text) && --depth < 0)
      return {begin, i};
    else if (depth == 0 && tokens[i].kind == Kind::Space &&
             text.find('\n') != std::string::npos) {
      // Operand lists of structured ops go on in the next line.
      const std::string &next = i + 1 < tokens.size() ? tokens[i + 1].text : "";
      if (next != "ins" && next != "outs" && next != "->" && next != ":")
        return {begin, i};
    }
  }
  return {begin, tokens.size()};
}

/// An element of a list in brackets of any kind.
Range Text::pickElement() {
  std::vector<size_t> begins;
  for (size_t i = 1; i < tokens.size(); ++i)
    if (isOpening(tokens[i - 1].text) || tokens[i - 1].text == ",")
      begins.push_back(i);
  if (begins.empty())
    return {};
  size_t begin = begins[pick(begins.size())];
  return {begin, skipBalanced(begin)};
}

void Text::replaceToken() {
  static constexpr Kind kinds[] = {Kind::Value, Kind::Symbol, Kind::Alias,
                                   Kind::Shape, Kind::String, Kind::Word,
                                   Kind::Value, Kind::Sign};
  Kind kind = kinds[pick(std::size(kinds))];
  size_t token = pickToken(kind);
  if (token < tokens.size())
    tokens[token].text = tokens[pickToken(kind)].text;
}

void Text::changeNumber() {
  static const char *const edges[] = {"0",
                                      "1",
                                      "-1",
                                      "2",
                                      "3",
                                      "7",
                                      "64",
                                      "4294967296",
                                      "9223372036854775807",
                                      "-9223372036854775808",
                                      "0.5",
                                      "-0.0",
                                      "1.0e+300",
                                      "0x7FF0000000000000"};
  size_t token = pickToken(Kind::Number);
  if (token == tokens.size())
    return;
  std::string &text = tokens[token].text;
  if (pick(2) == 0 && text.size() < 10 && text.find('.') == std::string::npos &&
      text[0] != '?')
    text = std::to_string(std::strtoll(text.c_str(), nullptr, 10) +
                          static_cast<long long>(pick(5)) - 2);
  else
    text = edges[pick(std::size(edges))];
}

/// Gives all dimensions of one size another size.
void Text::changeSize() {
  size_t token = pickToken(Kind::Shape);
  if (token == tokens.size())
    return;
  static const char *const sizes[] = {"1",  "2", "3", "5",         "8",
                                      "17", "0", "?", "4294967296"};
  std::string old = tokens[token].text.substr(0, tokens[token].text.find('x'));
  // Mostly small ones: the others are errors early on.
  std::string size = sizes[pick(pick(4) == 0 ? std::size(sizes) : 6)];
  for (Token &other : tokens) {
    if (other.kind != Kind::Shape)
      continue;
    std::string changed;
    size_t at = 0;
    for (size_t x; (x = other.text.find('x', at)) != std::string::npos;
         at = x + 1) {
      std::string dimension = other.text.substr(at, x - at);
      changed += (dimension == old ? size : dimension) + "x";
    }
    other.text = changed + other.text.substr(at);
  }
}

void Text::changeElementType() {
  static const char *const types[] = {"f32", "f64",  "i32", "i64",
                                      "i1",  "bf16", "f16", "index"};
  const std::string to = types[pick(std::size(types))];
  const std::string from = types[pick(2)];
  for (Token &token : tokens)
    if (token.kind == Kind::Word && token.text == from)
      token.text = to;
    else if (token.kind == Kind::Shape && token.text.ends_with("x" + from))
      token.text.replace(token.text.size() - from.size(), from.size(), to);
}

void Text::dropElement() {
  Range element = pickElement();
  if (element.end < tokens.size() && tokens[element.end].text == ",")
    ++element.end;
  tokens.erase(tokens.begin() + element.begin, tokens.begin() + element.end);
}

void Text::repeatElement() {
  Range element = pickElement();
  std::vector<Token> copy(tokens.begin() + element.begin,
                          tokens.begin() + element.end);
  copy.push_back({Kind::Sign, ","});
  tokens.insert(tokens.begin() + element.begin, copy.begin(), copy.end());
}

void Text::dropOp() {
  Range op = pickStatement();
  tokens.erase(tokens.begin() + op.begin, tokens.begin() + op.end);
}

void Text::repeatOp() { insertOp(pickOp()); }

void Text::swapOps() {
  Range a = pickStatement(), b = pickStatement();
  if (a.begin > b.begin)
    std::swap(a, b);
  if (a.end > b.begin)
    return;
  std::vector<Token> first(tokens.begin() + a.begin, tokens.begin() + a.end);
  std::vector<Token> second(tokens.begin() + b.begin, tokens.begin() + b.end);
  tokens.erase(tokens.begin() + b.begin, tokens.begin() + b.end);
  tokens.insert(tokens.begin() + b.begin, first.begin(), first.end());
  tokens.erase(tokens.begin() + a.begin, tokens.begin() + a.end);
  tokens.insert(tokens.begin() + a.begin, second.begin(), second.end());
}

std::vector<Token> Text::pickOp() {
  Range op = pickStatement();
  return {tokens.begin() + op.begin, tokens.begin() + op.end};
}

void Text::insertOp(std::vector<Token> op) {
  Range before = pickStatement();
  op.push_back({Kind::Space, "\n"});
  tokens.insert(tokens.begin() + before.begin, op.begin(), op.end());
}

void Text::change() {
  switch (pick(12)) {
  case 0:
  case 1:
    return replaceToken();
  case 2:
  case 3:
    return changeNumber();
  case 4:
  case 5:
    return changeSize();
  case 6:
    return changeElementType();
  case 7:
    return dropElement();
  case 8:
    return repeatElement();
  case 9:
    return dropOp();
  case 10:
    return repeatOp();
  case 11:
    return swapOps();
  }
}

std::string weir::test::mutate(std::string_view text, Random &random) {
  Text mutated(text, random);
  int changes = std::uniform_int_distribution<int>(1, 4)(random);
  for (int i = 0; i < changes; ++i)
    mutated.change();
  return mutated.print();
}

std::string weir::test::splice(std::string_view text, std::string_view other,
                               Random &random) {
  Text spliced(text, random);
  spliced.insertOp(Text(other, random).pickOp());
  return spliced.print();
}
