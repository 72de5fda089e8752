//===- Nccl.cpp - NCCL, emulated ------------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A communicator's ranks find each other by the name that is the unique
// id: rank r listens at <id>/<communicator>.<r>. Rank 0 collects what
// all must know. A transfer has a connection per sender and receiver, made for
// the first one:
//
//   receiver                    sender
//      ── bytes, clock ──>                   once the receive runs
//      <── bytes, clock, data ──             once the send runs
//
// so that nothing moves before both run: a rendezvous. The transfers of a
// communicator run in the order of the calls, whatever their streams, as those
// of NCCL do; those of a group run together.
//
// A communicator that does not block works in the background: the calls return
// ncclInProgress, and transfers reach their stream only some time later.
//
//===----------------------------------------------------------------------===//

#include "Connection.h"
#include "Fault.h"
#include "Graph.h"
#include "Stream.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <nccl.h>
#include <random>
#include <set>
#include <tuple>
#include <unistd.h>
#include <utility>

using namespace weir::emulated;

namespace {

struct Transfer {
  bool isSend;
  char *data;
  size_t bytes;
  int peer;
};

/// What a rank says when it connects.
struct Hello {
  enum Kind : int32_t { Join, Data } kind;
  int32_t rank, device;
  char host[64];
};

struct Communicator {
  std::string id, name;
  int ranks, rank;
  Device &device;
  bool blocking;

  Alarm aborted;
  Connection listening;

  std::mutex mutex;
  std::condition_variable changed;
  ncclResult_t state = ncclInProgress;
  std::string message;
  /// By peer. Control connections are between rank 0 and each other rank.
  std::map<int, Connection> outgoing, incoming, control;
  std::map<int, Hello> joined;
  int splits = 0;
  /// Transfers that run now, and threads in the background.
  int running = 0;
  bool destroyed = false;

  /// The last transfers on a stream, and in the capture of that number.
  std::shared_ptr<Record> last;
  uint64_t capture = 0;
  cudaGraphNode_t lastNode = nullptr;

  Communicator(std::string id, std::string name, int ranks, int rank,
               Device &device, bool blocking)
      : id(std::move(id)), name(std::move(name)), ranks(ranks), rank(rank),
        device(device), blocking(blocking) {}
  std::string pathOf(int other) const {
    return id + "/" + name + "." + std::to_string(other);
  }
  void setState(ncclResult_t result, const std::string &why = {});
  ncclResult_t getState();
};
using CommunicatorPtr = std::shared_ptr<Communicator>;

/// What a thread has called between ncclGroupStart and ncclGroupEnd.
struct Group {
  struct Call {
    CommunicatorPtr communicator;
    cudaStream_t stream;
    Transfer transfer;
  };
  int depth = 0;
  std::vector<Call> calls;
  std::vector<CommunicatorPtr> inProgress;
  ncclResult_t error = ncclSuccess;
};

} // namespace

struct ncclComm {
  CommunicatorPtr communicator;
};

static thread_local Group group;

static std::mutex &messageMutex() {
  static auto &mutex = *new std::mutex;
  return mutex;
}

static std::string &lastMessage() {
  static auto &message = *new std::string;
  return message;
}

static ncclResult_t fail(ncclResult_t result, const std::string &message) {
  std::lock_guard lock(messageMutex());
  lastMessage() = message;
  return result;
}

void Communicator::setState(ncclResult_t result, const std::string &why) {
  if (!why.empty())
    fail(result, "rank " + std::to_string(rank) + ": " + why);
  std::lock_guard lock(mutex);
  // The first error stays.
  if (state == ncclSuccess || state == ncclInProgress)
    state = result;
  changed.notify_all();
}

ncclResult_t Communicator::getState() {
  std::lock_guard lock(mutex);
  return state;
}

//===----------------------------------------------------------------------===//
// Making communicators
//===----------------------------------------------------------------------===//

