//===- TableBuilder.cpp - program tables made by hand ---------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TableBuilder.h"

#include <algorithm>
#include <cstring>
#include <iterator>

using namespace weir::runtime::testing;

int64_t TableBuilder::Device::allocate(int64_t bytes) {
  int64_t offset = arenaBytes;
  allocated[offset] = bytes;
  arenaBytes += (bytes + WEIR_ALIGNMENT - 1) / WEIR_ALIGNMENT * WEIR_ALIGNMENT;
  return offset;
}

int64_t TableBuilder::Device::bytesAt(int64_t offset) const {
  auto after = allocated.upper_bound(offset);
  if (after == allocated.begin())
    return 0;
  auto [begin, bytes] = *std::prev(after);
  return std::max<int64_t>(begin + bytes - offset, 0);
}

int64_t TableBuilder::string(const std::string &text) {
  auto [entry, isNew] = stringOffsets.try_emplace(text, strings.size());
  if (isNew)
    strings += text + '\0';
  return entry->second;
}

int64_t TableBuilder::addDims(const std::vector<int64_t> &shape) {
  int64_t first = dims.size();
  dims.insert(dims.end(), shape.begin(), shape.end());
  return first;
}

int64_t TableBuilder::addKernel(const std::string &name, weir_kernel kernel,
                                const std::string &kernelAccesses) {
  accesses.push_back(kernelAccesses);
  kernelRecords.push_back({string(name), 0});
  kernels.push_back(kernel);
  return kernels.size() - 1;
}

int64_t TableBuilder::addInput(const std::string &name,
                               std::vector<int64_t> shape) {
  inputs.push_back(
      {string(name), WEIR_I32, int64_t(shape.size()), addDims(shape)});
  return inputs.size() - 1;
}

int64_t TableBuilder::addVariable(const std::string &name,
                                  std::vector<int64_t> shape, int64_t initKind,
                                  double initValue) {
  variables.push_back({string(name), WEIR_F32, int64_t(shape.size()),
                       addDims(shape), initKind, initValue});
  return variables.size() - 1;
}

int64_t TableBuilder::addResident(int64_t device, int64_t kind,
                                  int64_t variable, int64_t index,
                                  int64_t bytes) {
  int64_t offset = devices[device].allocate(bytes);
  devices[device].residents.push_back({kind, variable, index, offset, bytes});
  return offset;
}

static weir_action emptyAction(int64_t kind) {
  weir_action action;
  std::memset(&action, 0xFF, sizeof(action)); // every field is -1
  action.kind = kind;
  return action;
}

void TableBuilder::run(int64_t device, int64_t kernel, int64_t pass,
                       int64_t stage, int64_t microbatch,
                       std::vector<int64_t> offsets, const std::string &label) {
  weir_action action = emptyAction(WEIR_ACTION_RUN);
  action.kernel = kernel;
  action.pass = pass;
  action.stage = stage;
  action.microbatch = microbatch;
  action.label = string(label);
  action.first_buffer = buffers.size();
  action.num_buffers = offsets.size();
  for (size_t i = 0; i < offsets.size(); ++i) {
    const std::string &known = accesses[kernel];
    bool isRead = i < known.size() && known[i] == 'r';
    buffers.push_back({offsets[i], devices[device].bytesAt(offsets[i]),
                       isRead ? WEIR_ACCESS_READ : WEIR_ACCESS_WRITE});
  }
  devices[device].actions.push_back(action);
}

void TableBuilder::load(int64_t device, int64_t input, int64_t microbatch,
                        int64_t offset, int64_t bytes) {
  weir_action action = emptyAction(WEIR_ACTION_LOAD);
  action.input = input;
  action.microbatch = microbatch;
  action.offset = offset;
  action.bytes = bytes;
  devices[device].actions.push_back(action);
}

int64_t TableBuilder::transferStart(int64_t kind, int64_t device, int64_t peer,
                                    int64_t message, int64_t microbatch,
                                    int64_t offset, int64_t bytes,
                                    const std::string &label) {
  weir_action action = emptyAction(kind);
  action.peer = peer;
  action.message = message;
  action.microbatch = microbatch;
  action.offset = offset;
  action.bytes = bytes;
  action.label = string(label);
  action.token = devices[device].nextToken++;
  devices[device].actions.push_back(action);
  return action.token;
}

int64_t TableBuilder::sendStart(int64_t device, int64_t peer, int64_t message,
                                int64_t microbatch, int64_t offset,
                                int64_t bytes, const std::string &label) {
  return transferStart(WEIR_ACTION_SEND_START, device, peer, message,
                       microbatch, offset, bytes, label);
}

int64_t TableBuilder::recvStart(int64_t device, int64_t peer, int64_t message,
                                int64_t microbatch, int64_t offset,
                                int64_t bytes, const std::string &label) {
  return transferStart(WEIR_ACTION_RECV_START, device, peer, message,
                       microbatch, offset, bytes, label);
}

void TableBuilder::wait(int64_t device, int64_t token) {
  weir_action action = emptyAction(WEIR_ACTION_WAIT);
  action.token = token;
  devices[device].actions.push_back(action);
}

void TableBuilder::release(int64_t device, int64_t offset, int64_t bytes) {
  weir_action action = emptyAction(WEIR_ACTION_RELEASE);
  action.offset = offset;
  action.bytes = bytes;
  devices[device].actions.push_back(action);
}

std::vector<std::byte> TableBuilder::build() {
  std::vector<weir_device> deviceRecords;
  std::vector<weir_resident> residents;
  std::vector<weir_action> actions;
  for (const Device &device : devices) {
    deviceRecords.push_back({device.arenaBytes, 0, int64_t(residents.size()),
                             int64_t(device.residents.size()),
                             int64_t(actions.size()),
                             int64_t(device.actions.size())});
    residents.insert(residents.end(), device.residents.begin(),
                     device.residents.end());
    actions.insert(actions.end(), device.actions.begin(), device.actions.end());
  }

  std::vector<std::byte> bytes(sizeof(weir_table_header));
  auto append = [&](const auto &records) {
    bytes.resize((bytes.size() + 7) / 8 * 8);
    weir_section section = {int64_t(bytes.size()), int64_t(records.size())};
    size_t size = records.size() * sizeof(records[0]);
    bytes.resize(bytes.size() + size);
    if (size > 0)
      std::memcpy(bytes.data() + section.offset, records.data(), size);
    return section;
  };
  header.magic = WEIR_TABLE_MAGIC;
  header.version = WEIR_TABLE_VERSION;
  header.num_devices = devices.size();
  header.strings = append(strings);
  header.dims = append(dims);
  header.kernels = append(kernelRecords);
  header.inputs = append(inputs);
  header.variables = append(variables);
  header.devices = append(deviceRecords);
  header.residents = append(residents);
  header.actions = append(actions);
  header.buffers = append(buffers);
  header.total_bytes = bytes.size();
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}
