//===- Table.cpp - a verified program table -------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "weir/Runtime/Table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

using namespace weir::runtime;

int64_t weir::runtime::elementBytes(int64_t elementType) {
  switch (elementType) {
  case WEIR_F32:
  case WEIR_I32:
    return 4;
  case WEIR_F64:
  case WEIR_I64:
    return 8;
  default:
    return 0;
  }
}

const char *weir::runtime::passName(int64_t pass) {
  switch (pass) {
  case WEIR_PASS_FORWARD:
    return "forward";
  case WEIR_PASS_BACKWARD_INPUT:
    return "backward_input";
  case WEIR_PASS_BACKWARD_WEIGHT:
    return "backward_weight";
  case WEIR_PASS_BACKWARD:
    return "backward";
  default:
    return "update";
  }
}

std::span<const weir_resident> Table::residents(int64_t device) const {
  const weir_device &record = devices()[device];
  return records<weir_resident>(header().residents)
      .subspan(record.first_resident, record.num_residents);
}

std::span<const weir_action> Table::actions(int64_t device) const {
  const weir_device &record = devices()[device];
  return records<weir_action>(header().actions)
      .subspan(record.first_action, record.num_actions);
}

std::span<const weir_buffer> Table::buffers(const weir_action &action) const {
  return records<weir_buffer>(header().buffers)
      .subspan(action.first_buffer, action.num_buffers);
}

const char *Table::string(int64_t offset) const {
  return reinterpret_cast<const char *>(storage.data()) +
         header().strings.offset + offset;
}

static int64_t denseBytes(int64_t elementType, std::span<const int64_t> shape) {
  int64_t bytes = elementBytes(elementType);
  for (int64_t dim : shape)
    bytes *= dim;
  return bytes;
}

int64_t Table::bytes(const weir_input &input) const {
  return denseBytes(input.element_type, shape(input));
}

int64_t Table::bytes(const weir_variable &variable) const {
  return denseBytes(variable.element_type, shape(variable));
}

int64_t Table::startOf(int64_t device, int64_t wait) const {
  std::span<const weir_action> list = actions(device);
  int64_t start = wait;
  do
    --start;
  while ((list[start].kind != WEIR_ACTION_SEND_START &&
          list[start].kind != WEIR_ACTION_RECV_START) ||
         list[start].token != list[wait].token);
  return start;
}

static const char *passLetter(int64_t pass) {
  switch (pass) {
  case WEIR_PASS_FORWARD:
    return "F";
  case WEIR_PASS_BACKWARD_INPUT:
    return "B";
  case WEIR_PASS_BACKWARD_WEIGHT:
    return "W";
  case WEIR_PASS_BACKWARD:
    return "BW";
  default:
    return "U";
  }
}

std::string Table::describe(int64_t device, int64_t index) const {
  const weir_action &action = actions(device)[index];
  std::ostringstream text;
  std::string_view label = action.label >= 0 ? string(action.label) : "";
  auto addLabel = [&] {
    if (!label.empty())
      text << ' ' << label;
  };
  auto addMicrobatch = [&] {
    if (action.microbatch >= 0)
      text << " mb " << action.microbatch;
  };
  switch (action.kind) {
  case WEIR_ACTION_RUN:
    // An update has neither stage nor microbatch: its label says which it is.
    if (action.stage < 0 && !label.empty()) {
      text << label;
    } else {
      text << passLetter(action.pass);
      if (action.stage >= 0)
        text << " s" << action.stage;
    }
    addMicrobatch();
    break;
  case WEIR_ACTION_LOAD:
    text << "load " << string(inputs()[action.input].name);
    addMicrobatch();
    break;
  case WEIR_ACTION_SEND_START:
    text << "send";
    addLabel();
    addMicrobatch();
    text << " to device " << action.peer;
    break;
  case WEIR_ACTION_RECV_START:
    text << "recv";
    addLabel();
    addMicrobatch();
    text << " from device " << action.peer;
    break;
  case WEIR_ACTION_WAIT:
    text << "wait for " << describe(device, startOf(device, index));
    break;
  case WEIR_ACTION_RELEASE:
    text << "release";
    addLabel();
    addMicrobatch();
    break;
  }
  return text.str();
}

