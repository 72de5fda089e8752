//===- RandomModel.cpp - models made at random ----------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RandomModel.h"

#include "ModelText.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <random>

using namespace weir::model;
using llvm::StringRef;

namespace {

/// What a random graph looks like.
enum class Form {
  Chain, ///< every op takes the last value
  Skips, ///< mostly the last value, sometimes one from far back
  Wide,  ///< any value
};

class Generator {
public:
  explicit Generator(uint64_t seed)
      : random(seed * 0x9e3779b97f4a7c15u + 1), m("random", chooseElement()) {}

  weir::test::RandomModel make(uint64_t seed);

private:
  using Growth = void (Generator::*)();

  // Choices.
  int64_t below(int64_t bound) { return random() % bound; }
  bool chance(int percent) { return below(100) < percent; }
  template <typename Range> auto oneOf(const Range &range) {
    return *std::next(std::begin(range), below(std::size(range)));
  }
  template <typename T> T oneOf(std::initializer_list<T> list) {
    return *(list.begin() + below(list.size()));
  }
  int64_t chooseSize() { return oneOf({1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 33}); }
  std::string chooseElement() {
    isDouble = chance(20);
    return isDouble ? "f64" : "f32";
  }

  // Names, letters and numbers.
  std::string fresh(StringRef stem) {
    return (stem + llvm::Twine(numValues++)).str();
  }
  static std::string letters(size_t rank) {
    return std::string("abcde").substr(0, rank);
  }
  static std::string number(double value) {
    return llvm::formatv("{0:e6}", value).str();
  }
  std::string constant(double value) {
    return "arith.constant " + number(value) + " : $f\n";
  }

  // Values.
  const Value &pick();
  /// A value of the same shape as `x`, and not itself if there is one.
  const Value &pickLike(const Value &x);
  void add(Value value, StringRef kind);
  /// A new variable or, if one of that shape exists, sometimes that.
  Value weight(llvm::ArrayRef<int64_t> shape, int64_t inputs);

  // Bodies.
  std::string boundedFunction(StringRef from, StringRef to);
  std::string combination(int arguments, StringRef to);
  std::string randomBody(int arguments);

  // Ops.
  Value elementwise(StringRef stem, const std::string &pattern,
                    llvm::ArrayRef<Value> operands);
  Value reduceBy(const std::string &pattern, llvm::ArrayRef<Value> operands,
                 StringRef code, StringRef start = "zero",
                 StringRef attributes = "");
  void growElementwise();
  void growResidual();
  void growBroadcast();
  void growTokens();
  void growLinear();
  void growBatchedWeight();
  void growAttention();
  void growStatistic();
  void growNormalisation();
  void growSoftmax();
  void growTranspose();
  void growCollapse();
  void growExpand();
  void growSlice();
  void growConcat();
  void growInsert();
  void growTwoResults();
  void growOtherPrecision();
  void growStopped();
  void growConvolution();
  void growProduct();
  void growPad();
  void embed();

  // The end of the model.
  Value lossOf(const Value &x);
  Value crossEntropy(const Value &x);
  Value sumOf(const Value &x);

  std::mt19937_64 random;
  bool isDouble = false;
  ModelText m;
  Form form = Form::Chain;
  int64_t numValues = 0, numVariables = 0;
  int64_t rows = 1, context = 1, vocab = 2;
  bool hasData = true;
  Value tokens, labels;
  std::vector<Value> values;
  struct Variable {
    std::string name;
    Shape shape;
  };
  std::vector<Variable> variables;
  std::set<std::string> kinds;
};

} // namespace

/// Keeps kernels small: what takes time here is to compile them.
static constexpr int64_t maxElements = 1500;