/// Takes connections of other ranks until the communicator ends.
static void acceptAll(Communicator &communicator) {
  while (Connection connection =
             acceptFrom(communicator.listening, communicator.aborted)) {
    Hello hello;
    if (!connection.receive(&hello, sizeof(hello), communicator.aborted))
      continue;
    std::lock_guard lock(communicator.mutex);
    auto &connections = hello.kind == Hello::Join ? communicator.control
                                                  : communicator.incoming;
    connections[hello.rank] = std::move(connection);
    if (hello.kind == Hello::Join)
      communicator.joined[hello.rank] = hello;
    communicator.changed.notify_all();
  }
}

static Hello makeHello(const Communicator &communicator, Hello::Kind kind) {
  Hello hello = {kind, communicator.rank, communicator.device.index, {}};
  if (const char *host = getenv("NCCL_HOSTID"))
    strncpy(hello.host, host, sizeof(hello.host) - 1);
  return hello;
}

/// Waits for all ranks to join rank 0. A device has one rank of a communicator
/// at most, unless its ranks claim to run on different hosts.
static ncclResult_t collectRanks(Communicator &communicator) {
  std::unique_lock lock(communicator.mutex);
  while (int(communicator.joined.size()) + 1 < communicator.ranks) {
    if (communicator.aborted.isSet())
      return ncclInternalError;
    communicator.changed.wait_for(lock, std::chrono::milliseconds(20));
  }
  communicator.joined[0] = makeHello(communicator, Hello::Join);
  std::set<std::pair<std::string, int>> devices;
  for (auto &[rank, hello] : communicator.joined)
    devices.insert({hello.host, hello.device});
  bool distinct = devices.size() == communicator.joined.size();
  ncclResult_t result = distinct ? ncclSuccess : ncclInvalidUsage;
  for (auto &[rank, connection] : communicator.control)
    connection.send(&result, sizeof(result), communicator.aborted);
  return result;
}

static ncclResult_t joinRankZero(Communicator &communicator) {
  Hello hello = makeHello(communicator, Hello::Join);
  Connection connection =
      connectTo(communicator.pathOf(0), communicator.aborted);
  ncclResult_t result;
  if (!connection ||
      !connection.send(&hello, sizeof(hello), communicator.aborted) ||
      !connection.receive(&result, sizeof(result), communicator.aborted))
    return ncclRemoteError;
  std::lock_guard lock(communicator.mutex);
  communicator.control[0] = std::move(connection);
  return result;
}

/// Waits until all ranks are there.
static ncclResult_t start(const CommunicatorPtr &communicator) {
  std::string path = communicator->pathOf(communicator->rank);
  communicator->listening = listenAt(path);
  if (!communicator->listening)
    return fail(ncclSystemError, "cannot listen at " + path);
  runOnThread([communicator] { acceptAll(*communicator); });
  return communicator->rank == 0 ? collectRanks(*communicator)
                                 : joinRankZero(*communicator);
}

static std::string explain(ncclResult_t result) {
  switch (result) {
  case ncclSuccess:
    return {};
  case ncclInvalidUsage:
    return "two ranks of a communicator on one device";
  default:
    return "the ranks of a communicator could not connect";
  }
}

/// Runs `work` on a communicator in the background. A communicator that blocks
/// waits for it, at the end of the group if it is in one.
static ncclResult_t inBackground(const CommunicatorPtr &communicator,
                                 std::function<void()> work) {
  {
    std::lock_guard lock(communicator->mutex);
    // An error that came just now is not forgotten.
    if (communicator->state == ncclSuccess)
      communicator->state = ncclInProgress;
  }
  runOnThread([host = hostClock(), work = std::move(work)] {
    actForHost(host);
    work();
  });
  if (group.depth > 0) {
    group.inProgress.push_back(communicator);
    return ncclSuccess;
  }
  if (!communicator->blocking)
    return ncclInProgress;
  std::unique_lock lock(communicator->mutex);
  communicator->changed.wait(
      lock, [&] { return communicator->state != ncclInProgress; });
  return communicator->state;
}

/// Why a communicator can take no call now.
static ncclResult_t callError(ncclComm_t comm) {
  if (!comm)
    return fail(ncclInvalidArgument, "a null communicator");
  ncclResult_t state = comm->communicator->getState();
  if (state == ncclInProgress)
    return fail(ncclInvalidArgument,
                "a communicator is used before its last call has ended");
  return state;
}