//===----------------------------------------------------------------------===//
// Verification
//===----------------------------------------------------------------------===//

namespace weir::runtime {

/// Checks a table from the outside in: each function may use only what those
/// called before it have checked.
class TableVerifier {
public:
  explicit TableVerifier(const Table &table)
      : table(table), header(table.header()) {}

  Status run();

private:
  /// Bytes beyond which a size is a corrupt field and not a real plan; small
  /// enough that sums of a few of them cannot overflow.
  static constexpr int64_t maxBytes = int64_t(1) << 48;

  struct Range {
    int64_t begin, end;
    bool overlaps(const Range &other) const {
      return std::max(begin, other.begin) < std::min(end, other.end);
    }
  };

  /// A transfer of one device, by its place in the program.
  struct Transfer {
    int64_t device, start;
  };

  Status checkHeader();
  Status checkSection(const char *name, const weir_section &section,
                      int64_t recordBytes);
  Status checkTensor(const std::string &what, int64_t elementType, int64_t rank,
                     int64_t firstDim);
  Status checkNames();
  Status checkDevice(int64_t device);
  Status checkResidents(int64_t device);
  Status checkActions(int64_t device);
  Status checkTransfers();
  Status checkProgress();

  bool isString(int64_t offset) const {
    return offset >= 0 && offset < header.strings.count;
  }
  bool inArena(int64_t device, int64_t offset, int64_t bytes) const {
    int64_t arena = table.devices()[device].arena_bytes;
    return offset >= 0 && offset % WEIR_ALIGNMENT == 0 && bytes > 0 &&
           offset <= arena && bytes <= arena - offset;
  }

  /// A failure at one action. The description needs only what has been checked
  /// for actions before this one.
  template <typename... Parts>
  Status failAt(int64_t device, int64_t action, const Parts &...parts) const {
    return fail("device ", device, ", action ", action, ": ", parts...);
  }

  const Table &table;
  const weir_table_header &header;

  /// The counterpart of each transfer, filled by checkTransfers: by device and
  /// index of the start action.
  std::vector<std::unordered_map<int64_t, Transfer>> counterpart;
};

} // namespace weir::runtime

Status Table::parse(const void *bytes, int64_t size, Table &table) {
  table.storage.clear();
  const int64_t headerBytes = sizeof(weir_table_header);
  if (!bytes || size < headerBytes)
    return fail("program table: ", size < 0 ? 0 : size,
                " bytes are less than the header's ", headerBytes);
  Table candidate;
  candidate.storage.resize(size);
  std::memcpy(candidate.storage.data(), bytes, size);
  Status status = TableVerifier(candidate).run();
  if (status.failed())
    return fail("program table: ", status.message());
  table = std::move(candidate);
  return {};
}

