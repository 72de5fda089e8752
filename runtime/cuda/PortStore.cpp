//===- PortStore.cpp - processes that meet at a port ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PortStore.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace weir::runtime;
using namespace weir::runtime::cuda;

using Clock = std::chrono::steady_clock;

/// A longer name or value is not one of ours.
static constexpr int64_t longestName = 1 << 12;
static constexpr int64_t longestValue = int64_t(1) << 40;

/// Seconds after which process 0, which answers at once, is taken to be gone.
static constexpr time_t longestAnswer = 10;

namespace {

enum Operation : int64_t { Hello, Put, Look, Leave };

/// A connected socket. Sends and receives whole messages.
class Connection {
public:
  explicit Connection(int descriptor) : descriptor(descriptor) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;
  ~Connection() { close(descriptor); }

  bool send(const void *bytes, size_t size) {
    auto next = static_cast<const char *>(bytes);
    while (size > 0) {
      ssize_t sent = ::send(descriptor, next, size, MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR)
        continue;
      if (sent <= 0)
        return false;
      next += sent;
      size -= sent;
    }
    return true;
  }
  bool receive(void *bytes, size_t size) {
    auto next = static_cast<char *>(bytes);
    while (size > 0) {
      ssize_t received = recv(descriptor, next, size, 0);
      if (received < 0 && errno == EINTR)
        continue;
      if (received <= 0)
        return false;
      next += received;
      size -= received;
    }
    return true;
  }
  bool sendNumber(int64_t number) { return send(&number, sizeof(number)); }
  bool receiveNumber(int64_t &number) {
    return receive(&number, sizeof(number));
  }
  bool sendText(const std::string &text) {
    return sendNumber(text.size()) && send(text.data(), text.size());
  }
  bool receiveText(std::string &text, int64_t longest) {
    int64_t size = 0;
    if (!receiveNumber(size) || size < 0 || size > longest)
      return false;
    text.resize(size);
    return receive(text.data(), size);
  }
  void shutDown() { shutdown(descriptor, SHUT_RDWR); }

private:
  const int descriptor;
};

/// Process 0: a thread accepts, and one per connection answers.
class Server : public Store {
public:
  Server(int listener, int64_t numProcesses)
      : listener(listener), hasCome(numProcesses, false),
        values(makeLocalStore()) {
    hasCome[0] = true;
    acceptor = std::thread([this] { acceptAll(); });
  }
  ~Server() override;

  Status put(const std::string &name, const std::string &value) override {
    return values->put(name, value);
  }
  Status look(const std::string &name,
              std::optional<std::string> &value) override {
    return values->look(name, value);
  }
  Status waitForAll(double timeout);

private:
  struct Peer {
    explicit Peer(int descriptor) : connection(descriptor) {}
    Connection connection;
    std::thread thread;
  };

  void acceptAll();
  void serve(Peer &peer);
  bool answer(Connection &connection, int64_t &process, bool &hasLeft);

  const int listener;
  std::atomic<bool> isClosing = false;
  std::mutex mutex; /* of what follows */
  std::vector<bool> hasCome;
  std::vector<std::unique_ptr<Peer>> peers;
  std::unique_ptr<Store> values;
  std::thread acceptor;
};

class Client : public Store {
public:
  explicit Client(int descriptor) : connection(descriptor) {
    timeval longest = {longestAnswer, 0};
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof(longest));
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest));
  }
  ~Client() override { leave(); }

  Status hello(int64_t process) {
    std::optional<std::string> ignored;
    return ask(Hello, "", std::to_string(process), ignored);
  }
  Status put(const std::string &name, const std::string &value) override {
    std::optional<std::string> ignored;
    return ask(Put, name, value, ignored);
  }
  Status look(const std::string &name,
              std::optional<std::string> &value) override {
    return ask(Look, name, "", value);
  }
  void leave() override {
    std::optional<std::string> ignored;
    if (!hasLeft.exchange(true))
      (void)ask(Leave, "", "", ignored);
  }

private:
  Status ask(Operation operation, const std::string &name,
             const std::string &value, std::optional<std::string> &answer);

  std::mutex mutex; /* of the connection */
  Connection connection;
  std::atomic<bool> hasLeft = false;
};

} // namespace

//===----------------------------------------------------------------------===//
// Process 0
//===----------------------------------------------------------------------===//

Server::~Server() {
  isClosing = true;
  shutdown(listener, SHUT_RDWR);
  acceptor.join();
  close(listener);
  // Processes that have been told all leave; those that hang do not count.
  for (auto &peer : peers) {
    peer->connection.shutDown();
    peer->thread.join();
  }
}

void Server::acceptAll() {
  while (!isClosing) {
    pollfd waiting = {listener, POLLIN, 0};
    if (poll(&waiting, 1, 100) <= 0)
      continue;
    int descriptor = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (descriptor < 0)
      continue;
    std::lock_guard lock(mutex);
    Peer &peer = *peers.emplace_back(std::make_unique<Peer>(descriptor));
    peer.thread = std::thread([this, &peer] { serve(peer); });
  }
}

void Server::serve(Peer &peer) {
  int64_t process = -1;
  bool hasLeft = false;
  while (answer(peer.connection, process, hasLeft))
    ;
  // It may be none of ours.
  if (process < 0)
    return;
  (void)values->put(leftName(process), "");
  if (!hasLeft && !isClosing)
    (void)values->put(failureName,
                      "process " + std::to_string(process) + " has ended");
}

