//===- ModelText.cpp - write a model as readable text ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelText.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <utility>

using namespace llvm;
using namespace weir::model;

static std::string tensorType(ArrayRef<int64_t> shape, StringRef element) {
  std::string text;
  raw_string_ostream os(text);
  os << "tensor<";
  for (int64_t size : shape)
    os << size << "x";
  os << element << ">";
  return text;
}

std::string Value::type() const { return tensorType(shape, element); }

//===----------------------------------------------------------------------===//
// Index patterns
//===----------------------------------------------------------------------===//

namespace {
/// "bte,e->bte" taken apart.
struct Pattern {
  SmallVector<StringRef> operands;
  StringRef result;
  std::string loops;

  explicit Pattern(StringRef text) {
    auto [left, right] = text.split("->");
    left.split(operands, ',');
    result = right;
    addLoops(result);
    for (StringRef dims : operands)
      addLoops(dims);
  }

  void addLoops(StringRef dims) {
    for (char loop : dims)
      if (!StringRef(loops).contains(loop))
        loops.push_back(loop);
  }

  Shape resultShape(ArrayRef<Value> values,
                    ArrayRef<LoopSize> extraLoops = {}) const {
    Shape shape;
    for (char loop : result)
      shape.push_back(loopSize(loop, values, extraLoops));
    return shape;
  }

private:
  int64_t loopSize(char loop, ArrayRef<Value> values,
                   ArrayRef<LoopSize> extraLoops) const {
    for (auto [dims, value] : zip_equal(operands, values))
      if (size_t at = dims.find(loop); at != StringRef::npos)
        return value.shape[at];
    return find_if(extraLoops,
                   [&](const LoopSize &l) { return l.loop == loop; })
        ->size;
  }
};
} // namespace

static std::string dimList(StringRef dims) {
  std::string text;
  raw_string_ostream os(text);
  os << "(";
  interleaveComma(dims, os);
  os << ")";
  return text;
}