Status TableVerifier::run() {
  if (Status status = checkHeader(); status.failed())
    return status;
  if (Status status = checkNames(); status.failed())
    return status;
  for (int64_t device = 0; device < header.num_devices; ++device)
    if (Status status = checkDevice(device); status.failed())
      return status;
  for (int64_t device = 0; device < header.num_devices; ++device) {
    if (Status status = checkResidents(device); status.failed())
      return status;
    if (Status status = checkActions(device); status.failed())
      return status;
  }

  // Facts about residents that span devices.
  std::vector<bool> held(table.variables().size(), false);
  std::set<std::pair<int64_t, int64_t>> uses;
  for (int64_t device = 0; device < header.num_devices; ++device)
    for (const weir_resident &resident : table.residents(device)) {
      if (resident.kind == WEIR_RESIDENT_PARAMETER)
        held[resident.variable] = true;
      if (resident.kind == WEIR_RESIDENT_GRADIENT &&
          !uses.insert({resident.variable, resident.index}).second)
        return fail("device ", device, ": use ", resident.index, " of '",
                    table.string(table.variables()[resident.variable].name),
                    "' has a second gradient accumulator");
    }
  for (size_t i = 0; i < held.size(); ++i)
    if (!held[i])
      return fail("no device holds variable '",
                  table.string(table.variables()[i].name), "'");
  for (auto [variable, use] : uses)
    if (use > 0 && !uses.count({variable, use - 1}))
      return fail("variable '", table.string(table.variables()[variable].name),
                  "' has gradient accumulator ", use, " but not ", use - 1);
  for (int64_t kind : {WEIR_RESIDENT_LOSS, WEIR_RESIDENT_COUNT}) {
    std::span<const weir_resident> residents =
        table.residents(header.loss_device);
    if (std::none_of(residents.begin(), residents.end(),
                     [&](const weir_resident &r) { return r.kind == kind; }))
      return fail("loss device ", header.loss_device, " holds no ",
                  kind == WEIR_RESIDENT_LOSS ? "loss" : "count");
  }

  if (Status status = checkTransfers(); status.failed())
    return status;
  return checkProgress();
}

Status TableVerifier::checkHeader() {
  if (header.magic != WEIR_TABLE_MAGIC)
    return fail("not a program table (wrong magic number)");
  if (header.version != WEIR_TABLE_VERSION)
    return fail("version ", header.version, ", but this runtime reads version ",
                WEIR_TABLE_VERSION);
  if (header.total_bytes != static_cast<int64_t>(table.storage.size()))
    return fail("says it has ", header.total_bytes, " bytes, but there are ",
                table.storage.size());

  struct {
    const char *name;
    const weir_section &section;
    int64_t recordBytes;
  } sections[] = {
      {"strings", header.strings, 1},
      {"dims", header.dims, sizeof(int64_t)},
      {"kernels", header.kernels, sizeof(weir_kernel_record)},
      {"inputs", header.inputs, sizeof(weir_input)},
      {"variables", header.variables, sizeof(weir_variable)},
      {"devices", header.devices, sizeof(weir_device)},
      {"residents", header.residents, sizeof(weir_resident)},
      {"actions", header.actions, sizeof(weir_action)},
      {"buffers", header.buffers, sizeof(weir_buffer)},
  };
  for (const auto &[name, section, recordBytes] : sections)
    if (Status status = checkSection(name, section, recordBytes);
        status.failed())
      return status;

  const int64_t maxCount = std::numeric_limits<int32_t>::max();
  if (header.num_devices < 1 || header.num_devices != header.devices.count)
    return fail("says it has ", header.num_devices, " devices, but there are ",
                header.devices.count);
  if (header.num_stages < 1 || header.num_stages > maxCount)
    return fail("number of stages is ", header.num_stages);
  if (header.num_microbatches < 1 || header.num_microbatches > maxCount)
    return fail("number of microbatches is ", header.num_microbatches);
  if (header.loss_device < 0 || header.loss_device >= header.num_devices)
    return fail("loss device is ", header.loss_device, " of ",
                header.num_devices);
  if (header.vocab < 0 || header.vocab > maxCount)
    return fail("vocabulary is ", header.vocab);
  if (header.strings.count == 0 ||
      table.string(0)[header.strings.count - 1] != '\0')
    return fail("strings do not end with a zero byte");
  if (!isString(header.model_name))
    return fail("model name is outside the strings");
  if (!isString(header.schedule_name))
    return fail("schedule name is outside the strings");
  return {};
}

Status TableVerifier::checkSection(const char *name,
                                   const weir_section &section,
                                   int64_t recordBytes) {
  const int64_t total = table.storage.size();
  if (section.offset < static_cast<int64_t>(sizeof(weir_table_header)) ||
      section.offset > total || section.offset % 8 != 0)
    return fail("section '", name, "' starts at byte ", section.offset, " of ",
                total);
  if (section.count < 0 ||
      section.count > (total - section.offset) / recordBytes)
    return fail("section '", name, "' has ", section.count,
                " records, which do not fit into ", total, " bytes");
  return {};
}

