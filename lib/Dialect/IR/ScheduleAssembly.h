//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Assembly of scheduling problems: numbers behind a word, each of them
// optional, in the fewest digits that give them back.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_LIB_DIALECT_IR_SCHEDULEASSEMBLY_H
#define WEIR_LIB_DIALECT_IR_SCHEDULEASSEMBLY_H

#include "weir/Dialect/IR/WeirDialect.h"

namespace weir {

/// Parses `word number` for each of `words`, in their order, as far as they are
/// there.
mlir::ParseResult parseNumbers(mlir::OpAsmParser &parser,
                               llvm::ArrayRef<llvm::StringRef> words,
                               llvm::ArrayRef<mlir::FloatAttr *> numbers);
/// Each with a space before it.
void printNumbers(mlir::OpAsmPrinter &printer,
                  llvm::ArrayRef<llvm::StringRef> words,
                  llvm::ArrayRef<mlir::FloatAttr> numbers);

mlir::ParseResult parseInteger(mlir::OpAsmParser &parser,
                               mlir::IntegerAttr &integer);

/// `4 latency 0.1 bandwidth 8.0`
inline mlir::ParseResult parseNumberAndLink(mlir::OpAsmParser &parser,
                                            mlir::IntegerAttr &number,
                                            mlir::FloatAttr &latency,
                                            mlir::FloatAttr &bandwidth) {
  return mlir::failure(
      parseInteger(parser, number) ||
      parseNumbers(parser, {"latency", "bandwidth"}, {&latency, &bandwidth}));
}
inline void printNumberAndLink(mlir::OpAsmPrinter &printer, mlir::Operation *,
                               mlir::IntegerAttr number,
                               mlir::FloatAttr latency,
                               mlir::FloatAttr bandwidth) {
  printer << number.getInt();
  printNumbers(printer, {"latency", "bandwidth"}, {latency, bandwidth});
}

/// `"v-half" makespan 21.0 span 18.0 bound 20.0`
inline mlir::ParseResult parseNameAndTotals(mlir::OpAsmParser &parser,
                                            mlir::StringAttr &name,
                                            mlir::FloatAttr &makespan,
                                            mlir::FloatAttr &span,
                                            mlir::FloatAttr &bound) {
  return mlir::failure(parser.parseAttribute(name) ||
                       parseNumbers(parser, {"makespan", "span", "bound"},
                                    {&makespan, &span, &bound}));
}
inline void printNameAndTotals(mlir::OpAsmPrinter &printer, mlir::Operation *,
                               mlir::StringAttr name, mlir::FloatAttr makespan,
                               mlir::FloatAttr span, mlir::FloatAttr bound) {
  printer << name;
  printNumbers(printer, {"makespan", "span", "bound"}, {makespan, span, bound});
}

/// `0 microbatch 3 at 0.0 to 1.0`
mlir::ParseResult parseStageAndTimes(mlir::OpAsmParser &parser,
                                     mlir::IntegerAttr &stage,
                                     mlir::IntegerAttr &microbatch,
                                     mlir::FloatAttr &start,
                                     mlir::FloatAttr &end);
void printStageAndTimes(mlir::OpAsmPrinter &printer, mlir::Operation *,
                        mlir::IntegerAttr stage, mlir::IntegerAttr microbatch,
                        mlir::FloatAttr start, mlir::FloatAttr end);

/// `0 forward 1.0 backward_input 1.5`
mlir::ParseResult
parseDeviceAndDurations(mlir::OpAsmParser &parser, mlir::IntegerAttr &device,
                        mlir::FloatAttr &forward, mlir::FloatAttr &recompute,
                        mlir::FloatAttr &backwardInput,
                        mlir::FloatAttr &backwardWeight,
                        mlir::FloatAttr &backward, mlir::FloatAttr &update,
                        mlir::FloatAttr &gradientReduction);
void printDeviceAndDurations(mlir::OpAsmPrinter &printer, mlir::Operation *,
                             mlir::IntegerAttr device, mlir::FloatAttr forward,
                             mlir::FloatAttr recompute,
                             mlir::FloatAttr backwardInput,
                             mlir::FloatAttr backwardWeight,
                             mlir::FloatAttr backward, mlir::FloatAttr update,
                             mlir::FloatAttr gradientReduction);

/// The word for a kind of pass.
mlir::ParseResult parsePassName(mlir::OpAsmParser &parser, PassKindAttr &kind);
void printPassName(mlir::OpAsmPrinter &printer, mlir::Operation *,
                   PassKindAttr kind);

} // namespace weir

#endif // WEIR_LIB_DIALECT_IR_SCHEDULEASSEMBLY_H