/// Answers one request. False if there is no more to come. `process` becomes
/// known by its hello.
bool Server::answer(Connection &connection, int64_t &process, bool &hasLeft) {
  int64_t operation = -1;
  std::string name, value;
  if (!connection.receiveNumber(operation) ||
      !connection.receiveText(name, longestName) ||
      !connection.receiveText(value, longestValue))
    return false;
  std::optional<std::string> found;
  switch (operation) {
  case Hello: {
    std::lock_guard lock(mutex);
    int64_t number = std::atoll(value.c_str());
    const int64_t numProcesses = hasCome.size();
    if (number <= 0 || number >= numProcesses || hasCome[number])
      return false;
    hasCome[number] = true;
    process = number;
    break;
  }
  case Put:
    (void)values->put(name, value);
    break;
  case Look:
    (void)values->look(name, found);
    break;
  case Leave:
    hasLeft = true;
    break;
  default:
    return false;
  }
  return connection.sendNumber(found.has_value()) &&
         connection.sendText(found.value_or("")) && operation != Leave;
}

Status Server::waitForAll(double timeout) {
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout);
  while (true) {
    {
      std::lock_guard lock(mutex);
      auto missing = std::find(hasCome.begin(), hasCome.end(), false);
      if (missing == hasCome.end())
        return values->put("welcome", "");
      if (Clock::now() > deadline)
        return fail("process ", missing - hasCome.begin(), " of ",
                    hasCome.size(), " did not come within ", timeout, " s");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

//===----------------------------------------------------------------------===//
// The others
//===----------------------------------------------------------------------===//

Status Client::ask(Operation operation, const std::string &name,
                   const std::string &value,
                   std::optional<std::string> &answer) {
  std::lock_guard lock(mutex);
  int64_t isThere = 0;
  std::string text;
  if (!connection.sendNumber(operation) || !connection.sendText(name) ||
      !connection.sendText(value) || !connection.receiveNumber(isThere) ||
      !connection.receiveText(text, longestValue))
    return fail("process 0 has ended");
  if (isThere)
    answer = std::move(text);
  return {};
}

//===----------------------------------------------------------------------===//
// Meeting
//===----------------------------------------------------------------------===//

namespace {

/// The addresses of a host and port.
class Addresses {
public:
  Addresses() = default;
  Addresses(const Addresses &) = delete;
  Addresses &operator=(const Addresses &) = delete;
  ~Addresses() {
    if (list)
      freeaddrinfo(list);
  }

  Status find(const char *host, int64_t port, int flags) {
    addrinfo wanted = {};
    wanted.ai_family = AF_UNSPEC;
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = flags;
    int error = getaddrinfo(host, std::to_string(port).c_str(), &wanted, &list);
    if (error)
      return fail("cannot find the machine '", host ? host : "",
                  "': ", gai_strerror(error));
    return {};
  }

  addrinfo *list = nullptr;
};

} // namespace

static int makeSocket(const addrinfo &address) {
  return socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC,
                address.ai_protocol);
}

/// Listens at the port on every interface, since a host may have several names.
static Status listenAt(int64_t port, int &listener) {
  Addresses addresses;
  if (Status status = addresses.find(nullptr, port, AI_PASSIVE);
      status.failed())
    return status;
  int error = 0;
  for (addrinfo *address = addresses.list; address;
       address = address->ai_next) {
    listener = makeSocket(*address);
    if (listener < 0)
      continue;
    int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(listener, address->ai_addr, address->ai_addrlen) == 0 &&
        listen(listener, SOMAXCONN) == 0)
      return {};
    error = errno;
    close(listener);
  }
  return fail("cannot listen at port ", port, ": ", std::strerror(error));
}

/// Connects as soon as process 0 listens.
static Status connectTo(const std::string &host, int64_t port, double timeout,
                        int &descriptor) {
  Addresses addresses;
  if (Status status = addresses.find(host.c_str(), port, 0); status.failed())
    return status;
  auto deadline = Clock::now() + std::chrono::duration<double>(timeout);
  int error = 0;
  do {
    for (addrinfo *address = addresses.list; address;
         address = address->ai_next) {
      descriptor = makeSocket(*address);
      if (descriptor >= 0 &&
          connect(descriptor, address->ai_addr, address->ai_addrlen) == 0)
        return {};
      error = errno;
      if (descriptor >= 0)
        close(descriptor);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (Clock::now() < deadline);
  return fail("process 0 did not come to ", host, ":", port, " within ",
              timeout, " s (", std::strerror(error), ")");
}

Status weir::runtime::cuda::meetAtPort(const std::string &host, int64_t port,
                                       int64_t process, int64_t numProcesses,
                                       double timeout,
                                       std::unique_ptr<Store> &store) {
  if (process == 0) {
    int listener = -1;
    if (Status status = listenAt(port, listener); status.failed())
      return status;
    auto server = std::make_unique<Server>(listener, numProcesses);
    Status status = server->waitForAll(timeout);
    store = std::move(server);
    return status;
  }
  int descriptor = -1;
  if (Status status = connectTo(host, port, timeout, descriptor);
      status.failed())
    return status;
  auto client = std::make_unique<Client>(descriptor);
  if (Status status = client->hello(process); status.failed())
    return fail("process 0 at ", host, ":", port, " refuses process ", process,
                ": is the port another's, or process ", process,
                " there twice?");
  store = std::move(client);
  std::string welcome;
  return store->get("welcome", timeout, "a process that is missing", welcome);
}
