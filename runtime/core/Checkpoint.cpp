//===- Checkpoint.cpp - parameters in safetensors -------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Checkpoint.h"
#include "weir/Runtime/Json.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

using namespace weir::runtime;

static_assert(std::endian::native == std::endian::little,
              "tensors are written as they lie in memory");

static const char *elementTypeName(int64_t elementType) {
  switch (elementType) {
  case WEIR_F32:
    return "F32";
  case WEIR_F64:
    return "F64";
  case WEIR_I32:
    return "I32";
  default:
    return "I64";
  }
}

/// Bytes per element of the element types that a file may have; 0 if unknown.
static int64_t bytesOfElementType(std::string_view name) {
  static constexpr std::pair<std::string_view, int64_t> types[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
      {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8},
  };
  for (auto [type, bytes] : types)
    if (type == name)
      return bytes;
  return 0;
}

static std::string shapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? "," : "") + std::to_string(shape[i]);
  return text + "]";
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

Status weir::runtime::writeSafetensors(const std::string &path,
                                       std::vector<NamedTensor> tensors) {
  std::sort(tensors.begin(), tensors.end(),
            [](const NamedTensor &a, const NamedTensor &b) {
              return a.name < b.name;
            });

  std::string header = "{";
  int64_t offset = 0;
  for (const NamedTensor &tensor : tensors) {
    if (header.size() > 1)
      header += ',';
    header += jsonString(tensor.name);
    header += R"(:{"dtype":")";
    header += elementTypeName(tensor.elementType);
    header += R"(","shape":)" + shapeText(tensor.shape);
    header += R"(,"data_offsets":[)" + std::to_string(offset) + ',' +
              std::to_string(offset + tensor.bytes) + "]}";
    offset += tensor.bytes;
  }
  header += '}';
  // Spaces after the header keep the data aligned.
  header.resize((header.size() + 7) / 8 * 8, ' ');

  OutputFile file;
  if (Status status = file.open(path); status.failed())
    return status;
  uint64_t headerBytes = header.size();
  if (Status status = file.write(&headerBytes, sizeof(headerBytes));
      status.failed())
    return status;
  if (Status status = file.write(header.data(), header.size()); status.failed())
    return status;
  for (const NamedTensor &tensor : tensors)
    if (Status status = file.write(tensor.data, tensor.bytes); status.failed())
      return status;
  return file.commit();
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

/// Reads one entry of the header. Returns false if it is not of the form that
/// the format prescribes.
static bool readTensor(JsonReader &json, Safetensors::Tensor &tensor) {
  bool hasType = false, hasShape = false, hasOffsets = false;
  std::vector<int64_t> offsets;
  bool valid = json.readObject([&](const std::string &key) {
    if (key == "dtype" && !hasType)
      return hasType = json.readString(tensor.elementType);
    if (key == "shape" && !hasShape)
      return hasShape = json.readNaturals(tensor.shape);
    if (key == "data_offsets" && !hasOffsets)
      return hasOffsets = json.readNaturals(offsets);
    return false;
  });
  if (!valid || !hasType || !hasShape || !hasOffsets || offsets.size() != 2)
    return false;
  tensor.begin = offsets[0];
  tensor.end = offsets[1];
  return true;
}