Status TableVerifier::checkTensor(const std::string &what, int64_t elementType,
                                  int64_t rank, int64_t firstDim) {
  if (elementBytes(elementType) == 0)
    return fail(what, ": unknown element type ", elementType);
  if (rank < 0 || firstDim < 0 || firstDim > header.dims.count ||
      rank > header.dims.count - firstDim)
    return fail(what, ": shape is outside the dims");
  int64_t bytes = elementBytes(elementType);
  for (int64_t dim : table.dims(firstDim, rank)) {
    if (dim < 1 || dim > maxBytes / bytes)
      return fail(what, ": dimension ", dim, " is out of range");
    bytes *= dim;
  }
  return {};
}

Status TableVerifier::checkNames() {
  for (size_t i = 0; i < table.kernels().size(); ++i) {
    const weir_kernel_record &kernel = table.kernels()[i];
    if (!isString(kernel.name))
      return fail("kernel ", i, ": name is outside the strings");
    if (!std::isfinite(kernel.seconds) || kernel.seconds < 0)
      return fail("kernel ", i, ": a call cannot take ", kernel.seconds, " s");
  }

  std::set<std::string_view> inputNames;
  for (size_t i = 0; i < table.inputs().size(); ++i) {
    const weir_input &input = table.inputs()[i];
    if (!isString(input.name))
      return fail("input ", i, ": name is outside the strings");
    std::string what = "input '" + std::string(table.string(input.name)) + "'";
    if (!inputNames.insert(table.string(input.name)).second)
      return fail(what, " is there twice");
    if (Status status =
            checkTensor(what, input.element_type, input.rank, input.first_dim);
        status.failed())
      return status;
  }

  std::set<std::string_view> variableNames;
  for (size_t i = 0; i < table.variables().size(); ++i) {
    const weir_variable &variable = table.variables()[i];
    if (!isString(variable.name) || *table.string(variable.name) == '\0')
      return fail("variable ", i, " has no name");
    std::string what =
        "variable '" + std::string(table.string(variable.name)) + "'";
    if (!variableNames.insert(table.string(variable.name)).second)
      return fail(what, " is there twice");
    if (Status status = checkTensor(what, variable.element_type, variable.rank,
                                    variable.first_dim);
        status.failed())
      return status;
    if (variable.element_type != WEIR_F32 && variable.element_type != WEIR_F64)
      return fail(what, ": parameters are f32 or f64");
    if (variable.init_kind != WEIR_INIT_CONSTANT &&
        variable.init_kind != WEIR_INIT_NORMAL)
      return fail(what, ": unknown initialisation ", variable.init_kind);
    if (!std::isfinite(variable.init_value) ||
        (variable.init_kind == WEIR_INIT_NORMAL && variable.init_value < 0))
      return fail(what, ": cannot be initialised with ", variable.init_value);
  }
  return {};
}

Status TableVerifier::checkDevice(int64_t device) {
  const weir_device &record = table.devices()[device];
  if (record.arena_bytes < 0 || record.arena_bytes > maxBytes)
    return fail("device ", device, ": arena of ", record.arena_bytes, " bytes");
  if (record.peak_activation_bytes < 0)
    return fail("device ", device, ": activation peak of ",
                record.peak_activation_bytes, " bytes");
  auto inSection = [](int64_t first, int64_t count,
                      const weir_section &section) {
    return first >= 0 && count >= 0 && first <= section.count &&
           count <= section.count - first;
  };
  if (!inSection(record.first_resident, record.num_residents, header.residents))
    return fail("device ", device, ": residents are outside their section");
  if (!inSection(record.first_action, record.num_actions, header.actions))
    return fail("device ", device, ": actions are outside their section");
  return {};
}

