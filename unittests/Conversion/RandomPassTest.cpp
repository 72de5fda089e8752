//===- RandomPassTest.cpp - compiled random bodies ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Random bodies of elementwise ops, functions, reductions, ops with several
// results, reshapes, slices with strides and products,
// so that fusion, buffer reuse and the workspace plan meet what nobody thought
// of.
//
//===----------------------------------------------------------------------===//

#include "CompiledPass.h"

#include <gtest/gtest.h>

#include <random>

namespace {

/// Values have one of these shapes.
enum Shape { Full, Row, Column, Scalar, numShapes };

class RandomBody {
public:
  RandomBody(uint64_t seed, int rows, int columns)
      : generator(seed), rows(rows), columns(columns) {}

  /// A forward pass, or an update whose outputs go over its inputs.
  std::string make(int numOps, bool isUpdate);

private:
  struct Value {
    std::string name;
    Shape shape;
  };

  int draw(int below) { return static_cast<int>(generator() % below); }

  std::string type(Shape shape) const {
    std::string m = std::to_string(rows) + "x",
                n = std::to_string(columns) + "x";
    return "tensor<" + (shape == Full || shape == Column ? m : "") +
           (shape == Full || shape == Row ? n : "") + "f32>";
  }
  static std::string map(Shape shape) {
    const char *names[] = {"#full", "#row", "#column", "#scalar"};
    return names[shape];
  }
  std::string fresh() { return "%v" + std::to_string(counter++); }
  Value pick() { return values[draw(values.size())]; }
  Value pick(Shape shape) {
    std::vector<Value> matches;
    for (const Value &value : values)
      if (value.shape == shape)
        matches.push_back(value);
    return matches[draw(matches.size())];
  }

  void addElementwise();
  void addReduction();
  void addReshape();
  void addSlice();
  void addStridedSlice();
  void addMixedResults();
  void addProduct();
  void addFunction();

  std::mt19937_64 generator;
  int rows, columns;
  int counter = 0;
  std::vector<Value> values;
  std::string body;
};

} // namespace

void RandomBody::addElementwise() {
  Shape shape = draw(3) ? Full : static_cast<Shape>(draw(numShapes));
  int rank = shape == Full ? 2 : shape == Scalar ? 0 : 1;
  // Maps over the dims of the result: those of its own shape, or of none.
  const char *own[] = {"#empty", "#id", "#full"};
  const char *none[] = {"#empty", "#none", "#scalar"};
  std::string maps, names, types, arguments, iterators;
  int numInputs = 1 + draw(4);
  for (int i = 0; i < numInputs; ++i) {
    Value value = shape == Full ? pick() : pick(draw(2) ? shape : Scalar);
    maps += std::string(rank == 2               ? map(value.shape)
                        : value.shape == Scalar ? none[rank]
                                                : own[rank]) +
            ", ";
    names += (i ? ", " : "") + value.name;
    types += (i ? ", " : "") + type(value.shape);
    arguments += "%in" + std::to_string(i) + ": f32, ";
  }
  for (int i = 0; i < rank; ++i)
    iterators += std::string(i ? ", " : "") + "\"parallel\"";
  std::string result = fresh(), empty = fresh();
  body += empty + " = tensor.empty() : " + type(shape) + "\n" + result +
          " = linalg.generic {indexing_maps = [" + maps + own[rank] +
          "], iterator_types = [" + iterators + "]} ins(" + names + " : " +
          types + ") outs(" + empty + " : " + type(shape) + ") {\n^bb0(" +
          arguments + "%o: f32):\n";
  std::string last = "%in0";
  for (int i = 1, e = std::max(numInputs, 2) + draw(3); i < e; ++i) {
    const char *ops[] = {"addf", "mulf", "subf", "maximumf"};
    std::string next = "%y" + std::to_string(i);
    body += next + " = arith." + ops[draw(4)] + " " + last + ", %in" +
            std::to_string(i % numInputs) + " : f32\n";
    last = next;
  }
  if (rank > 0 && draw(4) == 0) {
    body += "%index = linalg.index " + std::to_string(draw(rank)) +
            " : index\n%integer = arith.index_cast %index : index to i32\n"
            "%float = arith.sitofp %integer : i32 to f32\n%scaled = "
            "arith.addf " +
            last + ", %float : f32\n";
    last = "%scaled";
  }
  // Keeps the numbers from growing.
  body += "%bound = arith.constant 2.0 : f32\n%low = arith.constant -2.0 : "
          "f32\n%a = arith.minimumf " +
          last +
          ", %bound : f32\n%b = arith.maximumf %a, %low : f32\nlinalg.yield "
          "%b : f32\n} -> " +
          type(shape) + "\n";
  values.push_back({result, shape});
}