std::string ModelText::map(StringRef loops, StringRef dims) {
  std::string name = ("#" + loops + "_" + (dims.empty() ? "0" : dims)).str();
  maps[name] = "affine_map<" + dimList(loops) + " -> " + dimList(dims) + ">";
  return name;
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

Value ModelText::define(StringRef name, ArrayRef<int64_t> shape,
                        StringRef elementType) {
  return Value{("%" + prefix + name).str(), Shape(shape), elementType.str()};
}

void ModelText::variable(StringRef name, ArrayRef<int64_t> shape, Init init) {
  variables[name] = Shape(shape);
  raw_string_ostream os(variablesText);
  os << "  weir.variable @" << name << " <"
     << (init.kind == Init::Normal ? "normal" : "constant") << ", "
     << formatv("{0:e6}", init.value) << ">"
     << (shape.size() > 1 ? " decay" : "") << " : "
     << tensorType(shape, element) << "\n";
}

Value ModelText::read(StringRef variable) {
  std::string name = variable.str();
  // A second read of a tied variable needs a name of its own.
  int64_t again = reads[name]++;
  std::string valueName = "%" + name;
  llvm::replace(valueName, '.', '_');
  if (again)
    valueName += "_" + std::to_string(again);
  Value value{valueName, variables[name], element};
  body << "    " << value.name << " = weir.read @" << name << " : "
       << value.type() << "\n";
  return value;
}

Value ModelText::argument(StringRef input, ArrayRef<int64_t> shape) {
  Value value{("%" + input).str(), Shape(shape), "i32"};
  if (!argumentsText.empty())
    argumentsText += ",\n      ";
  argumentsText += formatv("{0}: {1} {{weir.input = \"{2}\"}", value.name,
                           value.type(), input)
                       .str();
  return value;
}

void ModelText::classes(int64_t count) {
  attributesText = formatv(", weir.classes = {0} : i64", count).str();
}

void ModelText::section(StringRef text, StringRef newPrefix) {
  prefix = newPrefix.str();
  body << "\n    // " << text << "\n";
}

void ModelText::beginLayer(int64_t number) {
  layerMark = formatv("weir.layer = {0} : i64", number);
}

std::string ModelText::takeLayerMark() { return std::exchange(layerMark, ""); }

void ModelText::comment(StringRef text) { body << "    // " << text << "\n"; }

std::string ModelText::withElement(StringRef code) const {
  std::string text;
  for (size_t at; (at = code.find("$f")) != StringRef::npos;) {
    text += code.take_front(at).str() + element;
    code = code.drop_front(at + 2);
  }
  return text + code.str();
}

/// Writes what `result` is written over: the scalar `start` in every element,
/// or anything if there is none.
std::string ModelText::startFrom(const Value &result, StringRef start) {
  std::string init = result.name + "_empty";
  body << "    " << init << " = tensor.empty() : " << result.type() << "\n";
  if (start.empty())
    return init;
  body << "    " << result.name << "_start = linalg.fill ins(%" << start
       << " : " << element << ") outs(" << init << " : " << result.type()
       << ") -> " << result.type() << "\n";
  return result.name + "_start";
}

Value ModelText::contract(StringRef name, StringRef pattern, Value a, Value b) {
  Pattern parts(pattern);
  Value result = define(name, parts.resultShape({a, b}), element);
  startFrom(result, "zero");
  body << "    " << result.name << " = linalg.contract indexing_maps = ["
       << map(parts.loops, parts.operands[0]) << ", "
       << map(parts.loops, parts.operands[1]) << ", "
       << map(parts.loops, parts.result) << "]";
  if (std::string mark = takeLayerMark(); !mark.empty())
    body << " {" << mark << "}";
  body << "\n        ins(" << a.name << ", " << b.name << " : " << a.type()
       << ", " << b.type() << ") outs(" << result.name
       << "_start : " << result.type() << ") -> " << result.type() << "\n";
  return result;
}

Value ModelText::generic(StringRef name, StringRef pattern,
                         ArrayRef<Value> operands,
                         ArrayRef<StringRef> arguments, StringRef code,
                         StringRef start, StringRef attributes,
                         ArrayRef<LoopSize> extraLoops) {
  Pattern parts(pattern);
  Value result = define(name, parts.resultShape(operands, extraLoops), element);
  std::string init = startFrom(result, start);

  body << "    " << result.name << " = linalg.generic {\n        "
       << "indexing_maps = [";
  for (StringRef dims : parts.operands)
    body << map(parts.loops, dims) << ", ";
  body << map(parts.loops, parts.result) << "],\n        iterator_types = [";
  interleaveComma(parts.loops, body, [&](char loop) {
    body << (parts.result.contains(loop) ? "\"parallel\"" : "\"reduction\"");
  });
  body << "]}\n        ins(";
  interleaveComma(operands, body, [&](const Value &v) { body << v.name; });
  body << " : ";
  interleaveComma(operands, body, [&](const Value &v) { body << v.type(); });
  body << ") outs(" << init << " : " << result.type() << ")";
  std::string marks = takeLayerMark();
  if (!attributes.empty())
    marks += (marks.empty() ? "" : ", ") + attributes.str();
  if (!marks.empty())
    body << "\n        attrs = {" << marks << "}";
  body << " {\n    ^bb0(";
  for (auto [argument, operand] : zip_equal(arguments, operands))
    body << "%" << argument << ": " << operand.element << ", ";
  body << "%" << (start.empty() ? "out" : "acc") << ": " << element << "):\n";
  SmallVector<StringRef> lines;
  code.split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (StringRef line : lines)
    if (line = line.trim(); !line.empty()) {
      body << "      " << withElement(line) << "\n";
    }
  body << "    } -> " << result.type() << "\n";
  return result;
}

Value ModelText::elementwise(StringRef name, StringRef pattern,
                             ArrayRef<Value> operands,
                             ArrayRef<StringRef> arguments, StringRef code,
                             ArrayRef<LoopSize> extraLoops) {
  return generic(name, pattern, operands, arguments, code, "", "", extraLoops);
}

Value ModelText::reduce(StringRef name, StringRef pattern,
                        ArrayRef<Value> operands, ArrayRef<StringRef> arguments,
                        StringRef code, StringRef start, StringRef attributes,
                        ArrayRef<LoopSize> extraLoops) {
  return generic(name, pattern, operands, arguments, code, start, attributes,
                 extraLoops);
}

Value ModelText::gather(StringRef name, Value table, Value indices) {
  Shape shape(ArrayRef<int64_t>(indices.shape).drop_back());
  shape.push_back(table.shape.back());
  Value result = define(name, shape, table.element);
  body << "    " << result.name << " = tensor.gather " << table.name << "["
       << indices.name << "] gather_dims([0])\n        : (" << table.type()
       << ", " << indices.type() << ") -> " << result.type() << "\n";
  return result;
}

Value ModelText::expandShape(StringRef name, Value source, StringRef groups,
                             ArrayRef<int64_t> shape) {
  Value result = define(name, shape, source.element);
  body << "    " << result.name << " = tensor.expand_shape " << source.name
       << " " << groups << " output_shape [";
  interleaveComma(shape, body);
  body << "]\n        : " << source.type() << " into " << result.type() << "\n";
  return result;
}

Value ModelText::collapseShape(StringRef name, Value source, StringRef groups,
                               ArrayRef<int64_t> shape) {
  Value result = define(name, shape, source.element);
  body << "    " << result.name << " = tensor.collapse_shape " << source.name
       << " " << groups << "\n        : " << source.type() << " into "
       << result.type() << "\n";
  return result;
}

/// "[0, 1] [2, 3] [1, 1]"
static std::string sliceBounds(ArrayRef<int64_t> offsets,
                               ArrayRef<int64_t> sizes) {
  std::string text;
  raw_string_ostream os(text);
  os << "[";
  interleaveComma(offsets, os);
  os << "] [";
  interleaveComma(sizes, os);
  os << "] [";
  interleaveComma(SmallVector<int64_t>(sizes.size(), 1), os);
  os << "]";
  return text;
}

Value ModelText::slice(StringRef name, Value source, ArrayRef<int64_t> offsets,
                       ArrayRef<int64_t> sizes, ArrayRef<int64_t> shape) {
  Value result = define(name, shape, source.element);
  body << "    " << result.name << " = tensor.extract_slice " << source.name
       << sliceBounds(offsets, sizes) << "\n        : " << source.type()
       << " to " << result.type() << "\n";
  return result;
}

Value ModelText::placeInZeros(StringRef name, Value part,
                              ArrayRef<int64_t> offsets,
                              ArrayRef<int64_t> shape) {
  Value result = define(name, shape, part.element);
  startFrom(result, "zero");
  body << "    " << result.name << " = tensor.insert_slice " << part.name
       << " into " << result.name << "_start"
       << sliceBounds(offsets, part.shape) << "\n        : " << part.type()
       << " into " << result.type() << "\n";
  return result;
}

Value ModelText::numbers(StringRef name, ArrayRef<double> values) {
  Value result = define(name, {static_cast<int64_t>(values.size())}, "f64");
  body << "    " << result.name << " = arith.constant dense<[";
  interleaveComma(values, body,
                  [&](double value) { body << formatv("{0:e17}", value); });
  body << "]> : " << result.type() << "\n";
  return result;
}

Value ModelText::write(StringRef name, ArrayRef<int64_t> shape,
                       StringRef code) {
  Value result = define(name, shape, element);
  body << "    " << result.name << " = " << withElement(code) << "\n";
  return result;
}

void ModelText::finish(raw_ostream &os, StringRef headline, Value loss,
                       Value count) {
  body << "    return " << loss.name << ", " << count.name << " : "
       << loss.type() << ", " << count.type() << "\n";
  SmallVector<StringRef> lines;
  headline.split(lines, '\n');
  for (StringRef line : lines)
    os << "// " << line << "\n";
  os << "\n";
  for (const auto &[name, text] : maps)
    os << name << " = " << text << "\n";
  os << "\nmodule {\n" << variablesText << "\n";
  os << "  func.func @" << function << "(\n      " << argumentsText
     << ")\n      -> (" << loss.type() << ", " << count.type()
     << ") attributes {weir.model" << attributesText << "} {\n";
  os << "    %zero = arith.constant 0.0 : " << element << "\n"
     << "    %lowest = arith.constant "
     << (element == "f64" ? "-1.0e300" : "-3.0e38") << " : " << element << "\n";
  os << bodyText << "  }\n}\n";
}
