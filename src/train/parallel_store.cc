#include "parallel_store.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address resolve(const Launch& launch) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(launch.address.c_str(), cat(launch.port).c_str(), &hints, &found);
  if (error != 0)
    throw ConfigError(
        cat("MASTER_ADDR is '", launch.address, "', which is no host: ", ::gai_strerror(error)));
  Address address;
  address.length = found->ai_addrlen;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  return address;
}

/// A socket that listens on the run's address; left to itself, the store listens on all of them.
int listen_on(const Launch& launch) {
  const Address address = resolve(launch);
  const int descriptor =
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (descriptor < 0 || ::bind(descriptor, address.get(), address.length) != 0 ||
      ::listen(descriptor, SOMAXCONN) != 0) {
    const int error = errno;
    ::close(descriptor);
    throw ConfigError(cat("rank 0 can't listen on MASTER_ADDR=", launch.address,
                          " MASTER_PORT=", launch.port, ": ", std::strerror(error),
                          "; use an address of its host and a free port"));
  }
  return descriptor;
}

/// Waits until somebody listens. TCPStore would try for several times its timeout, with warnings.
bool wait_for_listener(const Launch& launch, milliseconds timeout) {
  const Address address = resolve(launch);
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const int descriptor = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool answers = ::connect(descriptor, address.get(), address.length) == 0;
    ::close(descriptor);
    if (answers || std::chrono::steady_clock::now() >= end) return answers;
    ::usleep(50'000);
  }
}

PeerError never_joined(const Launch& launch, milliseconds timeout) {
  return PeerError(cat("rank ", launch.rank, ": rank 0 never joined: nothing answers at ",
                       launch.address, ":", launch.port, " within ", timeout.count() / 1000,
                       " s (parallel.timeout_seconds); start all ranks, with the same MASTER_ADDR "
                       "and MASTER_PORT"));
}

}  // namespace

StorePointer connect_store(const Launch& launch, milliseconds timeout, bool host) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = host;
  options.waitWorkers = false;
  options.timeout = timeout;
  if (host) options.masterListenFd = listen_on(launch);
  if (!host && !wait_for_listener(launch, timeout)) throw never_joined(launch, timeout);
  try {
    const auto store = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
    return c10::make_intrusive<c10d::PrefixStore>(cat("fathom/", launch.attempt), store);
  } catch (const std::exception&) {
    throw never_joined(launch, timeout);
  }
}

bool wait_for_key(c10d::Store& store, const std::string& key, milliseconds timeout,
                  const StopFlag& stop) {
  constexpr milliseconds kNap{20};
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!store.check({key})) {
    stop.check();
    if (std::chrono::steady_clock::now() >= end) return false;
    ::usleep(static_cast<useconds_t>(std::chrono::microseconds(kNap).count()));
  }
  return true;
}

std::string own_address(const Launch& launch) {
  if (launch.local_world_size == launch.world_size) return "127.0.0.1";
  // Connecting a datagram socket sends nothing: it chooses the route.
  const Address master = resolve(launch);
  const int descriptor = ::socket(master.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  Address own;
  own.length = sizeof own.storage;
  char name[NI_MAXHOST] = "";
  const bool found =
      ::connect(descriptor, master.get(), master.length) == 0 &&
      ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&own.storage), &own.length) == 0 &&
      ::getnameinfo(own.get(), own.length, name, sizeof name, nullptr, 0, NI_NUMERICHOST) == 0;
  ::close(descriptor);
  if (!found)
    throw ConfigError(cat("no network interface reaches MASTER_ADDR=", launch.address,
                          "; set GLOO_SOCKET_IFNAME to one"));
  return name;
}

}  // namespace fathom