void RandomBody::addReduction() {
  Value input = pick(Full);
  Shape shape = static_cast<Shape>(Row + draw(3));
  const char *iterators[] = {"\"reduction\", \"parallel\"",
                             "\"parallel\", \"reduction\"",
                             "\"reduction\", \"reduction\""};
  bool isMax = draw(3) == 0;
  std::string empty = fresh(), fill = fresh(), result = fresh();
  body += empty + " = tensor.empty() : " + type(shape) + "\n";
  std::string init = fill;
  if (draw(3) == 0)
    init = pick(shape).name;
  else
    body += fill + " = linalg.fill ins(%zero : f32) outs(" + empty + " : " +
            type(shape) + ") -> " + type(shape) + "\n";
  body += result + " = linalg.generic {indexing_maps = [#full, " + map(shape) +
          "], iterator_types = [" + iterators[shape - Row] + "]} ins(" +
          input.name + " : " + type(Full) + ") outs(" + init + " : " +
          type(shape) + ") {\n^bb0(%in: f32, %acc: f32):\n" +
          (isMax ? "%s = arith.maximumf %acc, %in : f32\n"
                 : "%p = arith.mulf %in, %in : f32\n%s = arith.addf %acc, %p : "
                   "f32\n") +
          "linalg.yield %s : f32\n} -> " + type(shape) + "\n";
  values.push_back({result, shape});
}

/// To one dim and back.
void RandomBody::addReshape() {
  Value input = pick(Full);
  std::string flat = fresh(), result = fresh();
  std::string size = "tensor<" + std::to_string(rows * columns) + "xf32>";
  body += flat + " = tensor.collapse_shape " + input.name +
          " [[0, 1]] : " + type(Full) + " into " + size + "\n" + result +
          " = tensor.expand_shape " + flat + " [[0, 1]] output_shape [" +
          std::to_string(rows) + ", " + std::to_string(columns) +
          "] : " + size + " into " + type(Full) + "\n";
  values.push_back({result, Full});
}

/// A part of one value over the same part of another.
void RandomBody::addSlice() {
  Value source = pick(Full), target = pick(Full);
  int height = 1 + draw(rows), width = 1 + draw(columns);
  int from = draw(columns - width + 1), to = draw(columns - width + 1);
  std::string part = fresh(), result = fresh();
  std::string sizes = " [" + std::to_string(height) + ", " +
                      std::to_string(width) + "] [1, 1] : ";
  std::string partType = "tensor<" + std::to_string(height) + "x" +
                         std::to_string(width) + "xf32>";
  body += part + " = tensor.extract_slice " + source.name + "[0, " +
          std::to_string(from) + "]" + sizes + type(Full) + " to " + partType +
          "\n" + result + " = tensor.insert_slice " + part + " into " +
          target.name + "[" + std::to_string(rows - height) + ", " +
          std::to_string(to) + "]" + sizes + partType + " into " + type(Full) +
          "\n";
  values.push_back({result, Full});
}

