//===- weir-model.cpp - write a model as MLIR text ------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Models.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/ToolOutputFile.h"

#include <vector>

using namespace llvm;
using namespace weir::model;

static constexpr StringLiteral usage =
    R"(usage: weir-model MODEL --OPTION=N ... [-o FILE]

Writes one microbatch of a model as MLIR. The models, and the options of each
beside those of all:

  gpt    a transformer as GPT-2
         --heads --context --vocab [--tied]
  llama  LLaMA (arXiv 2302.13971): RMSNorm, rotary positions, SwiGLU, heads that
         may share keys and values (GQA, arXiv 2305.13245)
         --heads --context --vocab [--kv-heads] [--intermediate] [--rope-base]
         [--tied]
  moe    LLaMA with a mixture of experts in place of each MLP; all experts are
         computed and weighted by a softmax (Jacobs et al., 1991), of which the
         largest weights may be kept alone (Switch, arXiv 2101.03961)
         as llama, and --experts [--top-k]
  vit    Vision Transformer (arXiv 2010.11929)
         --heads --image --patch --classes [--channels] [--intermediate]
         [--pool]
  mixer  MLP-Mixer (arXiv 2105.01601)
         --image --patch --classes [--channels] [--intermediate]
         [--token-intermediate]
  mlp    a perceptron on rows of tokens that predicts the last label
         --context --vocab [--tied]

All models:
  --layers=N        layers
  --hidden=N        size of embedding and layers
  --batch=N         sequences or images in a microbatch
  --element-type=T  f32 (default) or f64
  -o FILE           write to FILE instead of standard output

Layers:
  --heads=N         attention heads; must divide --hidden
  --kv-heads=N      heads of keys and values; must divide --heads (default: as
                    many)
  --intermediate=N  width of the MLP, or of each expert (default: 4 times
                    --hidden; llama and moe: 8/3 times, rounded up to 256s)
  --token-intermediate=N
                    width of the MLP across tokens (default: half of --hidden)
  --experts=N       experts in a layer
  --top-k=N         experts that count for a token (default: all)

Text:
  --context=N       tokens in a sequence
  --vocab=N         tokens in the vocabulary
  --rope-base=N     base of the wavelengths of rotary positions (default: 10000)
  --tied            use the token embedding as the weight of the head

Images, which programs read as records of CIFAR's binary format:
  --image=N         height and width in pixels
  --patch=N         height and width of a patch; must divide --image
  --channels=N      channels (default: 3)
  --classes=N       classes
  --pool=P          classify by a class token (token, the default) or by the mean
                    over the patches (mean)

For example:
  weir-model gpt --layers=8 --hidden=128 --heads=4 --context=64 --vocab=256 --batch=4
  weir-model llama --layers=8 --hidden=128 --heads=8 --kv-heads=2 --context=64 --vocab=256 --batch=4
  weir-model moe --layers=4 --hidden=128 --heads=4 --experts=8 --top-k=2 --context=64 --vocab=256 --batch=4
  weir-model vit --layers=6 --hidden=192 --heads=3 --image=32 --patch=4 --classes=10 --batch=16
  weir-model mixer --layers=8 --hidden=128 --image=32 --patch=4 --classes=10 --batch=16
  weir-model mlp --layers=4 --hidden=128 --context=8 --vocab=256 --batch=16
)";

namespace {
/// A model and its options, without those that all have.
struct Model {
  StringRef name;
  void (*write)(raw_ostream &, const Sizes &);
  std::vector<StringRef> required, optional;

  bool has(StringRef option) const {
    return is_contained(required, option) || is_contained(optional, option);
  }
};

/// An option with a number.
struct Number {
  StringRef option;
  int64_t *value;
};
} // namespace

static const std::vector<Model> &models() {
  static const std::vector<Model> all = {
      {"gpt", writeGpt, {"heads", "context", "vocab"}, {"tied"}},
      {"llama",
       writeLlama,
       {"heads", "context", "vocab"},
       {"kv-heads", "intermediate", "rope-base", "tied"}},
      {"moe",
       writeMoe,
       {"heads", "experts", "context", "vocab"},
       {"kv-heads", "intermediate", "rope-base", "tied", "top-k"}},
      {"vit",
       writeVit,
       {"heads", "image", "patch", "classes"},
       {"channels", "intermediate", "pool"}},
      {"mixer",
       writeMixer,
       {"image", "patch", "classes"},
       {"channels", "intermediate", "token-intermediate"}},
      {"mlp", writeMlp, {"context", "vocab"}, {"tied"}},
  };
  return all;
}