static int64_t countElements(llvm::ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

const Value &Generator::pick() {
  bool last = form == Form::Chain || (form == Form::Skips && chance(75));
  return last ? values.back() : values[below(values.size())];
}

const Value &Generator::pickLike(const Value &x) {
  std::vector<const Value *> alike;
  for (const Value &value : values)
    if (value.shape == x.shape && value.name != x.name)
      alike.push_back(&value);
  return alike.empty() ? x : *alike[below(alike.size())];
}

void Generator::add(Value value, StringRef kind) {
  kinds.insert(kind.str());
  values.push_back(std::move(value));
}

Value Generator::weight(llvm::ArrayRef<int64_t> shape, int64_t inputs) {
  if (chance(30))
    for (const Variable &variable : llvm::reverse(variables))
      if (llvm::ArrayRef<int64_t>(variable.shape) == shape) {
        kinds.insert("shared variable");
        return m.read(variable.name);
      }
  std::string name = "v" + std::to_string(numVariables++);
  Init init{Init::Normal, 1.0 / std::sqrt(static_cast<double>(inputs))};
  if (chance(10))
    init = {Init::Constant, 0.25};
  m.variable(name, shape, init);
  variables.push_back({name, Shape(shape)});
  return m.read(name);
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

/// Scalar ops from %`from` to %`to`, with a value and a derivative that are
/// bounded whatever comes in.
std::string Generator::boundedFunction(StringRef from, StringRef to) {
  std::string u = ("%" + from).str(), y = ("%" + to).str();
  std::string t = "%" + fresh("t");
  auto line = [](const std::string &result, const std::string &op) {
    return result + " = " + op + " : $f\n";
  };
  std::string one = t + "one = " + constant(1);
  std::string square = line(t + "sq", "arith.mulf " + u + ", " + u);
  switch (below(16)) {
  case 0:
    return line(y, "math.tanh " + u);
  case 1:
    return line(y, "math.sin " + u);
  case 2:
    return line(y, "math.cos " + u);
  case 3:
    return line(y, "math.erf " + u);
  case 4: // u / (1 + |u|)
    return one + line(t + "a", "math.absf " + u) +
           line(t + "d", "arith.addf " + t + "a, " + t + "one") +
           line(y, "arith.divf " + u + ", " + t + "d");
  case 5: // 1 / sqrt(1 + u^2)
    return one + square +
           line(t + "d", "arith.addf " + t + "sq, " + t + "one") +
           line(y, "math.rsqrt " + t + "d");
  case 6: // exp(-u^2)
    return square + line(t + "n", "arith.negf " + t + "sq") +
           line(y, "math.exp " + t + "n");
  case 7: // Clamped.
    return t + "lo = " + constant(-1.5) + t + "hi = " + constant(1.5) +
           line(t + "c", "arith.maximumf " + u + ", " + t + "lo") +
           line(y, "arith.minimumf " + t + "c, " + t + "hi");
  case 8: // log(1 + min(u^2, 3))
    return t + "hi = " + constant(3) + square +
           line(t + "c", "arith.minnumf " + t + "sq, " + t + "hi") +
           line(y, "math.log1p " + t + "c");
  case 9: // sqrt(1/4 + tanh(u)^2)
    return t + "q = " + constant(0.25) + line(t + "h", "math.tanh " + u) +
           line(t + "sq", "arith.mulf " + t + "h, " + t + "h") +
           line(t + "s", "arith.addf " + t + "sq, " + t + "q") +
           line(y, "math.sqrt " + t + "s");
  case 10:
    return line(t + "h", "math.tanh " + u) + line(y, "math.expm1 " + t + "h");
  case 11: // A leaky step.
    return t + "z = " + constant(0) + t + "k = " + constant(0.125) +
           line(t + "h", "math.tanh " + u) +
           line(t + "l", "arith.mulf " + t + "h, " + t + "k") + t +
           "p = arith.cmpf ogt, " + u + ", " + t + "z : $f\n" +
           line(y, "arith.select " + t + "p, " + t + "h, " + t + "l");
  case 12: // log2(1 + sin(u)^2)
    return one + line(t + "h", "math.sin " + u) +
           line(t + "sq", "arith.mulf " + t + "h, " + t + "h") +
           line(t + "s", "arith.addf " + t + "sq, " + t + "one") +
           line(y, "math.log2 " + t + "s");
  case 13: // (1 + u^2) to the power of -3/4
    return one + t + "e = " + constant(-0.75) + square +
           line(t + "s", "arith.addf " + t + "sq, " + t + "one") +
           line(y, "math.powf " + t + "s, " + t + "e");
  case 14: // exp2(-|u|)
    return line(t + "a", "math.absf " + u) +
           line(t + "n", "arith.negf " + t + "a") +
           line(y, "math.exp2 " + t + "n");
  default: // log((1 + u^2) / (2 + u^2)), by fma
    return one + t + "two = " + constant(2) +
           line(t + "a", "math.fma " + u + ", " + u + ", " + t + "one") +
           square + line(t + "b", "arith.addf " + t + "sq, " + t + "two") +
           line(t + "q", "arith.divf " + t + "a, " + t + "b") +
           line(y, "math.log " + t + "q");
  }
}

/// Combines %x0, %x1, ... to %`to`.
std::string Generator::combination(int arguments, StringRef to) {
  std::string code, last = "%x0";
  for (int i = 1; i < arguments; ++i) {
    std::string next =
        i + 1 == arguments ? ("%" + to).str() : "%c" + std::to_string(i);
    const char *op = oneOf({"arith.addf", "arith.subf", "arith.mulf",
                            "arith.maximumf", "arith.minimumf", "arith.addf"});
    code +=
        next + " = " + op + " " + last + ", %x" + std::to_string(i) + " : $f\n";
    last = next;
  }
  if (arguments == 1)
    code = "%scale = " + constant(oneOf({0.5, -1.25, 1.75})) + "%" + to.str() +
           " = arith.mulf %x0, %scale : $f\n";
  return code;
}

std::string Generator::randomBody(int arguments) {
  std::string code = combination(arguments, "u");
  if (chance(25)) {
    code += boundedFunction("u", "w") + boundedFunction("w", "y");
  } else if (chance(30)) {
    // y = x0 / 2 + f(u)
    code += boundedFunction("u", "w") + "%half = " + constant(0.5) +
            "%h = arith.mulf %x0, %half : $f\n%y = arith.addf %h, %w : $f\n";
  } else {
    code += boundedFunction("u", "y");
  }
  return code + "linalg.yield %y : $f\n";
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

static std::vector<std::string> argumentNames(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i)
    names.push_back("x" + std::to_string(i));
  return names;
}

Value Generator::elementwise(StringRef stem, const std::string &pattern,
                             llvm::ArrayRef<Value> operands) {
  std::vector<std::string> names = argumentNames(operands.size());
  std::vector<StringRef> arguments(names.begin(), names.end());
  return m.elementwise(fresh(stem), pattern, operands, arguments,
                       randomBody(operands.size()));
}

Value Generator::reduceBy(const std::string &pattern,
                          llvm::ArrayRef<Value> operands, StringRef code,
                          StringRef start, StringRef attributes) {
  std::vector<std::string> names = argumentNames(operands.size());
  std::vector<StringRef> arguments(names.begin(), names.end());
  return m.reduce(fresh("r"), pattern, operands, arguments, code, start,
                  attributes);
}

void Generator::growElementwise() {
  std::vector<Value> operands{pick()};
  std::string dims = letters(operands[0].shape.size()), pattern = dims;
  while (operands.size() < 3 && chance(40)) {
    operands.push_back(pickLike(operands[0]));
    pattern += "," + dims;
  }
  add(elementwise("e", pattern + "->" + dims, operands), "elementwise");
}

/// x + y / 2 of a value from any distance: a skip edge.
void Generator::growResidual() {
  Value x = values.back(), y = pickLike(x);
  std::string dims = letters(x.shape.size());
  add(m.elementwise(fresh("skip"), dims + "," + dims + "->" + dims, {x, y},
                    {"x", "y"},
                    "%half = " + constant(0.5) +
                        "%h = arith.mulf %y, %half : $f\n"
                        "%s = arith.addf %x, %h : $f\n" +
                        boundedFunction("s", "z") + "linalg.yield %z : $f"),
      "skip edge");
}

/// Combines a value with a vector variable along one of its dimensions.
void Generator::growBroadcast() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank == 0)
    return;
  size_t dim = below(rank);
  Value bias = weight({x.shape[dim]}, 4);
  std::string dims = letters(rank);
  add(elementwise("b", dims + "," + dims.substr(dim, 1) + "->" + dims,
                  {x, bias}),
      "broadcast");
}