/// Every second column of one value over those of another, and a row that
/// drops its dim.
void RandomBody::addStridedSlice() {
  Value source = pick(Full), target = pick(Full);
  int width = (columns + 1) / 2, shift = columns % 2 ? 0 : draw(2);
  std::string sizes = "[0, " + std::to_string(shift) + "] [" +
                      std::to_string(rows) + ", " + std::to_string(width) +
                      "] [1, 2] : ";
  std::string partType =
      "tensor<" + std::to_string(rows) + "x" + std::to_string(width) + "xf32>";
  std::string part = fresh(), result = fresh(), row = fresh();
  body += part + " = tensor.extract_slice " + source.name + sizes + type(Full) +
          " to " + partType + "\n" + result + " = tensor.insert_slice " + part +
          " into " + target.name + sizes + partType + " into " + type(Full) +
          "\n" + row + " = tensor.extract_slice " + result + "[" +
          std::to_string(draw(rows)) + ", 0] [1, " + std::to_string(columns) +
          "] [1, 1] : " + type(Full) + " to " + type(Row) + "\n";
  values.push_back({result, Full});
  values.push_back({row, Row});
}

/// One op with a result per element and two folds.
void RandomBody::addMixedResults() {
  Value input = pick(Full), other = pick();
  Shape shape = static_cast<Shape>(Row + draw(3));
  const char *iterators[] = {"\"reduction\", \"parallel\"",
                             "\"parallel\", \"reduction\"",
                             "\"reduction\", \"reduction\""};
  const char *combiners[] = {"maximumf", "minimumf", "addf", "maxnumf"};
  std::string empty = fresh(), zeros = fresh(), result = fresh();
  std::string folded = type(shape);
  body += empty + " = tensor.empty() : " + type(Full) + "\n" + zeros +
          " = arith.constant dense<0.25> : " + folded + "\n" + result +
          ":3 = linalg.generic {indexing_maps = [#full, " + map(other.shape) +
          ", #full, " + map(shape) + ", " + map(shape) +
          "], iterator_types = [" + iterators[shape - Row] + "]} ins(" +
          input.name + ", " + other.name + " : " + type(Full) + ", " +
          type(other.shape) + ") outs(" + empty + ", " + zeros + ", " +
          pick(shape).name + " : " + type(Full) + ", " + folded + ", " +
          folded +
          ") {\n^bb0(%x: f32, %y: f32, %o: f32, %s: f32, %t: f32):\n"
          "%d = arith.subf %x, %y : f32\n%q = arith.mulf %d, %y : f32\n"
          "%u = arith.addf %q, %s : f32\n%v = arith." +
          combiners[draw(4)] +
          " %t, %d : f32\nlinalg.yield %d, %u, %v : f32, f32, f32\n} -> (" +
          type(Full) + ", " + folded + ", " + folded + ")\n";
  values.push_back({result + "#0", Full});
  values.push_back({result + "#1", shape});
  values.push_back({result + "#2", shape});
}

/// A matrix and a vector.
void RandomBody::addProduct() {
  bool isTransposed = draw(2);
  Shape factor = isTransposed ? Column : Row,
        shape = isTransposed ? Row : Column;
  std::string empty = fresh(), fill = fresh(), result = fresh();
  std::string init = draw(2) ? fill : pick(shape).name;
  body += empty + " = tensor.empty() : " + type(shape) + "\n" + fill +
          " = linalg.fill ins(%zero : f32) outs(" + empty + " : " +
          type(shape) + ") -> " + type(shape) + "\n" + result +
          " = linalg.contract indexing_maps = [#full, " + map(factor) + ", " +
          map(shape) + "] ins(" + pick(Full).name + ", " + pick(factor).name +
          " : " + type(Full) + ", " + type(factor) + ") outs(" + init + " : " +
          type(shape) + ") -> " + type(shape) + "\n";
  values.push_back({result, shape});
}

/// An op on tensors: functions with a polynomial, exact ones, and libm's.
void RandomBody::addFunction() {
  const char *functions[] = {"exp",  "tanh", "absf",  "sin",  "erf",
                             "exp2", "cos",  "floor", "cbrt", "atan"};
  Value input = pick();
  std::string result = fresh(), zero = fresh(), mask = fresh(), kept = fresh();
  std::string t = type(input.shape);
  body += result + " = math." + functions[draw(10)] + " " + input.name + " : " +
          t + "\n" + zero + " = arith.constant dense<0.5> : " + t + "\n" +
          mask + " = arith.cmpf olt, " + result + ", " + zero + " : " + t +
          "\n" + kept + " = arith.select " + mask + ", " + result + ", " +
          pick(input.shape).name + " : " + "tensor<" +
          t.substr(7, t.size() - 7 - 4) + "i1>, " + t + "\n";
  values.push_back({kept, input.shape});
}

