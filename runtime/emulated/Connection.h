//===- Connection.h - what ranks say to each other --------------*- C++ -*-===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sockets of the Unix domain with names that all ranks of a communicator know,
// between threads as between processes.
//
//===----------------------------------------------------------------------===//

#ifndef WEIR_RUNTIME_EMULATED_CONNECTION_H
#define WEIR_RUNTIME_EMULATED_CONNECTION_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::emulated {

/// Set once, and seen by all that wait for input meanwhile.
class Alarm {
public:
  Alarm();
  ~Alarm();
  void set();
  bool isSet() const;
  /// Waits for it.
  void wait() const;

  /// Readable once it is set.
  int descriptor;

private:
  int writing;
};

/// A connected socket, or none.
class Connection {
public:
  Connection() = default;
  explicit Connection(int descriptor) : descriptor(descriptor) {}
  Connection(Connection &&other);
  Connection &operator=(Connection &&other);
  ~Connection();

  explicit operator bool() const { return descriptor >= 0; }

  /// False if the other end is gone or the alarm is set meanwhile.
  bool send(const void *data, size_t bytes, const Alarm &alarm) const;
  bool receive(void *data, size_t bytes, const Alarm &alarm) const;
  /// Lets both ends see that it has ended.
  void shutDown() const;

  int descriptor = -1;
};

/// Listens at `path`. No connection if that is impossible.
Connection listenAt(const std::string &path);
/// The next to connect; no connection once the alarm is set.
Connection acceptFrom(const Connection &listening, const Alarm &alarm);
/// Connects to `path`, once somebody listens there; no connection if the alarm
/// is set before.
Connection connectTo(const std::string &path, const Alarm &alarm);

/// One message of a transfer: bytes that move one way.
struct Message {
  const Connection *connection;
  bool outgoing;
  char *data;
  size_t bytes;
  size_t done = 0;
};

/// What came of moving messages.
enum class Progress { Moved, Closed, Alarmed };

/// Moves what it can of each message, all of which have bytes left, after it
/// has waited until it can move something of one. On Closed, `closed` is the
/// message whose connection has ended.
Progress moveSome(const std::vector<Message *> &messages, const Alarm &alarm,
                  size_t &closed);

} // namespace weir::emulated

#endif // WEIR_RUNTIME_EMULATED_CONNECTION_H