/// Mixes the tokens themselves in, as numbers.
void Generator::growTokens() {
  Value x = pick();
  if (!hasData || x.shape.size() < 2 || x.shape[0] != rows ||
      x.shape[1] != context)
    return;
  std::string dims = letters(x.shape.size());
  add(m.elementwise(fresh("t"), dims + ",ab->" + dims, {x, tokens},
                    {"x", "token"},
                    "%n = arith.sitofp %token : i32 to $f\n"
                    "%s = math.sin %n : $f\n"
                    "%z = arith.mulf %x, %s : $f\n"
                    "linalg.yield %z : $f"),
      "integer operand");
}

/// x w, or w x along another dimension, perhaps with a bias.
void Generator::growLinear() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank == 0)
    return;
  size_t dim = chance(75) ? rank - 1 : below(rank);
  int64_t inputs = x.shape[dim];
  int64_t outputs = chance(40) ? inputs : chooseSize();
  if (countElements(x.shape) / inputs * outputs > maxElements)
    outputs = 1;
  std::string dims = letters(rank), result = dims;
  result[dim] = 'z';
  bool isTransposed = chance(50);
  Value w = isTransposed ? weight({outputs, inputs}, inputs)
                         : weight({inputs, outputs}, inputs);
  std::string wDims = isTransposed ? std::string("z") + dims[dim]
                                   : std::string() + dims[dim] + "z";
  Value product =
      chance(50)
          ? m.contract(fresh("p"), dims + "," + wDims + "->" + result, x, w)
          : m.contract(fresh("p"), wDims + "," + dims + "->" + result, w, x);
  kinds.insert("contract");
  if (chance(30)) {
    add(std::move(product), "contract");
    return;
  }
  std::string plain = letters(rank);
  if (chance(50))
    add(elementwise("l", plain + "," + plain.substr(dim, 1) + "->" + plain,
                    {product, weight({outputs}, 16)}),
        "bias");
  else
    add(elementwise("l", plain + "->" + plain, {product}), "contract");
}

