//===- ModelText.h - write a model as readable text -------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_TOOLS_WEIRMODEL_MODELTEXT_H
#define WEIR_TOOLS_WEIRMODEL_MODELTEXT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <map>
#include <string>

namespace weir::model {

using Shape = llvm::SmallVector<int64_t, 4>;

/// A named tensor of the text.
struct Value {
  std::string name;
  Shape shape;
  std::string element;

  /// `tensor<2x3xf32>`
  std::string type() const;
};

/// How a variable starts: see `weir.variable`.
struct Init {
  enum Kind { Constant, Normal } kind;
  double value;
};

/// How far a loop goes that no operand has.
struct LoopSize {
  char loop;
  int64_t size;
};

/// Writes one model function op by op. Index patterns are einsum strings with
/// one letter per loop: "bte,e->bte" reads an operand by (b, t, e), another by
/// (e), and writes by (b, t, e). Loops are ordered as in the result, then as in
/// the operands; those that the result lacks are reductions.
class ModelText {
public:
  /// `element` is the float type of variables and activations: f32 or f64.
  ModelText(llvm::StringRef function, llvm::StringRef element)
      : function(function), element(element), body(bodyText) {}

  /// Declares a variable; matrices decay, vectors do not.
  void variable(llvm::StringRef name, llvm::ArrayRef<int64_t> shape, Init init);
  /// Reads a variable where it is used.
  Value read(llvm::StringRef variable);
  /// Adds an argument of type i32 that the runtime loads as `input`.
  Value argument(llvm::StringRef input, llvm::ArrayRef<int64_t> shape);

  /// Says below what number labels are, where no table of embeddings does.
  void classes(int64_t count);

  /// Starts a part of the model with a comment; names of the values that follow
  /// begin with `prefix`.
  void section(llvm::StringRef comment, llvm::StringRef prefix);
  /// Marks the next product or structured op as the first one of a layer, where
  /// a model can be cut by counting layers.
  void beginLayer(int64_t number);
  /// Puts a comment before the next op.
  void comment(llvm::StringRef text);

  /// A product of two tensors, summed over the letters that the result lacks.
  Value contract(llvm::StringRef name, llvm::StringRef pattern, Value a,
                 Value b);

  /// An elementwise op. `code` is its body, one scalar op per line, that names
  /// the element of operand i `%` + `arguments[i]`, loops by `linalg.index`,
  /// the float type `$f`, and ends in a `linalg.yield`. `extraLoops` are those
  /// of the result that no operand has.
  Value elementwise(llvm::StringRef name, llvm::StringRef pattern,
                    llvm::ArrayRef<Value> operands,
                    llvm::ArrayRef<llvm::StringRef> arguments,
                    llvm::StringRef code,
                    llvm::ArrayRef<LoopSize> extraLoops = {});
  /// The same with reductions. `code` names the running value `%acc`; it starts
  /// from `%zero` or from `%lowest`. `attributes` is text like
  /// "weir.stop_gradient".
  Value reduce(llvm::StringRef name, llvm::StringRef pattern,
               llvm::ArrayRef<Value> operands,
               llvm::ArrayRef<llvm::StringRef> arguments, llvm::StringRef code,
               llvm::StringRef start = "zero", llvm::StringRef attributes = "",
               llvm::ArrayRef<LoopSize> extraLoops = {});

  /// Rows of `table` (V x C) at `indices`, which ends in a dimension of 1.
  Value gather(llvm::StringRef name, Value table, Value indices);
  /// `groups` says which result dimensions each operand dimension becomes.
  Value expandShape(llvm::StringRef name, Value source, llvm::StringRef groups,
                    llvm::ArrayRef<int64_t> shape);
  /// `groups` says which operand dimensions each result dimension is made of.
  Value collapseShape(llvm::StringRef name, Value source,
                      llvm::StringRef groups, llvm::ArrayRef<int64_t> shape);
  /// The elements of `source` from `offsets` on, `sizes` many; `shape` is
  /// `sizes` with as many of the ones as the result shall have.
  Value slice(llvm::StringRef name, Value source,
              llvm::ArrayRef<int64_t> offsets, llvm::ArrayRef<int64_t> sizes,
              llvm::ArrayRef<int64_t> shape);
  /// Zeros of shape `shape` with `part` at `offsets`.
  Value placeInZeros(llvm::StringRef name, Value part,
                     llvm::ArrayRef<int64_t> offsets,
                     llvm::ArrayRef<int64_t> shape);
  /// A vector of constants, in f64 whatever the element type is.
  Value numbers(llvm::StringRef name, llvm::ArrayRef<double> values);

  /// Any other op with one result, of the type that `code` ends in: the text
  /// after `=`, where `$f` stands for the float type.
  Value write(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
              llvm::StringRef code);

  /// Ends the function and writes the module.
  void finish(llvm::raw_ostream &os, llvm::StringRef headline, Value loss,
              Value count);

private:
  Value define(llvm::StringRef name, llvm::ArrayRef<int64_t> shape,
               llvm::StringRef elementType);
  Value generic(llvm::StringRef name, llvm::StringRef pattern,
                llvm::ArrayRef<Value> operands,
                llvm::ArrayRef<llvm::StringRef> arguments, llvm::StringRef code,
                llvm::StringRef start, llvm::StringRef attributes,
                llvm::ArrayRef<LoopSize> extraLoops);
  /// The mark of the layer that begins, once; empty otherwise.
  std::string takeLayerMark();
  /// `code` with the float type for `$f`.
  std::string withElement(llvm::StringRef code) const;
  std::string startFrom(const Value &result, llvm::StringRef start);
  /// `#bte_te` for the map from loops (b, t, e) to (t, e); declares it.
  std::string map(llvm::StringRef loops, llvm::StringRef dims);

  std::string function, element, prefix, layerMark;
  std::string variablesText, argumentsText, attributesText, bodyText;
  llvm::raw_string_ostream body;
  std::map<std::string, std::string> maps;
  llvm::StringMap<Shape> variables;
  llvm::StringMap<int64_t> reads;
};

} // namespace weir::model

#endif // WEIR_TOOLS_WEIRMODEL_MODELTEXT_H
