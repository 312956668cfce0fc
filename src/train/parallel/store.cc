#include "store.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "deadline.h"
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

bool is_loopback(const Address& address) {
  if (address.storage.ss_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_addr);
  constexpr uint32_t kFirstByte = 127;
  const auto& ip = reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr;
  return ntohl(ip.s_addr) >> 24 == kFirstByte;
}

std::string numeric(const sockaddr* address, socklen_t length) {
  char name[NI_MAXHOST] = "";
  const int error = ::getnameinfo(address, length, name, sizeof name, nullptr, 0, NI_NUMERICHOST);
  return error == 0 ? name : "";
}

/// The first IPv4 address of a network interface.
std::string address_of_interface(const std::string& interface) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) all = nullptr;
  std::string found;
  for (const ifaddrs* one = all; one != nullptr && found.empty(); one = one->ifa_next) {
    if (interface == one->ifa_name && one->ifa_addr != nullptr &&
        one->ifa_addr->sa_family == AF_INET)
      found = numeric(one->ifa_addr, sizeof(sockaddr_in));
  }
  ::freeifaddrs(all);
  if (found.empty())
    throw ConfigError(
        cat("GLOO_SOCKET_IFNAME is '", interface, "', which has no IPv4 address here"));
  return found;
}

/// The run's address as other hosts reach it. Debian's /etc/hosts gives a host's own name the
/// address 127.0.1.1, so that MASTER_ADDR is the loopback on its own host alone.
std::string address_for_others(const Launch& launch) {
  const Address address = resolve(launch);
  if (launch.local_world_size == launch.world_size || !is_loopback(address)) return launch.address;
  if (!launch.interface.empty()) return address_of_interface(launch.interface);
  throw ConfigError(cat(
      "MASTER_ADDR=", launch.address, " is ", numeric(address.get(), address.length),
      " on this host (see /etc/hosts), where no other host reaches it; set MASTER_ADDR to the "
      "host's address in the network, or GLOO_SOCKET_IFNAME to the interface. If all ranks run on "
      "this host, set LOCAL_WORLD_SIZE=",
      launch.world_size));
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
bool wait_for_listener(const Launch& launch, milliseconds timeout, const StopFlag& stop) {
  const Address address = resolve(launch);
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const int descriptor = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool answers = ::connect(descriptor, address.get(), address.length) == 0;
    ::close(descriptor);
    stop.check();
    if (answers || std::chrono::steady_clock::now() >= end) return answers;
    ::usleep(50'000);
  }
}

PeerError never_joined(const Launch& launch, milliseconds timeout, bool listening) {
  const std::string where = cat(launch.address, ":", launch.port);
  const std::string limit = cat(timeout.count() / 1000, " s (parallel.timeout_seconds)");
  return PeerError(cat("rank ", launch.rank, ": ",
                       launch.launcher_store ? "the launcher" : "rank 0", " never joined: ",
                       listening
                           ? cat("whoever listens at ", where, " hasn't answered for ", limit,
                                 "; it hangs, or another program has the port")
                           : cat("nothing answers at ", where, " within ", limit,
                                 "; start all ranks, with the same MASTER_ADDR and MASTER_PORT")));
}

}  // namespace

namespace {

/// LibTorch prints no errors while it lives, unless the environment asks for them.
class QuietLibrary {
 public:
  QuietLibrary() {
    if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  }
  ~QuietLibrary() { FLAGS_caffe2_log_level = before_; }
  QuietLibrary(const QuietLibrary&) = delete;
  QuietLibrary& operator=(const QuietLibrary&) = delete;

 private:
  int before_ = FLAGS_caffe2_log_level;
};

}  // namespace

StorePointer connect_store(const Launch& given, milliseconds timeout, bool host,
                           const StopFlag& stop) {
  Launch launch = given;
  std::atomic<bool> listening{false};
  constexpr milliseconds kGrace{500};  // for a wait that has an end of its own
  const Deadline deadline(timeout + kGrace, &stop, [&] {
    if (stop.requested()) {
      const Interrupted stopped(stop.signal());
      end_process(
          cat(stopped.what(), " while it waited for the other ranks; start all of them again"),
          stopped.exit_code());
    }
    const PeerError error = never_joined(given, timeout, listening);
    end_process(error.what(), error.exit_code());
  });
  if (!launch.launcher_store) launch.address = address_for_others(given);
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = host;
  options.waitWorkers = false;
  options.timeout = timeout;
  if (host) options.masterListenFd = listen_on(launch);
  if (!host && !wait_for_listener(launch, timeout, stop))
    throw never_joined(launch, timeout, listening);
  listening = true;
  const QuietLibrary quiet;  // what it would print is said below
  try {
    const auto store = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
    return c10::make_intrusive<c10d::PrefixStore>(cat("fathom/", launch.attempt), store);
  } catch (const std::exception&) {
    throw never_joined(launch, timeout, listening);
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
  const Address master = resolve(launch);
  if (is_loopback(master)) return address_for_others(launch);
  // Connecting a datagram socket sends nothing: it chooses the route.
  const int descriptor = ::socket(master.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  Address own;
  own.length = sizeof own.storage;
  const bool found =
      ::connect(descriptor, master.get(), master.length) == 0 &&
      ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&own.storage), &own.length) == 0;
  ::close(descriptor);
  const std::string name = found ? numeric(own.get(), own.length) : "";
  if (name.empty())
    throw ConfigError(cat("no network interface reaches MASTER_ADDR=", launch.address,
                          "; set GLOO_SOCKET_IFNAME to one"));
  return name;
}

}  // namespace fathom
