//===----------------------------------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SmallPipelines.h"

#include "weir/Analysis/HappensBefore.h"

#include "mlir/Parser/Parser.h"

#include "gtest/gtest.h"

using namespace mlir;
using namespace weir;

namespace {

/// Which op comes before which, by search through the edges that the runtime
/// makes, one wait and one start at a time.
class Reachability {
public:
  explicit Reachability(ArrayRef<ProgramOp> programs) {
    std::map<std::pair<int64_t, int64_t>, SmallVector<Operation *>> sends;
    for (ProgramOp program : programs)
      for (auto send : program.getBody().getOps<SendStartOp>())
        sends[{program.getDevice(), send.getPeer()}].push_back(send);
    std::map<std::pair<int64_t, int64_t>, size_t> next;
    for (ProgramOp program : programs)
      for (Operation &op : program.getBody().front()) {
        if (Operation *following = op.getNextNode())
          after[&op].push_back(following);
        auto receive = dyn_cast<RecvStartOp>(op);
        if (!receive)
          continue;
        std::pair<int64_t, int64_t> pair(receive.getPeer(),
                                         program.getDevice());
        Operation *send = sends[pair][next[pair]++];
        for (Operation *start : {send, &op})
          for (Operation *end : {send, &op})
            for (Operation *wait : end->getUsers())
              after[start].push_back(wait);
      }
  }

  DenseSet<Operation *> getAllAfter(Operation *op) {
    DenseSet<Operation *> seen;
    SmallVector<Operation *> stack(after[op]);
    while (!stack.empty())
      if (Operation *next = stack.pop_back_val(); seen.insert(next).second)
        llvm::append_range(stack, after[next]);
    return seen;
  }

private:
  DenseMap<Operation *, SmallVector<Operation *>> after;
};

} // namespace

// The clocks agree with a search for every pair of ops.
TEST(HappensBefore, AgreesWithSearch) {
  MLIRContext context;
  loadDialects(context);
  for (const SmallCase &parameters :
       {SmallCase{"v-half", 4, 2, 3}, SmallCase{"1f1b", 4, 4, 3},
        SmallCase{"zb-h1", 3, 3, 4}, SmallCase{"interleaved-1f1b", 4, 2, 4}}) {
    auto module = makePrograms(context, parameters);
    ASSERT_TRUE(module) << parameters.schedule;
    SmallVector<ProgramOp> programs = getPrograms(*module);
    HappensBefore order(programs);
    EXPECT_TRUE(order.findCycle().empty());
    Reachability search(programs);
    SmallVector<Operation *> ops;
    for (ProgramOp program : programs)
      for (Operation &op : program.getBody().front())
        ops.push_back(&op);
    int across = 0;
    for (Operation *before : ops) {
      DenseSet<Operation *> later = search.getAllAfter(before);
      for (Operation *after : ops) {
        ASSERT_EQ(order.isBefore(before, after), later.contains(after))
            << parameters.schedule;
        across += later.contains(after) &&
                  order.getDevice(before) != order.getDevice(after);
      }
    }
    EXPECT_GT(across, 100);
  }
}

// A program that waits for what another one sends only after it has waited for
// the first: the cycle is two waits and two starts, in that order.
TEST(HappensBefore, FindsCycle) {
  MLIRContext context;
  loadDialects(context);
  auto program = [](int device) {
    std::string own = std::to_string(device), peer = std::to_string(1 - device);
    return "weir.program @d" + own + " of @p device " + own +
           " microbatches 1 {\n%t = weir.load \"x\" microbatch 0 : "
           "tensor<f32>\n"
           "%r = weir.recv_start from " +
           peer + " message " + peer +
           " : !weir.receiving<tensor<f32>>\n"
           "%x = weir.wait %r : !weir.receiving<tensor<f32>> -> tensor<f32>\n"
           "%s = weir.send_start %t to " +
           peer + " message " + own +
           " : tensor<f32>\nweir.wait %s : !weir.sending\n}\n";
  };
  auto module = parseSourceString<ModuleOp>(
      "weir.pipeline @p stages 1 (%t = \"x\" : tensor<f32>) {\n"
      "weir.forward 0 (%x = %t : tensor<f32>) {\n}\n}\n" +
          program(0) + program(1),
      &context);
  ASSERT_TRUE(module);
  SmallVector<ProgramOp> programs = getPrograms(*module);
  HappensBefore order(programs);
  SmallVector<HappensBefore::Step> cycle = order.findCycle();
  ASSERT_EQ(cycle.size(), 4u);
  using Order = HappensBefore::Order;
  for (auto [index, step] : llvm::enumerate(cycle)) {
    bool isWait = index % 2 == 0;
    EXPECT_EQ(isa<WaitOp>(step.op), isWait);
    EXPECT_EQ(isa<SendStartOp>(step.op), !isWait);
    EXPECT_EQ(step.order, isWait ? Order::Rendezvous : Order::Program);
    EXPECT_EQ(order.getDevice(step.op), index == 1 || index == 2 ? 1 : 0);
  }
}
