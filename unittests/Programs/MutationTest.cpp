//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Good programs are changed in one place at random. What weir-verify-programs
// still accepts must end, and leave the same in every resident, however fast
// the devices and the transfers are.
//
//===----------------------------------------------------------------------===//

#include "ProgramInterpreter.h"
#include "SmallPipelines.h"

#include "mlir/IR/Verifier.h"

#include "gtest/gtest.h"

#include <random>

using namespace mlir;
using namespace weir;

namespace {

using Random = std::mt19937_64;

/// One way to change a program; false if there is nothing to change here.
struct Mutation {
  const char *name;
  bool (*apply)(Operation *op, Random &random);
  bool isAlwaysWrong; ///< whatever it is applied to
};

} // namespace

static size_t draw(Random &random, size_t count) { return random() % count; }

/// Another op of the same program.
static Operation *drawOther(Operation *op, Random &random) {
  Block::OpListType &ops = op->getBlock()->getOperations();
  return &*std::next(ops.begin(), draw(random, ops.size()));
}

static bool isResident(Operation *op) { return isa<ResidentOp>(op); }

static bool changeNumber(Operation *op, StringRef name, int64_t difference) {
  auto number = op->getAttrOfType<IntegerAttr>(name);
  if (!number || number.getInt() + difference < 0)
    return false;
  op->setAttr(name,
              Builder(op).getI64IntegerAttr(number.getInt() + difference));
  return true;
}

static int64_t drawSign(Random &random) { return random() % 2 ? 1 : -1; }

static bool deleteOp(Operation *op, Random &random) {
  for (Value result : op->getResults())
    for (Value other : drawOther(op, random)->getResults())
      if (other != result && other.getType() == result.getType()) {
        result.replaceAllUsesWith(other);
        break;
      }
  if (!op->use_empty())
    return false;
  op->erase();
  return true;
}

static bool swapWithNext(Operation *op, Random &) {
  if (!op->getNextNode() || isResident(op))
    return false;
  op->moveAfter(op->getNextNode());
  return true;
}

static bool moveAnywhere(Operation *op, Random &random) {
  Operation *other = drawOther(op, random);
  if (isResident(op) || other == op)
    return false;
  op->moveAfter(other);
  return true;
}

static bool moveWait(Operation *op, Random &random) {
  return isa<WaitOp>(op) && moveAnywhere(op, random);
}

static bool duplicate(Operation *op, Random &) {
  OpBuilder builder(op);
  builder.clone(*op);
  return true;
}

static bool changeOffset(Operation *op, Random &random) {
  auto offsets = op->getAttrOfType<DenseI64ArrayAttr>("offsets");
  if (!offsets || offsets.empty())
    return changeNumber(op, "scratch", 64 * drawSign(random));
  SmallVector<int64_t> changed(offsets.asArrayRef());
  changed[draw(random, changed.size())] += 64 * drawSign(random);
  op->setAttr("offsets", Builder(op).getDenseI64ArrayAttr(changed));
  return true;
}

static bool exchangeOffsets(Operation *op, Random &random) {
  Operation *other = drawOther(op, random);
  Attribute mine = op->getAttr("offsets"), others = other->getAttr("offsets");
  if (!mine || !others || mine == others)
    return false;
  op->setAttr("offsets", others);
  other->setAttr("offsets", mine);
  return true;
}

static bool changePeer(Operation *op, Random &random) {
  return changeNumber(op, "peer", drawSign(random));
}

static bool changeMessage(Operation *op, Random &random) {
  return changeNumber(op, "message", drawSign(random));
}

static bool changeMicrobatch(Operation *op, Random &random) {
  return changeNumber(op, "microbatch", drawSign(random));
}

static bool changeStage(Operation *op, Random &random) {
  return changeNumber(op, "stage", drawSign(random));
}

static bool changeIndex(Operation *op, Random &random) {
  return changeNumber(op, "index", drawSign(random));
}

static bool changeKind(Operation *op, Random &) {
  auto run = dyn_cast<RunOp>(op);
  if (!run || run.getVariable())
    return false;
  run.setPass(run.getPass() == PassKind::BackwardWeight
                  ? PassKind::Forward
                  : PassKind::BackwardWeight);
  return true;
}

/// A received tensor gets another shape of the same size.
static bool changeType(Operation *op, Random &) {
  auto receive = dyn_cast<RecvStartOp>(op);
  if (!receive)
    return false;
  auto tensor = receive.getToken().getType().getTensor();
  auto other = RankedTensorType::get({1, tensor.getNumElements()},
                                     tensor.getElementType());
  receive.getToken().setType(ReceivingType::get(op->getContext(), other));
  for (Operation *wait : receive->getUsers())
    wait->getResult(0).setType(other);
  return true;
}

static bool changeOperand(Operation *op, Random &random) {
  if (op->getNumOperands() == 0)
    return false;
  OpOperand &operand = op->getOpOperand(draw(random, op->getNumOperands()));
  for (Value other : drawOther(op, random)->getResults())
    if (other != operand.get() && other.getType() == operand.get().getType()) {
      operand.set(other);
      return true;
    }
  return false;
}

static bool changeArena(Operation *op, Random &random) {
  return changeNumber(op->getParentOp(), "arena", 64 * drawSign(random));
}