/// A product with a weight of its own for every index of a dimension.
void Generator::growBatchedWeight() {
  Value x = pick();
  if (x.shape.size() < 2 || x.shape.size() > 3)
    return;
  int64_t outputs = oneOf({1, 3, 4, 7});
  if (countElements(x.shape) / x.shape.back() * outputs > maxElements)
    return;
  Value w = weight({x.shape[0], x.shape.back(), outputs}, x.shape.back());
  const char *pattern = x.shape.size() == 2 ? "ab,abz->az" : "abc,acz->abz";
  Value product = m.contract(fresh("p"), pattern, x, w);
  std::string dims = letters(product.shape.size());
  add(elementwise("l", dims + "->" + dims, {product}), "batched contract");
}

/// Products of activations with activations.
void Generator::growAttention() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank < 2 || rank > 3)
    return;
  Value y = pickLike(x);
  Value scores = m.contract(fresh("scores"),
                            rank == 2 ? "ab,cb->ac" : "abc,adc->abd", x, y);
  if (countElements(scores.shape) > maxElements)
    return;
  std::string dims = letters(rank);
  double scale = 1.0 / static_cast<double>(x.shape.back());
  Value scaled = m.elementwise(
      fresh("scaled"), dims + "->" + dims, {scores}, {"x"},
      "%scale = " + constant(scale) + "%i = linalg.index " +
          std::to_string(rank - 2) + " : index\n%j = linalg.index " +
          std::to_string(rank - 1) +
          " : index\n%seen = arith.cmpi sle, %j, %i : index\n%hidden = " +
          constant(-3.0) +
          "%s = arith.mulf %x, %scale : $f\n"
          "%y = arith.select %seen, %s, %hidden : $f\n"
          "%e = math.exp %y : $f\n"
          "%one = " +
          constant(1.0) +
          "%f = arith.addf %e, %one : $f\n%g = arith.divf %e, %f : $f\n"
          "linalg.yield %g : $f");
  Value mixed = m.contract(fresh("mixed"),
                           rank == 2 ? "ac,cb->ab" : "abd,adc->abc", scaled, y);
  add(elementwise("a", dims + "->" + dims, {mixed}), "attention");
}

/// A statistic over one dimension, put back to where it came from.
void Generator::growStatistic() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank == 0)
    return;
  size_t dim = below(rank);
  std::string dims = letters(rank), rest = dims;
  rest.erase(dim, 1);
  std::string scale = constant(1.0 / static_cast<double>(x.shape[dim]));
  Value statistic;
  switch (below(4)) {
  case 0:
    statistic = reduceBy(dims + "->" + rest, {x},
                         "%k = " + scale +
                             "%v = arith.mulf %x0, %k : $f\n"
                             "%s = arith.addf %acc, %v : $f\n"
                             "linalg.yield %s : $f");
    break;
  case 1:
    statistic = reduceBy(dims + "->" + rest, {x},
                         "%s = arith.maximumf %acc, %x0 : $f\n"
                         "linalg.yield %s : $f",
                         "lowest");
    break;
  case 2:
    statistic =
        reduceBy(dims + "->" + rest, {x},
                 boundedFunction("x0", "v") + "%s = arith.addf %acc, %v : $f\n"
                                              "linalg.yield %s : $f");
    break;
  default: {
    Value y = pickLike(x);
    statistic = reduceBy(dims + "," + dims + "->" + rest, {x, y},
                         "%k = " + scale +
                             "%v = arith.mulf %x0, %x1 : $f\n"
                             "%w = arith.mulf %v, %k : $f\n"
                             "%s = arith.addf %acc, %w : $f\n"
                             "linalg.yield %s : $f");
  }
  }
  if (chance(15)) {
    std::string plain = letters(rank - 1);
    add(elementwise("e", plain + "->" + plain, {statistic}), "reduction");
    return;
  }
  add(elementwise("s", dims + "," + rest + "->" + dims, {x, statistic}),
      "reduction");
}

