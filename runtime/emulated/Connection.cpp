//===- Connection.cpp - what ranks say to each other ----------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Connection.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

using namespace weir::emulated;

// The reading end of a pipe that nobody reads from.
Alarm::Alarm() {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0)
    ends[0] = ends[1] = -1;
  descriptor = ends[0];
  writing = ends[1];
}

Alarm::~Alarm() {
  close(descriptor);
  close(writing);
}

void Alarm::set() {
  char byte = 0;
  (void)!write(writing, &byte, 1);
}

bool Alarm::isSet() const {
  pollfd polled = {descriptor, POLLIN, 0};
  return poll(&polled, 1, 0) > 0;
}

void Alarm::wait() const {
  pollfd polled = {descriptor, POLLIN, 0};
  while (poll(&polled, 1, -1) < 0 && errno == EINTR)
    continue;
}

Connection::Connection(Connection &&other)
    : descriptor(std::exchange(other.descriptor, -1)) {}

Connection &Connection::operator=(Connection &&other) {
  std::swap(descriptor, other.descriptor);
  return *this;
}

Connection::~Connection() {
  if (descriptor >= 0)
    close(descriptor);
}

void Connection::shutDown() const { shutdown(descriptor, SHUT_RDWR); }

static bool moveAll(Message message, const Alarm &alarm) {
  size_t closed;
  while (message.done < message.bytes)
    if (moveSome({&message}, alarm, closed) != Progress::Moved)
      return false;
  return true;
}

bool Connection::send(const void *data, size_t bytes,
                      const Alarm &alarm) const {
  char *from = const_cast<char *>(static_cast<const char *>(data));
  return moveAll({this, true, from, bytes}, alarm);
}

bool Connection::receive(void *data, size_t bytes, const Alarm &alarm) const {
  return moveAll({this, false, static_cast<char *>(data), bytes}, alarm);
}

/// A name that is in no directory, so that nothing is left of it by processes
/// that are killed. Empty if it is too long.
static sockaddr_un addressOf(const std::string &path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() < sizeof(address.sun_path))
    memcpy(address.sun_path + 1, path.c_str(), path.size());
  return address;
}

static Connection newSocket() {
  return Connection(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

Connection weir::emulated::listenAt(const std::string &path) {
  Connection listening = newSocket();
  sockaddr_un address = addressOf(path);
  if (!listening ||
      bind(listening.descriptor, reinterpret_cast<sockaddr *>(&address),
           sizeof(address)) != 0 ||
      listen(listening.descriptor, 128) != 0)
    return Connection();
  return listening;
}

Connection weir::emulated::acceptFrom(const Connection &listening,
                                      const Alarm &alarm) {
  while (true) {
    pollfd polled[] = {{listening.descriptor, POLLIN, 0},
                       {alarm.descriptor, POLLIN, 0}};
    poll(polled, 2, -1);
    if (polled[1].revents)
      return Connection();
    Connection accepted(
        accept4(listening.descriptor, nullptr, nullptr, SOCK_CLOEXEC));
    if (accepted)
      return accepted;
  }
}

Connection weir::emulated::connectTo(const std::string &path,
                                     const Alarm &alarm) {
  sockaddr_un address = addressOf(path);
  while (!alarm.isSet()) {
    Connection connected = newSocket();
    if (connected &&
        connect(connected.descriptor, reinterpret_cast<sockaddr *>(&address),
                sizeof(address)) == 0)
      return connected;
    usleep(500);
  }
  return Connection();
}

/// False if the connection has ended.
static bool moveOne(Message &message) {
  int descriptor = message.connection->descriptor;
  char *at = message.data + message.done;
  size_t left = message.bytes - message.done;
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  ssize_t moved = message.outgoing ? ::send(descriptor, at, left, flags)
                                   : recv(descriptor, at, left, flags);
  if (moved > 0) {
    message.done += size_t(moved);
    return true;
  }
  return moved < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

Progress weir::emulated::moveSome(const std::vector<Message *> &messages,
                                  const Alarm &alarm, size_t &closed) {
  std::vector<pollfd> polled;
  for (Message *message : messages)
    polled.push_back({message->connection->descriptor,
                      short(message->outgoing ? POLLOUT : POLLIN), 0});
  polled.push_back({alarm.descriptor, POLLIN, 0});
  if (poll(polled.data(), polled.size(), -1) < 0)
    return Progress::Moved;
  if (polled.back().revents)
    return Progress::Alarmed;
  for (size_t i = 0; i < messages.size(); ++i)
    if (polled[i].revents && messages[i]->done < messages[i]->bytes &&
        !moveOne(*messages[i])) {
      closed = i;
      return Progress::Closed;
    }
  return Progress::Moved;
}
