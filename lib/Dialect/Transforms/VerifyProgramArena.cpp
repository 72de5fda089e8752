//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The proof of a plan: a walk over the program that keeps, for every byte of
// the arena, which buffer has it. A buffer that takes bytes of another one is
// an edge from the last use of those to the op that writes them (write after
// read, write after write), and the happens-before graph must have it already.
//
// A transfer uses its bytes from its start to its wait. What lives how long is
// derived here from the ops alone, and not from the analysis that plans.
//
//===----------------------------------------------------------------------===//

#include "VerifyPrograms.h"

#include <map>

using namespace mlir;
using namespace weir;

namespace {

/// Bytes of the arena, written from `maker` on and needed until `lastUse` ends.
struct Buffer {
  Operation *maker;
  Operation *lastUse; ///< null: always
  int64_t begin, end;
};

class ArenaVerifier {
public:
  ArenaVerifier(const ProgramsOfPipeline &all, ProgramOp program,
                const HappensBefore &order)
      : all(all), program(program), order(order), arena(*program.getArena()) {}

  LogicalResult verify();

private:
  LogicalResult visit(Operation *op);
  /// Gives `bytes` at `offset` to a buffer; `slot` says which one of its maker.
  LogicalResult place(Operation *maker, Operation *lastUse, const Twine &slot,
                      std::optional<int64_t> offset, int64_t bytes);
  LogicalResult take(size_t index);
  LogicalResult refuse(const Buffer &buffer, const Buffer &other);
  LogicalResult verifySize();
  void findLastUse(Value value, Operation *&lastUse);
  int64_t getScratchBytes(RunOp run);

  const ProgramsOfPipeline &all;
  ProgramOp program;
  const HappensBefore &order;
  int64_t arena;
  std::vector<Buffer> buffers;
  /// Who has which bytes: by the first one, the end and the index of the
  /// buffer.
  std::map<int64_t, std::pair<int64_t, size_t>> owners;
};

} // namespace

/// Moves `lastUse` to the last op that uses the bytes of `value`, if that is
/// later: of a send, its wait.
void ArenaVerifier::findLastUse(Value value, Operation *&lastUse) {
  auto use = [&](Operation *op) {
    if (order.isBefore(lastUse, op))
      lastUse = op;
  };
  for (Operation *user : value.getUsers()) {
    use(user);
    if (auto send = dyn_cast<SendStartOp>(user))
      for (Operation *wait : send.getToken().getUsers())
        use(wait);
    if (auto wait = dyn_cast<WaitOp>(user); wait && wait.getResult())
      findLastUse(wait.getResult(), lastUse);
  }
}

/// The passes of a fused run take turns with their scratch.
int64_t ArenaVerifier::getScratchBytes(RunOp run) {
  if (run.getVariable())
    return all.findUpdate(*run.getVariable()).getWorkspaceBytes();
  int64_t bytes = 0;
  for (PassKind kind : getRunKinds(run.getPass()))
    bytes = std::max<int64_t>(
        bytes, all.stages[*run.getStage()].get(kind).getWorkspaceBytes());
  return bytes;
}

LogicalResult ArenaVerifier::refuse(const Buffer &buffer, const Buffer &other) {
  InFlightDiagnostic diag = buffer.maker->emitError("bytes ")
                            << buffer.begin << " to " << buffer.end
                            << " of device " << program.getDevice()
                            << " are still in use: a buffer that lives here "
                               "holds "
                            << other.begin << " to " << other.end;
  diag.attachNote(other.maker->getLoc()) << "made here";
  if (!other.lastUse)
    diag.attachNote(other.maker->getLoc()) << "and needed in the next step";
  else if (other.lastUse != buffer.maker && other.lastUse != other.maker)
    diag.attachNote(other.lastUse->getLoc()) << "and needed until here";
  return diag;
}

/// Takes the bytes of a buffer from those that had them.
LogicalResult ArenaVerifier::take(size_t index) {
  const Buffer &buffer = buffers[index];
  auto at = owners.upper_bound(buffer.begin);
  if (at != owners.begin() && std::prev(at)->second.first > buffer.begin)
    --at;
  while (at != owners.end() && at->first < buffer.end) {
    auto [begin, owner] = *at;
    const Buffer &other = buffers[owner.second];
    if (!other.lastUse || !order.isBefore(other.lastUse, buffer.maker))
      return refuse(buffer, other);
    at = owners.erase(at);
    if (begin < buffer.begin)
      owners[begin] = {buffer.begin, owner.second};
    if (owner.first > buffer.end)
      owners[buffer.end] = owner;
  }
  owners[buffer.begin] = {buffer.end, index};
  return success();
}

LogicalResult ArenaVerifier::place(Operation *maker, Operation *lastUse,
                                   const Twine &slot,
                                   std::optional<int64_t> offset,
                                   int64_t bytes) {
  if (!offset)
    return maker->emitOpError("has no offset for ") << slot;
  if (*offset % bufferAlignment != 0)
    return maker->emitError("offset ")
           << *offset << " is not a multiple of " << bufferAlignment;
  if (*offset < 0 || *offset > arena - bytes)
    return maker->emitError()
           << bytes << " bytes at " << *offset << " are outside the arena of "
           << arena << " bytes";
  buffers.push_back({maker, lastUse, *offset, *offset + bytes});
  return bytes > 0 ? take(buffers.size() - 1) : success();
}

LogicalResult ArenaVerifier::visit(Operation *op) {
  if (isa<SendStartOp, WaitOp>(op))
    return success();
  auto offsets = op->getAttrOfType<DenseI64ArrayAttr>("offsets");
  for (OpResult result : op->getResults()) {
    unsigned number = result.getResultNumber();
    Operation *lastUse = isa<ResidentOp>(op) ? nullptr : op;
    if (lastUse)
      findLastUse(result, lastUse);
    auto receiving = dyn_cast<ReceivingType>(result.getType());
    int64_t bytes = getValueBytes(receiving ? Type(receiving.getTensor())
                                            : result.getType());
    if (failed(place(op, lastUse, "result " + Twine(number),
                     offsets && number < offsets.size()
                         ? std::optional(offsets[number])
                         : std::nullopt,
                     bytes)))
      return failure();
  }
  auto run = dyn_cast<RunOp>(op);
  int64_t bytes = run ? getScratchBytes(run) : 0;
  return bytes == 0 ? success()
                    : place(op, op, "its workspace", run.getScratch(), bytes);
}

/// Checks that the arena ends where its last buffer does.
LogicalResult ArenaVerifier::verifySize() {
  if (program.getLimit() && arena > int64_t(*program.getLimit()))
    return program.emitError("device ")
           << program.getDevice() << " needs " << arena
           << " bytes, but the memory limit is " << *program.getLimit();
  auto last = llvm::max_element(
      buffers, [](const Buffer &a, const Buffer &b) { return a.end < b.end; });
  int64_t used = last == buffers.end() ? 0 : alignBuffer(last->end);
  if (arena == used)
    return success();
  InFlightDiagnostic diag = program.emitOpError("has an arena of ")
                            << arena << " bytes, but its buffers take " << used;
  if (last != buffers.end())
    diag.attachNote(last->maker->getLoc()) << "the last one is made here";
  return diag;
}

LogicalResult ArenaVerifier::verify() {
  for (Operation &op : program.getBody().front())
    if (failed(visit(&op)))
      return failure();
  return verifySize();
}

LogicalResult weir::verifyArena(const ProgramsOfPipeline &all,
                                ProgramOp program, const HappensBefore &order) {
  return ArenaVerifier(all, program, order).verify();
}