/// "gpt, llama and mlp"
static std::string modelNames(StringRef last) {
  std::string names;
  for (const Model &model : models()) {
    if (!names.empty())
      names += &model == &models().back() ? " " + last.str() + " " : ", ";
    names += model.name;
  }
  return names;
}

/// Sizes beyond this are typing mistakes, and their products would overflow.
static constexpr int64_t largestSize = 1 << 24;

static int fail(const Twine &message) {
  errs() << "error: " << message << "\n";
  return 1;
}

/// Fills in the sizes that were not given.
static void setDefaults(const Model &model, Sizes &s) {
  auto setDefault = [&](StringRef option, int64_t &size, int64_t value) {
    if (size == 0 && model.has(option))
      size = value;
  };
  bool gated = model.name == "llama" || model.name == "moe";
  setDefault("kv-heads", s.kvHeads, s.heads);
  setDefault("intermediate", s.intermediate,
             gated ? alignTo(divideCeil(8 * s.hidden, 3), 256) : 4 * s.hidden);
  setDefault("token-intermediate", s.tokenIntermediate,
             divideCeil(s.hidden, 2));
  setDefault("rope-base", s.ropeBase, 10000);
  setDefault("channels", s.channels, 3);
  setDefault("top-k", s.topK, s.experts);
}

/// What is wrong with the sizes together, or nothing.
static std::string checkSizes(const Model &model, const Sizes &s) {
  auto mustDivide = [&](StringRef option, int64_t divisor, StringRef of,
                        int64_t size) -> std::string {
    if (!model.has(option) || size % divisor == 0)
      return "";
    return formatv("--{0}={1} must divide --{2}={3}", option, divisor, of,
                   size);
  };
  std::string errors[] = {
      mustDivide("heads", s.heads, "hidden", s.hidden),
      mustDivide("kv-heads", s.kvHeads, "heads", s.heads),
      mustDivide("patch", s.patch, "image", s.image),
  };
  for (const std::string &error : errors)
    if (!error.empty())
      return error;
  if (model.has("rope-base") && s.hidden / s.heads % 2 != 0)
    return formatv("rotary positions turn pairs of features, but "
                   "--hidden={0} / --heads={1} is {2}",
                   s.hidden, s.heads, s.hidden / s.heads);
  if (s.image > 0 && s.channels > largestSize / s.image / s.image)
    return formatv("an image of {0} x {1} x {1} has more than {2} elements",
                   s.channels, s.image, largestSize);
  if (s.topK > s.experts)
    return formatv("--top-k={0} is more than --experts={1}", s.topK, s.experts);
  return "";
}

int main(int argc, char **argv) {
  Sizes sizes;
  std::string kind, output = "-";
  const Number numbers[] = {
      {"layers", &sizes.layers},
      {"hidden", &sizes.hidden},
      {"batch", &sizes.batch},
      {"heads", &sizes.heads},
      {"kv-heads", &sizes.kvHeads},
      {"intermediate", &sizes.intermediate},
      {"token-intermediate", &sizes.tokenIntermediate},
      {"context", &sizes.context},
      {"vocab", &sizes.vocab},
      {"rope-base", &sizes.ropeBase},
      {"experts", &sizes.experts},
      {"top-k", &sizes.topK},
      {"image", &sizes.image},
      {"patch", &sizes.patch},
      {"channels", &sizes.channels},
      {"classes", &sizes.classes},
  };
  std::vector<StringRef> given;

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
      given.push_back("tied");
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
    if (name == "pool") {
      if (value != "token" && value != "mean")
        return fail("--pool must be token or mean, got '" + value + "'");
      sizes.meanPooling = value == "mean";
      given.push_back(name);
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
    given.push_back(name);
  }

  if (kind.empty())
    return fail("which model? give " + modelNames("or") + "; see --help");
  auto model =
      find_if(models(), [&](const Model &m) { return m.name == kind; });
  if (model == models().end())
    return fail("unknown model '" + kind + "'; known are " + modelNames("and"));
  const StringRef ofAll[] = {"layers", "hidden", "batch"};
  for (StringRef option : given)
    if (!model->has(option) && !is_contained(ofAll, option))
      return fail(kind + " has no option --" + option + "; see --help");
  for (ArrayRef<StringRef> required :
       {ArrayRef<StringRef>(ofAll), ArrayRef<StringRef>(model->required)})
    for (StringRef option : required)
      if (!is_contained(given, option))
        return fail(kind + " needs --" + option);
  setDefaults(*model, sizes);
  if (std::string error = checkSizes(*model, sizes); !error.empty())
    return fail(error);

  std::error_code error;
  ToolOutputFile file(output, error, sys::fs::OF_Text);
  if (error)
    return fail("cannot write '" + output + "': " + error.message());
  model->write(file.os(), sizes);
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