void Generator::growNormalisation() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank == 0)
    return;
  std::string dims = letters(rank), rest = letters(rank - 1);
  std::string scale = constant(1.0 / static_cast<double>(x.shape.back()));
  Value mean = reduceBy(dims + "->" + rest, {x},
                        "%k = " + scale +
                            "%v = arith.mulf %x0, %k : $f\n"
                            "%s = arith.addf %acc, %v : $f\n"
                            "linalg.yield %s : $f");
  Value variance =
      reduceBy(dims + "," + rest + "->" + rest, {x, mean},
               "%d = arith.subf %x0, %x1 : $f\n"
               "%v = arith.mulf %d, %d : $f\n"
               "%s = arith.addf %acc, %v : $f\n"
               "linalg.yield %s : $f",
               "zero", chance(50) ? "weir.stop_gradient = array<i64: 1>" : "");
  std::string last = dims.substr(rank - 1);
  Value gamma = weight({x.shape.back()}, 1), beta = weight({x.shape.back()}, 9);
  add(m.elementwise(fresh("n"),
                    dims + "," + rest + "," + rest + "," + last + "," + last +
                        "->" + dims,
                    {x, mean, variance, gamma, beta},
                    {"x", "mean", "variance", "gamma", "beta"},
                    "%k = " + scale + "%epsilon = " + constant(0.1) +
                        "%v = arith.mulf %variance, %k : $f\n"
                        "%e = arith.addf %v, %epsilon : $f\n"
                        "%r = math.rsqrt %e : $f\n"
                        "%d = arith.subf %x, %mean : $f\n"
                        "%n = arith.mulf %d, %r : $f\n"
                        "%g = arith.mulf %n, %gamma : $f\n"
                        "%y = arith.addf %g, %beta : $f\n"
                        "linalg.yield %y : $f"),
      "layer norm");
}

void Generator::growSoftmax() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank == 0)
    return;
  size_t dim = below(rank);
  std::string dims = letters(rank), rest = dims;
  rest.erase(dim, 1);
  Value largest =
      reduceBy(dims + "->" + rest, {x},
               "%s = arith.maximumf %acc, %x0 : $f\nlinalg.yield %s : $f",
               "lowest", chance(70) ? "weir.stop_gradient" : "");
  std::string both = dims + "," + rest + "->" + dims;
  Value exps =
      m.elementwise(fresh("exps"), both, {x, largest}, {"x", "largest"},
                    "%d = arith.subf %x, %largest : $f\n"
                    "%e = math.exp %d : $f\nlinalg.yield %e : $f");
  Value total =
      reduceBy(dims + "->" + rest, {exps},
               "%s = arith.addf %acc, %x0 : $f\nlinalg.yield %s : $f");
  add(m.elementwise(fresh("softmax"), both, {exps, total}, {"e", "total"},
                    "%y = arith.divf %e, %total : $f\nlinalg.yield %y : $f"),
      "softmax");
}

void Generator::growTranspose() {
  Value x = pick();
  std::string dims = letters(x.shape.size()), result = dims;
  std::shuffle(result.begin(), result.end(), random);
  add(elementwise("turned", dims + "->" + result, {x}), "transpose");
}

/// "[[0], [1, 2]]": groups of one dimension but for `dim`, which has two.
static std::string groups(size_t rank, size_t dim) {
  std::string text = "[";
  for (size_t i = 0, at = 0; i < rank; ++i, ++at) {
    text += (i ? ", [" : "[") + std::to_string(at);
    if (i == dim)
      text += ", " + std::to_string(++at);
    text += "]";
  }
  return text + "]";
}

void Generator::growCollapse() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank < 2)
    return;
  size_t dim = below(rank - 1);
  Shape shape = x.shape;
  shape[dim] *= shape[dim + 1];
  shape.erase(shape.begin() + dim + 1);
  add(m.collapseShape(fresh("f"), x, groups(rank - 1, dim), shape), "reshape");
}

void Generator::growExpand() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank == 0 || rank > 3)
    return;
  size_t dim = below(rank);
  int64_t size = x.shape[dim];
  std::vector<int64_t> factors;
  for (int64_t factor = 1; factor <= size; ++factor)
    if (size % factor == 0)
      factors.push_back(factor);
  int64_t factor = oneOf(factors);
  Shape shape = x.shape;
  shape[dim] = factor;
  shape.insert(shape.begin() + dim + 1, size / factor);
  add(m.expandShape(fresh("u"), x, groups(rank, dim), shape), "reshape");
}

static std::string list(llvm::ArrayRef<int64_t> numbers) {
  std::string text = "[";
  for (auto [i, value] : llvm::enumerate(numbers))
    text += (i ? ", " : "") + std::to_string(value);
  return text + "]";
}

void Generator::growSlice() {
  Value x = pick();
  Shape offsets, sizes, strides;
  for (int64_t size : x.shape) {
    int64_t stride = size > 2 && chance(25) ? 2 : 1;
    int64_t offset = chance(50) ? 0 : below(size);
    int64_t most = (size - offset + stride - 1) / stride;
    offsets.push_back(offset);
    strides.push_back(stride);
    sizes.push_back(chance(50) ? most : 1 + below(most));
  }
  Value result{"", sizes, x.element};
  add(m.write(fresh("cut"), sizes,
              "tensor.extract_slice " + x.name + list(offsets) + " " +
                  list(sizes) + " " + list(strides) + " : " + x.type() +
                  " to " + result.type()),
      "slice");
}

void Generator::growConcat() {
  Value x = pick(), y = pickLike(x);
  size_t rank = x.shape.size();
  if (rank == 0 || 2 * countElements(x.shape) > maxElements)
    return;
  size_t dim = below(rank);
  Shape shape = x.shape;
  shape[dim] *= 2;
  Value result{"", shape, x.element};
  add(m.write(fresh("joined"), shape,
              "tensor.concat dim(" + std::to_string(dim) + ") " + x.name +
                  ", " + y.name + " : (" + x.type() + ", " + y.type() +
                  ") -> " + result.type()),
      "concat");
}

/// Replaces a part of one value by a part of another.
void Generator::growInsert() {
  Value x = pick(), y = pickLike(x);
  size_t rank = x.shape.size();
  if (rank == 0)
    return;
  Shape zeros(rank, 0), ones(rank, 1), sizes = x.shape, at(rank, 0);
  size_t dim = below(rank);
  sizes[dim] = 1 + below(sizes[dim]);
  at[dim] = below(x.shape[dim] - sizes[dim] + 1);
  Value part{"", sizes, x.element};
  Value cut = m.write(fresh("part"), sizes,
                      "tensor.extract_slice " + y.name + list(zeros) + " " +
                          list(sizes) + " " + list(ones) + " : " + y.type() +
                          " to " + part.type());
  add(m.write(fresh("mended"), x.shape,
              "tensor.insert_slice " + cut.name + " into " + x.name + list(at) +
                  " " + list(sizes) + " " + list(ones) + " : " + cut.type() +
                  " into " + x.type()),
      "insert");
}

/// One op with two results, of which sometimes only one is used.
void Generator::growTwoResults() {
  Value x = pick(), y = pickLike(x);
  std::string name = fresh("two"), empty = fresh("empty");
  std::string dims = letters(x.shape.size()), commas;
  for (char dim : dims)
    commas += (commas.empty() ? "" : ", ") + std::string(1, dim);
  std::string map = "affine_map<(" + commas + ") -> (" + commas + ")>";
  std::string parallel;
  for (size_t i = 0; i < dims.size(); ++i)
    parallel += i ? ", \"parallel\"" : "\"parallel\"";
  Value init = m.write(empty, x.shape, "tensor.empty() : " + x.type());
  std::string types = x.type() + ", " + x.type();
  Value both =
      m.write(name + ":2", x.shape,
              "linalg.generic {indexing_maps = [" + map + ", " + map + ", " +
                  map + ", " + map + "], iterator_types = [" + parallel +
                  "]}\n        ins(" + x.name + ", " + y.name + " : " + types +
                  ") outs(" + init.name + ", " + init.name + " : " + types +
                  ") {\n    ^bb0(%x0: $f, %x1: $f, %o0: $f, %o1: $f):\n" +
                  combination(2, "u") + boundedFunction("u", "y") +
                  boundedFunction("x1", "z") +
                  "linalg.yield %y, %z : $f, $f\n    } -> (" + types + ")");
  std::string base = both.name.substr(0, both.name.size() - 2);
  add({base + "#0", x.shape, x.element}, "two results");
  if (chance(60))
    add({base + "#1", x.shape, x.element}, "two results");
}

/// A body that computes in the other precision for a while.
void Generator::growOtherPrecision() {
  Value x = pick();
  std::string dims = letters(x.shape.size());
  std::string other = isDouble ? "f32" : "f64";
  const char *to = isDouble ? "arith.truncf" : "arith.extf";
  const char *back = isDouble ? "arith.extf" : "arith.truncf";
  add(m.elementwise(fresh("c"), dims + "->" + dims, {x}, {"x"},
                    std::string("%a = ") + to + " %x : $f to " + other +
                        "\n%b = " + oneOf({"math.sin", "math.tanh"}) +
                        " %a : " + other + "\n%y = " + back + " %b : " + other +
                        " to $f\nlinalg.yield %y : $f"),
      "cast");
}

/// x + a value that gets no gradient.
void Generator::growStopped() {
  Value x = pick(), y = pickLike(x);
  std::string dims = letters(x.shape.size());
  Value zeroed = m.reduce(fresh("still"), dims + "->" + dims, {y}, {"y"},
                          "%z = math.sin %y : $f\n"
                          "%s = arith.addf %acc, %z : $f\n"
                          "linalg.yield %s : $f",
                          "zero", "weir.stop_gradient");
  add(elementwise("e", dims + "," + dims + "->" + dims, {x, zeroed}),
      "stopped gradient");
}