/// Lets waiting transfers go on, the peers' see that this rank is gone, and
/// returns when none is left.
static void endTransfers(Communicator &communicator) {
  communicator.aborted.set();
  std::unique_lock lock(communicator.mutex);
  for (auto *connections :
       {&communicator.outgoing, &communicator.incoming, &communicator.control})
    for (auto &[peer, connection] : *connections)
      connection.shutDown();
  communicator.changed.notify_all();
  communicator.changed.wait(lock, [&] { return communicator.running == 0; });
}

ncclResult_t ncclGetVersion(int *version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  std::random_device random;
  std::string group =
      "weir-nccl-" + std::to_string(random()) + "-" + std::to_string(random());
  *id = {};
  memcpy(id->internal, group.c_str(), group.size());
  return ncclSuccess;
}

static bool isBlocking(const ncclConfig_t *config, bool otherwise) {
  return !config || config->blocking == NCCL_CONFIG_UNDEF_INT
             ? otherwise
             : config->blocking != 0;
}

static bool isValid(const ncclConfig_t *config) {
  return !config ||
         (config->size == sizeof(ncclConfig_t) && config->magic == 0xcafebeef);
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int ranks,
                                    ncclUniqueId id, int rank,
                                    ncclConfig_t *config) {
  if (weir::emulated::callError())
    return fail(ncclUnhandledCudaError, "the device has failed");
  if (!comm || ranks < 1 || rank < 0 || rank >= ranks || !isValid(config) ||
      !memchr(id.internal, 0, sizeof(id.internal)))
    return fail(ncclInvalidArgument, "ncclCommInitRankConfig: bad argument");
  auto made =
      std::make_shared<Communicator>(id.internal, "world", ranks, rank,
                                     currentDevice(), isBlocking(config, true));
  *comm = new ncclComm{made};
  return inBackground(made, [made] {
    ncclResult_t result = start(made);
    made->setState(result, explain(result));
  });
}

namespace {

/// What a rank says to a split.
struct Choice {
  int32_t color, key, rank;
};

} // namespace

/// The choices of all ranks, or none if one is gone.
static std::vector<Choice> exchangeChoices(Communicator &communicator,
                                           Choice own) {
  std::vector<Choice> all(communicator.ranks);
  all[communicator.rank] = own;
  const Alarm &alarm = communicator.aborted;
  size_t bytes = all.size() * sizeof(Choice);
  // The connections do not change once all ranks have joined.
  for (auto &[peer, connection] : communicator.control) {
    bool received = communicator.rank == 0
                        ? connection.receive(&all[peer], sizeof(Choice), alarm)
                        : connection.send(&own, sizeof(Choice), alarm) &&
                              connection.receive(all.data(), bytes, alarm);
    if (!received)
      return {};
  }
  if (communicator.rank == 0)
    for (auto &[peer, connection] : communicator.control)
      if (!connection.send(all.data(), bytes, alarm))
        return {};
  return all;
}

/// A short name that no other communicator of the id has.
static std::string childName(const Communicator &parent, int split,
                             int32_t color) {
  std::string path =
      parent.name + "/" + std::to_string(split) + "/" + std::to_string(color);
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (char character : path)
    hash = (hash ^ uint8_t(character)) * UINT64_C(0x100000001b3);
  char name[20];
  snprintf(name, sizeof(name), "%016llx",
           static_cast<unsigned long long>(hash));
  return name;
}