Status Safetensors::open(const std::string &path, Safetensors &result) {
  Safetensors opened;
  if (Status status = InputFile::open(path, opened.file); status.failed())
    return status;
  auto failHere = [&](const auto &...parts) {
    return fail("'", path, "' is not a complete safetensors file: ", parts...);
  };

  const int64_t size = opened.file.size();
  uint64_t headerBytes = 0;
  if (size < 8)
    return failHere("it has ", size, " bytes");
  std::memcpy(&headerBytes, opened.file.data(), 8);
  if (headerBytes > static_cast<uint64_t>(size) - 8)
    return failHere("its header says ", headerBytes,
                    " bytes, but the file has ", size);
  opened.dataOffset = 8 + static_cast<int64_t>(headerBytes);
  const int64_t dataBytes = size - opened.dataOffset;

  JsonReader json(std::string_view(
      reinterpret_cast<const char *>(opened.file.data()) + 8, headerBytes));
  std::set<std::string> names;
  std::string problem;
  bool valid = json.readObject([&](const std::string &name) {
    if (!names.insert(name).second) {
      problem = "'" + name + "' is there twice";
      return false;
    }
    if (name == "__metadata__")
      return json.readObject([&](const std::string &) {
        std::string ignored;
        return json.readString(ignored);
      });
    Tensor &tensor = opened.list.emplace_back();
    tensor.name = name;
    if (readTensor(json, tensor))
      return true;
    problem = "the entry of '" + name + "' cannot be read";
    return false;
  });
  if (!problem.empty())
    return failHere(problem);
  if (!valid || !json.atEnd())
    return failHere("its header is not a JSON object");

  std::sort(opened.list.begin(), opened.list.end(),
            [](const Tensor &a, const Tensor &b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  int64_t end = 0;
  for (const Tensor &tensor : opened.list) {
    int64_t bytes = bytesOfElementType(tensor.elementType);
    if (bytes == 0)
      return failHere("'", tensor.name, "' has the unknown type ",
                      tensor.elementType);
    if (tensor.begin != end || tensor.end < tensor.begin)
      return failHere("'", tensor.name, "' has data from ", tensor.begin,
                      " to ", tensor.end, " after data that ends at ", end);
    for (int64_t dim : tensor.shape) {
      if (dim != 0 && bytes > (int64_t(1) << 60) / dim)
        return failHere("'", tensor.name, "' has the shape ",
                        shapeText(tensor.shape));
      bytes *= dim;
    }
    if (tensor.end - tensor.begin != bytes)
      return failHere("'", tensor.name, "' has ", tensor.end - tensor.begin,
                      " bytes, its shape ", shapeText(tensor.shape), " needs ",
                      bytes);
    end = tensor.end;
  }
  if (end != dataBytes)
    return failHere("its header tells of ", end, " bytes of data, there are ",
                    dataBytes);
  std::sort(opened.list.begin(), opened.list.end(),
            [](const Tensor &a, const Tensor &b) { return a.name < b.name; });
  result = std::move(opened);
  return {};
}

const Safetensors::Tensor *Safetensors::find(std::string_view name) const {
  auto found = std::lower_bound(
      list.begin(), list.end(), name,
      [](const Tensor &tensor, std::string_view n) { return tensor.name < n; });
  return found != list.end() && found->name == name ? &*found : nullptr;
}

Status
weir::runtime::openParameters(const std::string &path, const Table &table,
                              Safetensors &file,
                              std::vector<const std::byte *> &parameters) {
  Safetensors opened;
  if (Status status = Safetensors::open(path, opened); status.failed())
    return status;
  auto failHere = [&](const auto &...parts) {
    return fail("'", path, "' does not fit the model: ", parts...);
  };

  std::set<std::string_view> names;
  std::vector<const std::byte *> found;
  for (const weir_variable &variable : table.variables()) {
    const char *name = table.string(variable.name);
    names.insert(name);
    const Safetensors::Tensor *tensor = opened.find(name);
    if (!tensor)
      return failHere("it lacks '", name, "'");
    if (tensor->elementType != elementTypeName(variable.element_type))
      return failHere("'", name, "' is ", tensor->elementType, ", not ",
                      elementTypeName(variable.element_type));
    if (!std::ranges::equal(tensor->shape, table.shape(variable)))
      return failHere("'", name, "' has the shape ", shapeText(tensor->shape),
                      ", not ", shapeText(table.shape(variable)));
    found.push_back(opened.data(*tensor));
  }
  for (const Safetensors::Tensor &tensor : opened.tensors())
    if (!names.count(tensor.name))
      return failHere("the model has no '", tensor.name, "'");
  file = std::move(opened);
  parameters = std::move(found);
  return {};
}