static constexpr Mutation mutations[] = {
    {"delete", deleteOp, false},
    {"swap", swapWithNext, false},
    {"move", moveAnywhere, false},
    {"move a wait", moveWait, false},
    {"duplicate", duplicate, false},
    {"change an offset", changeOffset, false},
    {"exchange offsets", exchangeOffsets, false},
    {"change a peer", changePeer, true},
    {"change a message", changeMessage, true},
    {"change a microbatch", changeMicrobatch, true},
    {"change a stage", changeStage, true},
    {"change an index", changeIndex, true},
    {"change a kind", changeKind, true},
    {"change a type", changeType, true},
    {"change an operand", changeOperand, false},
    {"change an arena", changeArena, true},
};

/// What the programs do at different speeds, or nothing if that is not the same
/// each time.
static std::optional<Outcome> getOutcome(ModuleOp module) {
  SmallVector<ProgramOp> programs = getPrograms(module);
  std::optional<Outcome> first = interpret(programs, Speed::Eager, 0);
  for (uint64_t seed = 1; first && seed < 9; ++seed) {
    Speed speed = seed % 4 == 0 ? Speed::Lazy : Speed::Random;
    std::optional<Outcome> next = interpret(programs, speed, seed);
    if (next != first)
      return std::nullopt;
  }
  return first;
}

/// Applies the mutation somewhere; null if it makes no legal IR.
static OwningOpRef<ModuleOp> mutate(ModuleOp module, const Mutation &mutation,
                                    Random &random) {
  ScopedDiagnosticHandler quiet(module.getContext(),
                                [](Diagnostic &) { return success(); });
  for (int attempt = 0; attempt < 20; ++attempt) {
    OwningOpRef<ModuleOp> changed = module.clone();
    SmallVector<ProgramOp> programs = getPrograms(*changed);
    ProgramOp program = programs[draw(random, programs.size())];
    Block::OpListType &ops = program.getBody().front().getOperations();
    Operation *op = &*std::next(ops.begin(), draw(random, ops.size()));
    if (mutation.apply(op, random) && succeeded(verify(*changed)))
      return changed;
  }
  return nullptr;
}

namespace {

class Mutants : public testing::TestWithParam<SmallCase> {};

} // namespace

TEST_P(Mutants, AreRefusedOrHarmless) {
  MLIRContext context;
  loadDialects(context);
  auto unplanned = makePrograms(context, GetParam());
  ASSERT_TRUE(unplanned);
  std::string errors;
  OwningOpRef<ModuleOp> planned = unplanned->clone();
  ASSERT_TRUE(runPass(*planned, "weir-plan-memory", errors)) << errors;
  ASSERT_TRUE(runPass(*planned, "weir-verify-programs", errors)) << errors;
  std::optional<Outcome> expected = getOutcome(*planned);
  ASSERT_TRUE(expected);

  Random random(7);
  int refused = 0, harmless = 0;
  for (const Mutation &mutation : mutations)
    for (int number = 0; number < 24; ++number) {
      bool isPlanned = number % 3 != 0 || mutation.apply == changeArena;
      auto mutant = mutate(isPlanned ? *planned : *unplanned, mutation, random);
      if (!mutant)
        continue;
      std::string said;
      if (!runPass(*mutant, "weir-verify-programs", said)) {
        EXPECT_FALSE(said.empty()) << mutation.name;
        ++refused;
        continue;
      }
      ++harmless;
      std::string text;
      llvm::raw_string_ostream(text) << *mutant;
      EXPECT_FALSE(mutation.isAlwaysWrong) << mutation.name << "\n" << text;
      if (!isPlanned)
        ASSERT_TRUE(runPass(*mutant, "weir-plan-memory", said)) << said;
      EXPECT_EQ(getOutcome(*mutant), expected) << mutation.name << "\n" << text;
    }
  RecordProperty("refused", refused);
  RecordProperty("harmless", harmless);
  // Neither answer alone would be worth much.
  EXPECT_GT(refused, 100);
  EXPECT_GT(harmless, 5);
}

// The judge of the mutants can tell: a transfer that is not waited for before
// its buffer is written over, and an accumulation that comes too late, show.
TEST(MutantsJudge, SeesHarm) {
  MLIRContext context;
  loadDialects(context);
  auto module = makePrograms(context, {"1f1b", 3, 3, 3});
  std::string errors;
  ASSERT_TRUE(module && runPass(*module, "weir-plan-memory", errors));
  std::optional<Outcome> expected = getOutcome(*module);
  Random random(11);
  int seen = 0;
  for (const Mutation &mutation : mutations)
    if (mutation.apply == changeOperand || mutation.apply == exchangeOffsets ||
        mutation.apply == deleteOp)
      for (int number = 0; number < 10; ++number)
        if (auto mutant = mutate(*module, mutation, random)) {
          std::string said;
          if (!runPass(*mutant, "weir-verify-programs", said) &&
              StringRef(said).contains("are still in use"))
            seen += getOutcome(*mutant) != expected;
        }
  EXPECT_GT(seen, 2);
}

INSTANTIATE_TEST_SUITE_P(
    Programs, Mutants,
    testing::Values(SmallCase{"v-half", 4, 2, 3}, SmallCase{"1f1b", 3, 3, 4},
                    SmallCase{"1f1b", 4, 4, 3}, SmallCase{"zb-h1", 2, 2, 4},
                    SmallCase{"interleaved-1f1b", 4, 2, 2}),
    [](const testing::TestParamInfo<SmallCase> &info) {
      std::string name = info.param.schedule + "_" +
                         std::to_string(info.param.stages) + "_" +
                         std::to_string(info.param.devices);
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });
