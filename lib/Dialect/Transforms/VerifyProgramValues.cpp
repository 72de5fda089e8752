//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyPrograms.h"

#include <map>

using namespace mlir;
using namespace weir;

namespace {

/// What a value of a program is: a value of the pipeline for one microbatch,
/// the gradient of one use of a variable, or the count of the step.
struct Meaning {
  Value value;
  int64_t microbatch = -1;
  StringRef variable;
  int64_t use = -1;
  bool isCount = false;

  bool operator==(const Meaning &) const = default;
};

class ValueVerifier {
public:
  ValueVerifier(const ProgramsOfPipeline &all, const HappensBefore &order)
      : all(all), order(order), pipeline(all.pipeline) {}

  LogicalResult verify();

private:
  LogicalResult verifyRun(ProgramOp program, RunOp run);
  LogicalResult verifyOnce(ProgramOp program, RunOp run, PassKind part);
  LogicalResult verifyTypes(RunOp run);
  LogicalResult verifyLoad(LoadOp load);
  LogicalResult verifySend(SendStartOp send);
  LogicalResult verifyMicrobatch(SendStartOp send);
  LogicalResult verifyOperands(RunOp run);
  LogicalResult verifyUpdate(RunOp run);
  LogicalResult verifyComplete();

  const RunSignature &getSignature(RunOp run);
  Meaning getMeaning(Value value);
  std::string describe(const Meaning &meaning);

  const ProgramsOfPipeline &all;
  const HappensBefore &order;
  PipelineOp pipeline;
  std::map<std::pair<int64_t, PassKind>, RunSignature> signatures; // by stage
  /// Runs by stage, kind (never fused) and microbatch.
  std::map<std::tuple<int64_t, PassKind, int64_t>, RunOp> runs;
  DenseMap<int64_t, RunOp> firstRunOfStage;
};

} // namespace

const RunSignature &ValueVerifier::getSignature(RunOp run) {
  int64_t stage = *run.getStage();
  auto [it, isNew] = signatures.try_emplace({stage, run.getPass()});
  if (isNew)
    it->second = getRunSignature(all.stages[stage], run.getPass());
  return it->second;
}

Meaning ValueVerifier::getMeaning(Value value) {
  Operation *op = value.getDefiningOp();
  if (auto wait = dyn_cast<WaitOp>(op)) {
    Operation *send = order.getOther(wait.getToken().getDefiningOp());
    return getMeaning(cast<SendStartOp>(send).getValue());
  }
  if (auto resident = dyn_cast<ResidentOp>(op)) {
    if (resident.getKind() == ResidentKind::Gradient)
      return {Value(), -1, *resident.getVariable(),
              static_cast<int64_t>(*resident.getIndex())};
    Meaning meaning;
    meaning.isCount = resident.getKind() == ResidentKind::Count;
    return meaning;
  }
  if (auto load = dyn_cast<LoadOp>(op)) {
    for (auto [input, argument] :
         llvm::zip(pipeline.getInputs(), pipeline.getBody().getArguments()))
      if (cast<StringAttr>(input).getValue() == load.getInput())
        return {argument, static_cast<int64_t>(load.getMicrobatch())};
    return {};
  }
  auto run = cast<RunOp>(op);
  const RunSignature &signature = getSignature(run);
  unsigned number = cast<OpResult>(value).getResultNumber();
  size_t outputs = signature.outputs.size();
  return {number < outputs ? signature.outputs[number]
                           : signature.between[number - outputs],
          static_cast<int64_t>(*run.getMicrobatch())};
}

std::string ValueVerifier::describe(const Meaning &meaning) {
  if (meaning.isCount)
    return "the count";
  if (!meaning.variable.empty())
    return ("the gradient of use " + Twine(meaning.use) + " of @" +
            meaning.variable)
        .str();
  if (!meaning.value)
    return "something else";
  std::string mb = " of microbatch " + std::to_string(meaning.microbatch);
  if (auto argument = dyn_cast<BlockArgument>(meaning.value))
    return ("input " +
            cast<StringAttr>(pipeline.getInputs()[argument.getArgNumber()])
                .getValue() +
            mb)
        .str();
  auto result = cast<OpResult>(meaning.value);
  auto pass = cast<StagePassOpInterface>(result.getOwner());
  return ("result " + Twine(result.getResultNumber()) + " of " +
          stringifyPassKind(pass.getPassKind()) + " " +
          Twine(pass.getStageNumber()) + mb)
      .str();
}

LogicalResult ValueVerifier::verifyRun(ProgramOp program, RunOp run) {
  int64_t stage = *run.getStage(), microbatch = *run.getMicrobatch();
  PassKind kind = run.getPass();
  if (stage < 0 || stage >= int64_t(all.stages.size()))
    return run.emitOpError("runs stage ") << stage << ", but the pipeline has "
                                          << all.stages.size() << " stages";
  if (microbatch < 0 || microbatch >= all.microbatches)
    return run.emitOpError("runs microbatch ")
           << microbatch << " of " << all.microbatches;
  auto [first, isFirst] = firstRunOfStage.try_emplace(stage, run);
  if (!isFirst &&
      order.getDevice(first->second) != int64_t(program.getDevice())) {
    InFlightDiagnostic diag = run.emitError("stage ")
                              << stage << " runs on two devices";
    diag.attachNote(first->second.getLoc()) << "it runs here too";
    return diag;
  }
  for (PassKind part : getRunKinds(kind))
    if (failed(verifyOnce(program, run, part)))
      return failure();
  return verifyTypes(run);
}

/// Checks that `part` of the run has not run for its microbatch before, but has
/// for the one before it.
LogicalResult ValueVerifier::verifyOnce(ProgramOp program, RunOp run,
                                        PassKind part) {
  int64_t stage = *run.getStage(), microbatch = *run.getMicrobatch();
  if (!all.stages[stage].get(part))
    return run.emitError("stage ")
           << stage << " has no " << stringifyPassKind(part);
  auto [it, isNew] = runs.try_emplace({stage, part, microbatch}, run);
  if (!isNew) {
    InFlightDiagnostic diag = run.emitError() << stringifyPassKind(part) << " "
                                              << stage << " of microbatch "
                                              << microbatch << " runs twice";
    diag.attachNote(it->second.getLoc()) << "it runs here too";
    return diag;
  }
  if (microbatch == 0 || runs.count({stage, part, microbatch - 1}))
    return success();
  InFlightDiagnostic diag =
      run.emitError() << stringifyPassKind(part) << " " << stage
                      << " of microbatch " << microbatch
                      << " runs before that of microbatch " << microbatch - 1;
  for (auto other : program.getBody().getOps<RunOp>())
    if (other.getStage() == run.getStage() &&
        other.getMicrobatch() == uint64_t(microbatch - 1) &&
        llvm::is_contained(getRunKinds(other.getPass()), part))
      diag.attachNote(other.getLoc()) << "which runs here";
  return diag;
}

LogicalResult ValueVerifier::verifyTypes(RunOp run) {
  const RunSignature &signature = getSignature(run);
  auto typesOf = [](ArrayRef<Value> values) {
    return SmallVector<Type>(ValueRange(values).getTypes());
  };
  if (run.getInputs().size() != signature.operands.size() ||
      SmallVector<Type>(run.getOutputs().getTypes()) !=
          typesOf(signature.outputs) ||
      SmallVector<Type>(run.getBetween().getTypes()) !=
          typesOf(signature.between)) {
    InFlightDiagnostic diag =
        run.emitOpError("takes or gives other values than its pass");
    diag.attachNote(all.stages[*run.getStage()]
                        .get(getRunKinds(run.getPass()).front())
                        ->getLoc())
        << "the pass is here";
    return diag;
  }
  return success();
}

LogicalResult ValueVerifier::verifyLoad(LoadOp load) {
  Meaning meaning = getMeaning(load.getResult());
  if (!meaning.value)
    return load.emitOpError("loads \"")
           << load.getInput() << "\", but the pipeline has no such input";
  if (load.getType() != meaning.value.getType())
    return load.emitOpError("loads ") << load.getType() << ", but the input is "
                                      << meaning.value.getType();
  if (load.getMicrobatch() >= uint64_t(all.microbatches))
    return load.emitOpError("loads microbatch ")
           << meaning.microbatch << " of " << all.microbatches;
  return success();
}

/// Checks that a message that says of which microbatch it is is of that one.
LogicalResult ValueVerifier::verifyMicrobatch(SendStartOp send) {
  Meaning meaning = getMeaning(send.getValue());
  std::optional<uint64_t> said = send.getMicrobatch();
  if (!said || int64_t(*said) == meaning.microbatch)
    return success();
  InFlightDiagnostic diag = send.emitOpError("says it is of microbatch ")
                            << *said << ", but sends " << describe(meaning);
  diag.attachNote(send.getValue().getLoc()) << "value produced here";
  return diag;
}

LogicalResult ValueVerifier::verifySend(SendStartOp send) {
  auto resident = send.getValue().getDefiningOp<ResidentOp>();
  if (!resident || resident.getKind() == ResidentKind::Gradient ||
      resident.getKind() == ResidentKind::Count)
    return verifyMicrobatch(send);
  InFlightDiagnostic diag =
      send.emitOpError("sends a resident that every device has for itself: ")
      << stringifyResidentKind(resident.getKind());
  diag.attachNote(resident.getLoc()) << "the resident is here";
  return diag;
}

LogicalResult ValueVerifier::verifyUpdate(RunOp run) {
  StringRef variable = *run.getVariable();
  UpdateOp update = all.findUpdate(variable);
  if (!update)
    return run.emitError("the pipeline has no update of @") << variable;
  if (run.getInputs().size() != update.getUses() + 1)
    return run.emitOpError("needs the gradients of ")
           << update.getUses() << " uses and the count";
  for (auto [index, operand] : llvm::enumerate(run.getInputs())) {
    Meaning expected;
    if (index < update.getUses())
      expected = {Value(), -1, variable, static_cast<int64_t>(index)};
    else
      expected.isCount = true;
    if (getMeaning(operand) == expected)
      continue;
    InFlightDiagnostic diag = run.emitError("operand ")
                              << index << " must be " << describe(expected)
                              << ", but is " << describe(getMeaning(operand));
    diag.attachNote(operand.getLoc()) << "value produced here";
    return diag;
  }
  return success();
}

LogicalResult ValueVerifier::verifyComplete() {
  for (auto [stage, passes] : llvm::enumerate(all.stages))
    for (PassKind kind : {PassKind::Forward, PassKind::BackwardInput,
                          PassKind::BackwardWeight}) {
      StagePassOpInterface pass = passes.get(kind);
      if (!pass)
        continue;
      for (int64_t m = 0; m < all.microbatches; ++m) {
        if (runs.count({int64_t(stage), kind, m}))
          continue;
        InFlightDiagnostic diag = pass->emitError()
                                  << stringifyPassKind(kind) << " " << stage
                                  << " of microbatch " << m
                                  << " is run by no program";
        diag.attachNote(ProgramOp(all.programs.front()).getLoc())
            << "the first of " << all.programs.size() << " programs is here";
        return diag;
      }
    }
  return success();
}

LogicalResult ValueVerifier::verifyOperands(RunOp run) {
  const RunSignature &signature = getSignature(run);
  for (auto [index, operand, value] :
       llvm::enumerate(run.getInputs(), signature.operands)) {
    Meaning expected{value, static_cast<int64_t>(*run.getMicrobatch())};
    Meaning actual = getMeaning(operand);
    if (actual == expected && operand.getType() == value.getType())
      continue;
    InFlightDiagnostic diag = run.emitError("operand ")
                              << index << " must be " << describe(expected)
                              << ", but is " << describe(actual);
    if (Operation *producer = operand.getDefiningOp())
      diag.attachNote(producer->getLoc()) << "value produced here";
    return diag;
  }
  return success();
}

LogicalResult ValueVerifier::verify() {
  // Runs first: the meaning of a value may come from another program.
  for (ProgramOp program : all.programs)
    for (auto run : program.getBody().getOps<RunOp>())
      if (!run.getVariable() && failed(verifyRun(program, run)))
        return failure();
  for (ProgramOp program : all.programs) {
    for (auto load : program.getBody().getOps<LoadOp>())
      if (failed(verifyLoad(load)))
        return failure();
    for (auto send : program.getBody().getOps<SendStartOp>())
      if (failed(verifySend(send)))
        return failure();
  }
  for (ProgramOp program : all.programs)
    for (auto run : program.getBody().getOps<RunOp>())
      if (failed(run.getVariable() ? verifyUpdate(run) : verifyOperands(run)))
        return failure();
  return verifyComplete();
}

LogicalResult weir::verifyValues(const ProgramsOfPipeline &all,
                                 const HappensBefore &order) {
  return ValueVerifier(all, order).verify();
}