static ncclResult_t split(Communicator &parent, int number, Choice own,
                          bool blocking, ncclComm_t *newComm) {
  std::vector<Choice> choices = exchangeChoices(parent, own);
  if (choices.empty())
    return ncclRemoteError;
  if (own.color == NCCL_SPLIT_NOCOLOR)
    return ncclSuccess;
  std::erase_if(choices,
                [&](const Choice &other) { return other.color != own.color; });
  std::sort(choices.begin(), choices.end(),
            [](const Choice &a, const Choice &b) {
              return std::tie(a.key, a.rank) < std::tie(b.key, b.rank);
            });
  int rank = 0;
  while (choices[rank].rank != own.rank)
    ++rank;
  auto child = std::make_shared<Communicator>(
      parent.id, childName(parent, number, own.color), int(choices.size()),
      rank, parent.device, blocking);
  ncclResult_t result = start(child);
  if (result != ncclSuccess) {
    endTransfers(*child);
    return result;
  }
  child->setState(ncclSuccess);
  *newComm = new ncclComm{child};
  return ncclSuccess;
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int color, int key,
                           ncclComm_t *newComm, ncclConfig_t *config) {
  if (ncclResult_t error = callError(comm))
    return error;
  if (!newComm || (color < 0 && color != NCCL_SPLIT_NOCOLOR) ||
      !isValid(config))
    return fail(ncclInvalidArgument, "ncclCommSplit: bad argument");
  *newComm = NCCL_COMM_NULL;
  CommunicatorPtr parent = comm->communicator;
  bool blocking = isBlocking(config, parent->blocking);
  int number = parent->splits++;
  return inBackground(parent, [=] {
    ncclResult_t result =
        split(*parent, number, {color, key, parent->rank}, blocking, newComm);
    parent->setState(result, explain(result));
  });
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error) {
  if (!comm || !error)
    return fail(ncclInvalidArgument, "ncclCommGetAsyncError: null");
  *error = comm->communicator->getState();
  return ncclSuccess;
}

static void waitForTransfers(Communicator &communicator) {
  std::shared_ptr<Record> last;
  {
    std::lock_guard lock(communicator.mutex);
    last = communicator.last;
  }
  if (last)
    last->wait();
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (ncclResult_t error = callError(comm))
    return error;
  CommunicatorPtr communicator = comm->communicator;
  return inBackground(communicator, [communicator] {
    waitForTransfers(*communicator);
    communicator->setState(ncclSuccess);
  });
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!comm)
    return ncclSuccess;
  Communicator &communicator = *comm->communicator;
  {
    // What works in the background may still need the communicator.
    std::unique_lock lock(communicator.mutex);
    communicator.changed.wait(
        lock, [&] { return communicator.state != ncclInProgress; });
  }
  if (communicator.getState() == ncclSuccess)
    waitForTransfers(communicator);
  {
    std::lock_guard lock(communicator.mutex);
    communicator.destroyed = true;
  }
  endTransfers(communicator);
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (!comm)
    return ncclSuccess;
  endTransfers(*comm->communicator);
  delete comm;
  return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result) {
  switch (result) {
  case ncclSuccess:
    return "no error";
  case ncclUnhandledCudaError:
    return "unhandled cuda error (run with NCCL_DEBUG=INFO for details)";
  case ncclSystemError:
    return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
  case ncclInternalError:
    return "internal error - please report this issue to the NCCL developers";
  case ncclInvalidArgument:
    return "invalid argument (run with NCCL_DEBUG=WARN for details)";
  case ncclInvalidUsage:
    return "invalid usage (run with NCCL_DEBUG=WARN for details)";
  case ncclRemoteError:
    return "remote process exited or there was a network error";
  case ncclInProgress:
    return "NCCL operation in progress";
  case ncclNumResults:
    break;
  }
  return "unknown result code";
}

const char *ncclGetLastError(ncclComm_t) {
  thread_local std::string message;
  std::lock_guard lock(messageMutex());
  message = lastMessage();
  return message.c_str();
}

//===----------------------------------------------------------------------===//
// Transfers
//===----------------------------------------------------------------------===//

namespace {

/// Precedes the data of a transfer, and asks for it.
struct Header {
  uint64_t bytes, clockWords;
};

/// A transfer on its way: its messages, in order.
class Exchange {
public:
  Exchange(const Transfer &transfer, const Connection &connection,
           const Clock &clock)
      : transfer(transfer), connection(connection), ownClock(clock.words()) {
    own = {transfer.bytes, ownClock.size()};
    next(transfer.isSend ? ReceiveHeader : SendHeader);
  }

  /// The message that moves now; null when all have.
  Message *current() {
    while (step != Done && message.done == message.bytes)
      advance();
    return step == Done ? nullptr : &message;
  }
  /// The sizes of the two ends differ.
  bool mismatched() const { return wrongSize; }
  uint64_t otherBytes() const { return other.bytes; }
  Clock otherClock() const { return Clock::fromWords(words); }

private:
  // A sender:   ReceiveHeader, ReceiveClock, SendHeader, SendClock, Data
  // a receiver: SendHeader, SendClock, ReceiveHeader, ReceiveClock, Data
  enum Step { ReceiveHeader, ReceiveClock, SendHeader, SendClock, Data, Done };

  void advance() {
    switch (step) {
    case ReceiveHeader:
      words.resize(other.clockWords);
      return next(ReceiveClock);
    case ReceiveClock:
      wrongSize = other.bytes != own.bytes;
      return next(transfer.isSend ? SendHeader : Data);
    case SendHeader:
      return next(SendClock);
    case SendClock:
      return next(transfer.isSend ? Data : ReceiveHeader);
    case Data:
    case Done:
      step = Done;
    }
  }

  void next(Step begun) {
    step = begun;
    auto to = [&](bool outgoing, void *data, size_t bytes) {
      message = {&connection, outgoing, static_cast<char *>(data), bytes};
    };
    switch (begun) {
    case ReceiveHeader:
      return to(false, &other, sizeof(other));
    case ReceiveClock:
      return to(false, words.data(), words.size() * sizeof(uint64_t));
    case SendHeader:
      return to(true, &own, sizeof(own));
    case SendClock:
      return to(true, ownClock.data(), ownClock.size() * sizeof(uint64_t));
    case Data:
      return to(transfer.isSend, transfer.data, wrongSize ? 0 : transfer.bytes);
    case Done:
      return;
    }
  }

  Transfer transfer;
  const Connection &connection;
  std::vector<uint64_t> ownClock, words;
  Header own, other = {};
  Step step;
  Message message = {};
  bool wrongSize = false;
};

} // namespace

/// The connection for transfers with a peer, or null if the communicator is
/// aborted before there is one.
static const Connection *connectionFor(Communicator &communicator,
                                       const Transfer &transfer) {
  std::unique_lock lock(communicator.mutex);
  if (transfer.isSend) {
    Connection &connection = communicator.outgoing[transfer.peer];
    if (!connection) {
      Hello hello = makeHello(communicator, Hello::Data);
      connection =
          connectTo(communicator.pathOf(transfer.peer), communicator.aborted);
      if (!connection ||
          !connection.send(&hello, sizeof(hello), communicator.aborted))
        return nullptr;
    }
    return &connection;
  }
  while (!communicator.aborted.isSet()) {
    auto found = communicator.incoming.find(transfer.peer);
    if (found != communicator.incoming.end())
      return &found->second;
    communicator.changed.wait_for(lock, std::chrono::milliseconds(20));
  }
  return nullptr;
}

/// Runs transfers together, those with the same peer and direction in order.
/// False if the communicator has failed; then it waits for its end.
static bool moveAll(Communicator &communicator,
                    const std::vector<Transfer> &transfers, Line &line) {
  // Sends connect at once; a receive waits for the peer to connect.
  std::map<std::pair<bool, int>, std::deque<const Transfer *>> queues;
  for (const Transfer &transfer : transfers)
    queues[{!transfer.isSend, transfer.peer}].push_back(&transfer);
  std::map<std::pair<bool, int>, const Connection *> connections;
  for (auto &[key, queue] : queues)
    if (!(connections[key] = connectionFor(communicator, *queue.front())))
      return false;

  Clock before = line.clock;
  std::map<std::pair<bool, int>, std::unique_ptr<Exchange>> moving;
  while (true) {
    std::vector<Message *> messages;
    std::vector<int> peers;
    for (auto &[key, queue] : queues) {
      std::unique_ptr<Exchange> &exchange = moving[key];
      while (exchange || !queue.empty()) {
        if (!exchange)
          exchange = std::make_unique<Exchange>(*queue.front(),
                                                *connections[key], before);
        Message *message = exchange->current();
        if (message) {
          messages.push_back(message);
          peers.push_back(key.second);
          break;
        }
        if (exchange->mismatched()) {
          communicator.setState(
              ncclInvalidUsage,
              "a transfer of " + std::to_string(queue.front()->bytes) +
                  " bytes meets one of " +
                  std::to_string(exchange->otherBytes()) + " bytes at rank " +
                  std::to_string(key.second));
          return false;
        }
        line.clock.join(exchange->otherClock());
        exchange = nullptr;
        queue.pop_front();
      }
    }
    if (messages.empty())
      return true;
    size_t closed;
    Progress progress = moveSome(messages, communicator.aborted, closed);
    if (progress == Progress::Closed)
      communicator.setState(ncclRemoteError, "rank " +
                                                 std::to_string(peers[closed]) +
                                                 " closed its connection");
    if (progress != Progress::Moved)
      return false;
  }
}

/// The fault that was asked for at one of the transfers, or null.
static const char *transferFault(const Communicator &communicator,
                                 size_t transfers) {
  const char *fault = nullptr;
  for (size_t i = 0; i < transfers; ++i)
    for (const char *kind : {"hang", "async-error", "exit"})
      if (faultNow(kind, communicator.device.index))
        fault = kind;
  return fault;
}

static bool runTransfers(Communicator &communicator,
                         const std::vector<Transfer> &transfers, Line &line) {
  const char *fault = transferFault(communicator, transfers.size());
  if (!fault)
    return moveAll(communicator, transfers, line);
  if (!strcmp(fault, "exit"))
    raise(SIGKILL);
  if (!strcmp(fault, "async-error")) {
    // The peers learn of it by the connections that end.
    for (const Transfer &transfer : transfers)
      if (const Connection *connection = connectionFor(communicator, transfer))
        connection->shutDown();
    communicator.setState(ncclSystemError, "a fault on request");
  }
  return false;
}

/// What a stream runs for the calls of a group on one communicator. As NCCL's
/// kernels, it does not end by an error but by ncclCommAbort.
static void runOnStream(Communicator &communicator,
                        const std::vector<Transfer> &transfers, Line &line) {
  bool destroyed;
  {
    std::lock_guard lock(communicator.mutex);
    ++communicator.running;
    destroyed = communicator.destroyed;
  }
  if (destroyed)
    line.device.fail(cudaErrorIllegalAddress,
                     "a transfer runs after its communicator was destroyed");
  else if (!communicator.aborted.isSet() &&
           !runTransfers(communicator, transfers, line))
    communicator.aborted.wait();
  std::lock_guard lock(communicator.mutex);
  --communicator.running;
  communicator.changed.notify_all();
}

/// Puts an operation behind the last one of the communicator, on `stream` or
/// into the graph that it is captured for.
static cudaError_t enqueueInOrder(Communicator &communicator,
                                  cudaStream_t stream, Operation operation) {
  stream = resolve(stream);
  std::unique_lock captures(captureMutex());
  if (Capture *capture = stream->capture) {
    if (communicator.capture == capture->id)
      capture->join(stream, {communicator.lastNode});
    if (cudaError_t error = capture->add(stream, std::move(operation)))
      return error;
    communicator.capture = capture->id;
    communicator.lastNode = stream->tail.front();
    return cudaSuccess;
  }
  captures.unlock();
  {
    std::lock_guard lock(communicator.mutex);
    operation.waits = communicator.last;
    operation.signals = communicator.last = std::make_shared<Record>();
  }
  stream->push(std::move(operation));
  return cudaSuccess;
}

static std::string nameOf(const Communicator &communicator,
                          const std::vector<Transfer> &transfers) {
  std::string name;
  for (const Transfer &transfer : transfers)
    name += (name.empty() ? "" : " with ") +
            std::string(transfer.isSend ? "send" : "receive") + " of " +
            std::to_string(transfer.bytes) + " bytes, rank " +
            std::to_string(communicator.rank) +
            (transfer.isSend ? " to " : " from ") +
            std::to_string(transfer.peer);
  return name;
}