Status TableVerifier::checkResidents(int64_t device) {
  std::vector<Range> ranges;
  std::set<std::tuple<int64_t, int64_t, int64_t>> seen;
  std::span<const weir_resident> residents = table.residents(device);
  for (size_t i = 0; i < residents.size(); ++i) {
    const weir_resident &resident = residents[i];
    auto failHere = [&](const auto &...parts) {
      return fail("device ", device, ", resident ", i, ": ", parts...);
    };
    if (resident.kind < WEIR_RESIDENT_PARAMETER ||
        resident.kind > WEIR_RESIDENT_STEP)
      return failHere("unknown kind ", resident.kind);
    if (!inArena(device, resident.offset, resident.bytes))
      return failHere(resident.bytes, " bytes at ", resident.offset,
                      " are outside the arena or not aligned");
    bool ofVariable = resident.kind <= WEIR_RESIDENT_STATE;
    if (ofVariable) {
      if (resident.variable < 0 ||
          resident.variable >= header.variables.count || resident.index < 0)
        return failHere("unknown variable ", resident.variable, ", index ",
                        resident.index);
      const weir_variable &variable = table.variables()[resident.variable];
      if (resident.kind != WEIR_RESIDENT_STATE &&
          resident.bytes != table.bytes(variable))
        return failHere(resident.bytes, " bytes for '",
                        table.string(variable.name), "', which has ",
                        table.bytes(variable));
    } else if (resident.bytes != 4) {
      return failHere("a scalar of ", resident.bytes, " bytes");
    }
    bool indexed = ofVariable && resident.kind != WEIR_RESIDENT_PARAMETER;
    if (!seen.insert({resident.kind, ofVariable ? resident.variable : -1,
                      indexed ? resident.index : 0})
             .second)
      return failHere("is there twice");
    ranges.push_back({resident.offset, resident.offset + resident.bytes});
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range &a, const Range &b) { return a.begin < b.begin; });
  for (size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i - 1].overlaps(ranges[i]))
      return fail("device ", device, ": residents at ", ranges[i - 1].begin,
                  " and ", ranges[i].begin, " overlap");
  return {};
}