/// A window of weights moves along the dimension before the last.
void Generator::growConvolution() {
  Value x = pick();
  if (x.shape.size() != 3)
    return;
  int64_t length = x.shape[1], inputs = x.shape[2], outputs = oneOf({1, 3, 4});
  int64_t window = 1 + below(std::min<int64_t>(length, 3));
  Value w = weight({window, inputs, outputs}, window * inputs);
  Value result{"", {x.shape[0], length - window + 1, outputs}, x.element};
  Value empty = m.write(fresh("empty"), result.shape,
                        "tensor.empty() : " + result.type());
  Value start = m.write(fresh("start"), result.shape,
                        "linalg.fill ins(%zero : $f) outs(" + empty.name +
                            " : " + result.type() + ") -> " + result.type());
  auto map = [](StringRef dims) {
    return ("affine_map<(a, t, o, k, c) -> (" + dims + ")>").str();
  };
  Value y = m.write(
      fresh("conv"), result.shape,
      "linalg.generic {indexing_maps = [" + map("a, t + k, c") + ", " +
          map("k, c, o") + ", " + map("a, t, o") +
          "], iterator_types = [\"parallel\", \"parallel\", \"parallel\", "
          "\"reduction\", \"reduction\"]}\n        ins(" +
          x.name + ", " + w.name + " : " + x.type() + ", " + w.type() +
          ") outs(" + start.name + " : " + result.type() +
          ") {\n    ^bb0(%x: $f, %w: $f, %acc: $f):\n"
          "%p = arith.mulf %x, %w : $f\n%s = arith.addf %acc, %p : $f\n"
          "linalg.yield %s : $f\n    } -> " +
          result.type());
  add(elementwise("l", "abc->abc", {y}), "convolution");
}

/// The product of one dimension, put back to where it came from.
void Generator::growProduct() {
  Value x = pick();
  size_t rank = x.shape.size();
  if (rank == 0)
    return;
  size_t dim = below(rank);
  std::string dims = letters(rank), rest = dims;
  rest.erase(dim, 1);
  Value near =
      m.elementwise(fresh("near"), dims + "->" + dims, {x}, {"x"},
                    "%one = " + constant(1) + "%k = " + constant(0.125) +
                        "%h = math.tanh %x : $f\n%s = arith.mulf %h, %k : $f\n"
                        "%y = arith.addf %s, %one : $f\nlinalg.yield %y : $f");
  std::string one = fresh("one");
  m.write(one, {}, "arith.constant 1.0 : $f");
  Value product =
      reduceBy(dims + "->" + rest, {near},
               "%s = arith.mulf %acc, %x0 : $f\nlinalg.yield %s : $f", one);
  add(elementwise("s", dims + "," + rest + "->" + dims, {x, product}),
      "product");
}

void Generator::growPad() {
  Value x = pick();
  if (x.shape.empty() || 2 * countElements(x.shape) > maxElements)
    return;
  Shape low, high, shape;
  for (int64_t size : x.shape) {
    low.push_back(below(2));
    high.push_back(below(2));
    shape.push_back(low.back() + size + high.back());
  }
  Value result{"", shape, x.element};
  std::string arguments;
  for (size_t i = 0; i < shape.size(); ++i)
    arguments += (i ? ", %i" : "%i") + std::to_string(i) + ": index";
  add(m.write(fresh("padded"), shape,
              "tensor.pad " + x.name + " low" + list(low) + " high" +
                  list(high) + " {\n    ^bb0(" + arguments +
                  "):\n      tensor.yield %zero : $f\n    } : " + x.type() +
                  " to " + result.type()),
      "pad");
}

void Generator::embed() {
  int64_t size = chooseSize();
  Value indices = m.expandShape(fresh("indices"), tokens, "[[0], [1, 2]]",
                                {rows, context, 1});
  add(m.gather(fresh("embedded"), weight({vocab, size}, 1), indices),
      "embedding");
}

//===----------------------------------------------------------------------===//
// The end of the model
//===----------------------------------------------------------------------===//

Value Generator::sumOf(const Value &x) {
  return reduceBy(letters(x.shape.size()) + "->", {x},
                  boundedFunction("x0", "v") + "%s = arith.addf %acc, %v : $f\n"
                                               "linalg.yield %s : $f");
}