static ncclResult_t enqueueTransfers(const CommunicatorPtr &communicator,
                                     cudaStream_t stream,
                                     std::vector<Transfer> transfers) {
  Operation operation;
  operation.name = nameOf(*communicator, transfers);
  for (const Transfer &transfer : transfers)
    operation.accesses.push_back(
        {transfer.data, transfer.bytes, !transfer.isSend});
  operation.run = [communicator, transfers = std::move(transfers)](Line &line) {
    runOnStream(*communicator, transfers, line);
  };
  return enqueueInOrder(*communicator, stream, std::move(operation))
             ? fail(ncclUnhandledCudaError, "cannot enqueue a transfer")
             : ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}

/// Enqueues the calls of a group on one communicator.
static ncclResult_t launch(const CommunicatorPtr &communicator,
                           cudaStream_t stream,
                           std::vector<Transfer> transfers) {
  return inBackground(communicator, [=, transfers = std::move(transfers)] {
    communicator->setState(enqueueTransfers(communicator, stream, transfers));
  });
}

ncclResult_t ncclGroupEnd() {
  if (group.depth == 0)
    return fail(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  if (--group.depth > 0)
    return ncclSuccess;
  Group ended = std::exchange(group, Group());
  if (ended.error)
    return ended.error;

  // By communicator, in the order of its first call.
  std::vector<Group::Call> &calls = ended.calls;
  std::set<Communicator *> launched;
  for (const Group::Call &first : calls) {
    if (!launched.insert(first.communicator.get()).second)
      continue;
    std::vector<Transfer> transfers;
    for (const Group::Call &call : calls) {
      if (call.communicator != first.communicator)
        continue;
      if (call.stream != first.stream)
        return fail(ncclInvalidUsage,
                    "one communicator on two streams in a group");
      transfers.push_back(call.transfer);
    }
    ncclResult_t result =
        launch(first.communicator, first.stream, std::move(transfers));
    if (result != ncclSuccess && result != ncclInProgress)
      return result;
    if (result == ncclInProgress)
      ended.inProgress.push_back(first.communicator);
  }

  ncclResult_t result = ncclSuccess;
  for (const CommunicatorPtr &communicator : ended.inProgress) {
    if (!communicator->blocking) {
      result = ncclInProgress;
      continue;
    }
    std::unique_lock lock(communicator->mutex);
    communicator->changed.wait(
        lock, [&] { return communicator->state != ncclInProgress; });
    if (communicator->state != ncclSuccess)
      return communicator->state;
  }
  return result;
}

static size_t elementBytes(ncclDataType_t type) {
  switch (type) {
  case ncclInt8:
  case ncclUint8:
    return 1;
  case ncclFloat16:
  case ncclBfloat16:
    return 2;
  case ncclInt32:
  case ncclUint32:
  case ncclFloat32:
    return 4;
  case ncclInt64:
  case ncclUint64:
  case ncclFloat64:
    return 8;
  }
  return 0;
}

static ncclResult_t transfer(bool isSend, void *data, size_t count,
                             ncclDataType_t type, int peer, ncclComm_t comm,
                             cudaStream_t stream) {
  auto failed = [](ncclResult_t error) {
    if (group.depth > 0)
      group.error = error;
    return error;
  };
  if (ncclResult_t error = callError(comm))
    return failed(error);
  CommunicatorPtr communicator = comm->communicator;
  size_t bytes = count * elementBytes(type);
  if (elementBytes(type) == 0 || peer < 0 || peer >= communicator->ranks ||
      peer == communicator->rank)
    return failed(fail(ncclInvalidArgument,
                       "a transfer with rank " + std::to_string(peer)));
  if (bytes && !communicator->device.contains(data, bytes))
    return failed(fail(ncclInvalidArgument,
                       "a transfer outside of memory of the device"));
  if (&resolve(stream)->device != &communicator->device)
    return failed(
        fail(ncclInvalidUsage, "a transfer on a stream of another device"));
  ncclGroupStart();
  group.calls.push_back(
      {communicator, stream, {isSend, static_cast<char *>(data), bytes, peer}});
  return ncclGroupEnd();
}

ncclResult_t ncclSend(const void *data, size_t count, ncclDataType_t type,
                      int peer, ncclComm_t comm, cudaStream_t stream) {
  return transfer(true, const_cast<void *>(data), count, type, peer, comm,
                  stream);
}

ncclResult_t ncclRecv(void *data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return transfer(false, data, count, type, peer, comm, stream);
}
