//===- weir-model.cpp - write a model as MLIR text ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Models.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace llvm;
using namespace weir::model;

static constexpr StringLiteral usage =
    R"(usage: weir-model mlp|gpt --layers=N --hidden=N --context=N --vocab=N --batch=N
                  [--heads=N] [--tied] [--element-type=f32|f64] [-o FILE]

Writes one microbatch of a model as MLIR.

  gpt               a transformer as GPT-2 (needs --heads)
  mlp               a perceptron on rows of tokens that predicts the last label
  --layers=N        transformer or hidden layers
  --hidden=N        size of embedding and hidden layers
  --heads=N         attention heads; must divide --hidden
  --context=N       tokens in a sequence
  --vocab=N         tokens in the vocabulary
  --batch=N         sequences in a microbatch
  --tied            use the token embedding as the weight of the head
  --element-type=T  f32 (default) or f64
  -o FILE           write to FILE instead of standard output
)";

/// Sizes beyond this are typing mistakes, and their products would overflow.
static constexpr int64_t largestSize = 1 << 24;

static int fail(const Twine &message) {
  errs() << "error: " << message << "\n";
  return 1;
}

int main(int argc, char **argv) {
  Sizes sizes;
  std::string kind, output = "-";
  struct Number {
    StringRef option;
    int64_t *value;
  };
  const Number numbers[] = {
      {"layers", &sizes.layers}, {"hidden", &sizes.hidden},
      {"heads", &sizes.heads},   {"context", &sizes.context},
      {"vocab", &sizes.vocab},   {"batch", &sizes.batch},
  };

  for (int i = 1; i < argc; ++i) {
    StringRef argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      outs() << usage;
      return 0;
    }
    if (argument == "-o") {
      if (++i == argc)
        return fail("-o needs a file name");
      output = argv[i];
      continue;
    }
    if (!argument.starts_with("--")) {
      if (argument.starts_with("-"))
        return fail("unknown option '" + argument + "'; see --help");
      if (!kind.empty())
        return fail("one model at a time: '" + kind + "' and '" + argument +
                    "'");
      kind = argument.str();
      continue;
    }
    if (argument == "--tied") {
      sizes.tied = true;
      continue;
    }
    auto [name, value] = argument.drop_front(2).split('=');
    if (name == "tied")
      return fail("--tied takes no value");
    // `--layers 2` is as good as `--layers=2`.
    if (!argument.contains('=') && i + 1 < argc)
      value = argv[++i];
    if (name == "element-type") {
      if (value != "f32" && value != "f64")
        return fail("--element-type must be f32 or f64, got '" + value + "'");
      sizes.element = value.str();
      continue;
    }
    const Number *number = llvm::find_if(
        numbers, [&](const Number &n) { return n.option == name; });
    if (number == std::end(numbers))
      return fail("unknown option '--" + name + "'; see --help");
    if (value.getAsInteger(10, *number->value) || *number->value <= 0 ||
        *number->value > largestSize)
      return fail("--" + name + " must be a whole number from 1 to " +
                  Twine(largestSize) + ", got '" + value + "'");
  }

  if (kind.empty())
    return fail("which model? give mlp or gpt; see --help");
  if (kind != "mlp" && kind != "gpt")
    return fail("unknown model '" + kind + "'; known are mlp and gpt");
  for (const Number &number : numbers)
    if (*number.value == 0 && !(kind == "mlp" && number.option == "heads"))
      return fail(kind + " needs --" + number.option);
  if (kind == "gpt" && sizes.hidden % sizes.heads != 0)
    return fail("--heads=" + Twine(sizes.heads) +
                " must divide --hidden=" + Twine(sizes.hidden));

  std::error_code error;
  ToolOutputFile file(output, error, sys::fs::OF_Text);
  if (error)
    return fail("cannot write '" + output + "': " + error.message());
  (kind == "gpt" ? writeGpt : writeMlp)(file.os(), sizes);
  file.os().flush();
  if (file.os().has_error()) {
    std::string reason = file.os().error().message();
    file.os().clear_error();
    return fail("cannot write " +
                (output == "-" ? "to standard output" : "'" + output + "'") +
                ": " + reason);
  }
  file.keep();
  return 0;
}