std::string RandomBody::make(int numOps, bool isUpdate) {
  std::vector<Shape> inputs =
      isUpdate
          ? std::vector<Shape>{Full, Full, Full, Full, Scalar, Scalar, Scalar}
          : std::vector<Shape>{Full, Full, Row, Column, Scalar};
  for (size_t i = 0; i < inputs.size(); ++i)
    values.push_back({"%a" + std::to_string(i), inputs[i]});
  if (isUpdate) { // every shape has a value
    body += "%row = arith.constant dense<0.5> : " + type(Row) +
            "\n%column = arith.constant dense<-0.5> : " + type(Column) + "\n";
    values.push_back({"%row", Row});
    values.push_back({"%column", Column});
  }
  body += "%zero = arith.constant 0.0 : f32\n";
  for (int i = 0; i < numOps; ++i) {
    int kind = draw(14);
    if (kind < 6)
      addElementwise();
    else if (kind < 8)
      addReduction();
    else if (kind < 9)
      addReshape();
    else if (kind < 10)
      addSlice();
    else if (kind < 11)
      addStridedSlice();
    else if (kind < 12)
      addMixedResults();
    else if (kind < 13)
      addProduct();
    else
      addFunction();
  }
  std::string maps = R"(
#full = affine_map<(i, j) -> (i, j)>
#row = affine_map<(i, j) -> (j)>
#column = affine_map<(i, j) -> (i)>
#scalar = affine_map<(i, j) -> ()>
#id = affine_map<(i) -> (i)>
#none = affine_map<(i) -> ()>
#empty = affine_map<() -> ()>
)";
  if (isUpdate) {
    std::string outputs;
    for (int i = 0; i < 3; ++i)
      outputs += (i ? ", " : "") + pick(Full).name;
    std::string full = type(Full), arguments;
    for (size_t i = 0; i < inputs.size(); ++i)
      arguments +=
          (i ? ", %a" : "%a") + std::to_string(i) + ": " + type(inputs[i]);
    return maps + "weir.variable @w <constant, 0.0> : " + full +
           "\nweir.pipeline @p stages 1 () {\nweir.update @w uses 1 states "
           "[\"m\", \"v\"] (" +
           arguments + ") {\n" + body + "weir.yield " + outputs + " : " + full +
           ", " + full + ", " + full + "\n}\n}\n";
  }
  // Some outputs, some members of a bundle; values may be in both.
  std::string outputs, outputTypes, members, memberTypes;
  for (int i = 0, e = 1 + draw(4); i < e; ++i) {
    Value value =
        values[values.size() - 1 - draw(std::min<int>(values.size(), 6))];
    outputs += value.name + ", ";
    outputTypes += type(value.shape) + ", ";
  }
  for (int i = 0, e = 1 + draw(4); i < e; ++i) {
    Value value = pick();
    members += (i ? ", " : "") + value.name;
    memberTypes += (i ? ", " : "") + type(value.shape);
  }
  std::string bundle = "!weir.bundle<" + memberTypes + ">";
  std::vector<std::string> types;
  for (Shape shape : inputs)
    types.push_back(type(shape));
  return maps +
         makeForward(types, outputTypes + bundle,
                     body + "%bundle = weir.pack " + members + " : (" +
                         memberTypes + ") -> " + bundle + "\nweir.yield " +
                         outputs + "%bundle : " + outputTypes + bundle);
}

TEST(RandomPass, EqualsInterpreter) {
  const int sizes[][2] = {{3, 5}, {5, 33}, {16, 16}, {17, 3}, {1, 20}, {7, 1}};
  for (uint64_t seed = 0; seed < 90; ++seed) {
    const int *size = sizes[seed % 6];
    bool isUpdate = seed % 3 == 2;
    std::string text =
        RandomBody(seed, size[0], size[1]).make(2 + seed % 14, isUpdate);
    std::string difference = compareWithInterpreter(text);
    ASSERT_EQ(difference, "") << "seed " << seed << "\n" << text;
  }
}