/// The sum of the cross-entropies of the labels, by a head that may be much
/// larger than all else.
Value Generator::crossEntropy(const Value &x) {
  bool isTied = chance(40);
  Value head;
  int64_t size = x.shape.back();
  for (const Variable &variable : variables)
    if (isTied && variable.shape.size() == 2 && variable.shape[0] == vocab &&
        variable.shape[1] == size) {
      kinds.insert("tied head");
      head = m.read(variable.name);
    }
  if (head.name.empty()) {
    m.variable("head", {vocab, size},
               {Init::Normal, 1.0 / std::sqrt(static_cast<double>(size))});
    head = m.read("head");
  }
  std::string row = letters(x.shape.size() - 1), all = row + "v";
  Value logits = m.contract(fresh("logits"), row + "c,vc->" + all, x, head);
  Value largest =
      reduceBy(all + "->" + row, {logits},
               "%s = arith.maximumf %acc, %x0 : $f\nlinalg.yield %s : $f",
               "lowest", "weir.stop_gradient");
  Value exps = m.elementwise(fresh("exps"), all + "," + row + "->" + all,
                             {logits, largest}, {"x", "largest"},
                             "%d = arith.subf %x, %largest : $f\n"
                             "%e = math.exp %d : $f\nlinalg.yield %e : $f");
  Value total =
      reduceBy(all + "->" + row, {exps},
               "%s = arith.addf %acc, %x0 : $f\nlinalg.yield %s : $f");
  Value picked = reduceBy(all + "," + row + "->" + row, {logits, labels},
                          "%v = linalg.index " + std::to_string(row.size()) +
                              " : index\n%w = arith.index_cast %v : index to "
                              "i32\n%is = arith.cmpi eq, %w, %x1 : i32\n"
                              "%none = " +
                              constant(0) +
                              "%p = arith.select %is, %x0, %none : $f\n"
                              "%s = arith.addf %acc, %p : $f\n"
                              "linalg.yield %s : $f");
  kinds.insert("cross-entropy");
  return reduceBy(row + "," + row + "," + row + "->", {total, largest, picked},
                  "%log = math.log %x0 : $f\n"
                  "%lse = arith.addf %log, %x1 : $f\n"
                  "%l = arith.subf %lse, %x2 : $f\n"
                  "%s = arith.addf %acc, %l : $f\nlinalg.yield %s : $f");
}

Value Generator::lossOf(const Value &x) {
  bool isByLabel = hasData && x.shape.size() == labels.shape.size() + 1 &&
                   llvm::ArrayRef<int64_t>(x.shape).drop_back() ==
                       llvm::ArrayRef<int64_t>(labels.shape);
  return isByLabel ? crossEntropy(x) : sumOf(x);
}

weir::test::RandomModel Generator::make(uint64_t seed) {
  form = oneOf({Form::Chain, Form::Skips, Form::Skips, Form::Wide});
  rows = oneOf({1, 1, 2, 3});
  context = oneOf({1, 2, 3, 5, 7});
  vocab = chance(30) ? oneOf({97, 131, 211}) : oneOf({2, 3, 7, 17, 33});
  tokens = m.argument("tokens", {rows, context});
  bool isPerRow = chance(25);
  labels = m.argument("labels", isPerRow ? Shape{rows} : Shape{rows, context});
  embed();

  static constexpr Growth growths[] = {
      &Generator::growElementwise,   &Generator::growElementwise,
      &Generator::growResidual,      &Generator::growResidual,
      &Generator::growBroadcast,     &Generator::growTokens,
      &Generator::growLinear,        &Generator::growLinear,
      &Generator::growLinear,        &Generator::growBatchedWeight,
      &Generator::growAttention,     &Generator::growStatistic,
      &Generator::growNormalisation, &Generator::growSoftmax,
      &Generator::growTranspose,     &Generator::growCollapse,
      &Generator::growExpand,        &Generator::growSlice,
      &Generator::growConcat,        &Generator::growInsert,
      &Generator::growTwoResults,    &Generator::growOtherPrecision,
      &Generator::growStopped,       &Generator::growConvolution,
      &Generator::growProduct,       &Generator::growPad};
  int64_t size = 2 + below(chance(20) ? 24 : 10);
  while (static_cast<int64_t>(values.size()) < size) {
    if (chance(6))
      embed();
    // Layers that are all alike, as most models have.
    if (chance(10) && values.back().shape.size() >= 1)
      for (int64_t layer = 1 + below(3); layer > 0; --layer)
        growLinear();
    (this->*growths[below(std::size(growths))])();
  }

  Value loss = lossOf(values.back());
  // Some values without a reader count, too; others stay without one.
  for (int64_t i = chance(50) ? 0 : below(3); i > 0; --i) {
    Value more = sumOf(values[below(values.size())]);
    loss = m.elementwise(fresh("loss"), ",->", {loss, more}, {"a", "b"},
                         "%s = arith.addf %a, %b : $f\nlinalg.yield %s : $f");
    kinds.insert("two losses");
  }
  std::string dims = letters(labels.shape.size());
  Value count = reduceBy(dims + "->", {labels},
                         "%one = " + constant(1) +
                             "%s = arith.addf %acc, %one : $f\n"
                             "linalg.yield %s : $f");
  weir::test::RandomModel model;
  llvm::raw_string_ostream os(model.text);
  m.finish(os, "Random model " + std::to_string(seed), loss, count);
  kinds.insert(isDouble ? "f64" : "f32");
  model.kinds = kinds;
  model.vocab = vocab;
  return model;
}

weir::test::RandomModel weir::test::makeRandomModel(uint64_t seed) {
  return Generator(seed).make(seed);
}