Status TableVerifier::checkActions(int64_t device) {
  std::span<const weir_action> actions = table.actions(device);

  // Ranges in transfer by token; few at a time.
  struct InFlight {
    int64_t token;
    bool isReceive;
    Range range;
  };
  std::vector<InFlight> inFlight;
  std::unordered_set<int64_t> tokens;

  for (size_t i = 0; i < actions.size(); ++i) {
    const weir_action &action = actions[i];
    auto failHere = [&](const auto &...parts) {
      return failAt(device, i, parts...);
    };
    if (action.kind < WEIR_ACTION_RUN || action.kind > WEIR_ACTION_RELEASE)
      return failHere("unknown kind ", action.kind);
    if (action.label != -1 && !isString(action.label))
      return failHere("label is outside the strings");
    bool isTransfer = action.kind == WEIR_ACTION_SEND_START ||
                      action.kind == WEIR_ACTION_RECV_START;
    bool hasMicrobatch = isTransfer || action.kind == WEIR_ACTION_RUN ||
                         action.kind == WEIR_ACTION_LOAD;
    if (hasMicrobatch && (action.microbatch < -1 ||
                          action.microbatch >= header.num_microbatches))
      return failHere("microbatch ", action.microbatch, " of ",
                      header.num_microbatches);

    Range range = {0, 0};
    if (isTransfer || action.kind == WEIR_ACTION_LOAD ||
        action.kind == WEIR_ACTION_RELEASE) {
      if (!inArena(device, action.offset, action.bytes))
        return failHere(action.bytes, " bytes at ", action.offset,
                        " are outside the arena or not aligned");
      range = {action.offset, action.offset + action.bytes};
      // Two sends may read the same bytes; all else is a race.
      for (const InFlight &other : inFlight)
        if (other.range.overlaps(range) &&
            (other.isReceive || action.kind != WEIR_ACTION_SEND_START))
          return failHere("touches bytes ", range.begin, " to ", range.end,
                          ", which are in transfer with token ", other.token);
    }

    switch (action.kind) {
    case WEIR_ACTION_RUN:
      if (action.kernel < 0 || action.kernel >= header.kernels.count)
        return failHere("unknown kernel ", action.kernel);
      if (action.pass < WEIR_PASS_FORWARD || action.pass > WEIR_PASS_UPDATE)
        return failHere("unknown pass ", action.pass);
      if (action.stage < -1 || action.stage >= header.num_stages)
        return failHere("stage ", action.stage, " of ", header.num_stages);
      if (action.first_buffer < 0 || action.num_buffers < 0 ||
          action.first_buffer > header.buffers.count ||
          action.num_buffers > header.buffers.count - action.first_buffer)
        return failHere("buffers are outside their section");
      for (const weir_buffer &buffer : table.buffers(action)) {
        // A bundle may be empty.
        if (buffer.bytes < 0 ||
            !inArena(device, buffer.offset, std::max(buffer.bytes, int64_t(1))))
          return failHere("buffer at ", buffer.offset,
                          " is outside the arena or not aligned");
        if (buffer.access != WEIR_ACCESS_READ &&
            buffer.access != WEIR_ACCESS_WRITE)
          return failHere("unknown access ", buffer.access);
        // What is sent may be read meanwhile.
        Range bytes = {buffer.offset, buffer.offset + buffer.bytes};
        bool writes = buffer.access == WEIR_ACCESS_WRITE;
        for (const InFlight &other : inFlight)
          if ((writes || other.isReceive) && other.range.overlaps(bytes))
            return failHere(writes ? "writes" : "reads", " the buffer at ",
                            buffer.offset,
                            ", which is in transfer with token ", other.token);
      }
      break;
    case WEIR_ACTION_LOAD:
      if (action.input < 0 || action.input >= header.inputs.count)
        return failHere("unknown input ", action.input);
      if (action.microbatch < 0)
        return failHere("loads no microbatch");
      if (action.bytes != table.bytes(table.inputs()[action.input]))
        return failHere(action.bytes, " bytes for input '",
                        table.string(table.inputs()[action.input].name),
                        "', which has ",
                        table.bytes(table.inputs()[action.input]));
      break;
    case WEIR_ACTION_SEND_START:
    case WEIR_ACTION_RECV_START:
      if (action.peer < 0 || action.peer >= header.num_devices ||
          action.peer == device)
        return failHere("unknown peer ", action.peer);
      if (action.message < 0)
        return failHere("message ", action.message);
      if (action.token < 0 || !tokens.insert(action.token).second)
        return failHere("token ", action.token, " is started twice");
      inFlight.push_back(
          {action.token, action.kind == WEIR_ACTION_RECV_START, range});
      break;
    case WEIR_ACTION_WAIT: {
      auto found =
          std::find_if(inFlight.begin(), inFlight.end(),
                       [&](const auto &t) { return t.token == action.token; });
      if (found == inFlight.end())
        return failHere("waits for token ", action.token,
                        ", which is not in transfer");
      inFlight.erase(found);
      break;
    }
    case WEIR_ACTION_RELEASE:
      for (const weir_resident &resident : table.residents(device))
        if (range.overlaps({resident.offset, resident.offset + resident.bytes}))
          return failHere("releases a resident buffer");
      break;
    }
  }
  if (!inFlight.empty())
    return fail("device ", device, ": token ", inFlight.front().token,
                " is started but never waited for");
  return {};
}

Status TableVerifier::checkTransfers() {
  // Per pair and direction, the starts in program order.
  std::map<std::pair<int64_t, int64_t>, std::vector<Transfer>> sends, receives;
  for (int64_t device = 0; device < header.num_devices; ++device) {
    std::span<const weir_action> actions = table.actions(device);
    for (size_t i = 0; i < actions.size(); ++i) {
      const weir_action &action = actions[i];
      Transfer transfer = {device, static_cast<int64_t>(i)};
      if (action.kind == WEIR_ACTION_SEND_START)
        sends[{device, action.peer}].push_back(transfer);
      if (action.kind == WEIR_ACTION_RECV_START)
        receives[{action.peer, device}].push_back(transfer);
    }
  }
  auto describe = [&](const Transfer &transfer) {
    return table.describe(transfer.device, transfer.start);
  };

  counterpart.resize(header.num_devices);
  std::unordered_set<int64_t> messages;
  for (const auto &[pair, list] : sends) {
    const std::vector<Transfer> &other = receives[pair];
    for (size_t i = 0; i < list.size(); ++i) {
      if (i >= other.size())
        return failAt(list[i].device, list[i].start, "device ", pair.second,
                      " has no receive for '", describe(list[i]), "'");
      const weir_action &send = table.actions(list[i].device)[list[i].start];
      const weir_action &receive =
          table.actions(other[i].device)[other[i].start];
      if (send.message != receive.message || send.bytes != receive.bytes)
        return failAt(list[i].device, list[i].start, "'", describe(list[i]),
                      "' (message ", send.message, ", ", send.bytes,
                      " bytes) meets '", describe(other[i]), "' (message ",
                      receive.message, ", ", receive.bytes,
                      " bytes) of device ", other[i].device);
      if (!messages.insert(send.message).second)
        return failAt(list[i].device, list[i].start, "message ", send.message,
                      " is sent twice");
      counterpart[list[i].device][list[i].start] = other[i];
      counterpart[other[i].device][other[i].start] = list[i];
    }
  }
  for (const auto &[pair, list] : receives) {
    size_t numSends = sends.count(pair) ? sends[pair].size() : 0;
    if (list.size() > numSends)
      return failAt(list[numSends].device, list[numSends].start, "device ",
                    pair.first, " has no send for '", describe(list[numSends]),
                    "'");
  }
  return {};
}

Status TableVerifier::checkProgress() {
  // Starts never block; a wait is over when both ends have started. So running
  // every device as far as it goes, in any order, ends in the same state.
  const int64_t numDevices = header.num_devices;
  std::vector<int64_t> position(numDevices, 0);
  std::vector<Transfer> blockedOn(numDevices, {-1, -1});
  std::vector<std::vector<int64_t>> blocked(numDevices);
  std::vector<std::unordered_map<int64_t, int64_t>> startOfToken(numDevices);
  std::deque<int64_t> runnable;
  for (int64_t device = 0; device < numDevices; ++device)
    runnable.push_back(device);

  while (!runnable.empty()) {
    int64_t device = runnable.front();
    runnable.pop_front();
    std::span<const weir_action> actions = table.actions(device);
    const int64_t numActions = actions.size();
    blockedOn[device] = {-1, -1};
    int64_t &at = position[device];
    for (; at < numActions; ++at) {
      const weir_action &action = actions[at];
      if (action.kind == WEIR_ACTION_SEND_START ||
          action.kind == WEIR_ACTION_RECV_START)
        startOfToken[device][action.token] = at;
      if (action.kind != WEIR_ACTION_WAIT)
        continue;
      Transfer other =
          counterpart[device].at(startOfToken[device].at(action.token));
      if (position[other.device] <= other.start) {
        blockedOn[device] = other;
        blocked[other.device].push_back(device);
        break;
      }
    }
    std::vector<int64_t> stillBlocked;
    for (int64_t waiter : blocked[device]) {
      if (at > blockedOn[waiter].start)
        runnable.push_back(waiter);
      else
        stillBlocked.push_back(waiter);
    }
    blocked[device] = std::move(stillBlocked);
  }

  std::ostringstream stuck;
  int numStuck = 0;
  for (int64_t device = 0; device < numDevices; ++device)
    if (blockedOn[device].device >= 0 && ++numStuck <= 3)
      stuck << (numStuck > 1 ? "; " : "") << "device " << device
            << " stops at '" << table.describe(device, position[device]) << "'";
  if (numStuck > 3)
    stuck << "; and " << numStuck - 3 << " more";
  if (numStuck > 0)
    return fail("deadlock: ", stuck.str());
  return {};
}
