#include "fathom/train/launch.h"

#include <charconv>
#include <optional>

#include "fathom/base/error.h"

namespace fathom {
namespace {

using Variables = std::function<const char*(const char*)>;

std::string text(const Variables& variable, const char* name) {
  const char* value = variable(name);
  return value == nullptr ? "" : value;
}

/// A variable that must be there. @throws ConfigError
std::string required(const Variables& variable, const char* name) {
  std::string value = text(variable, name);
  if (value.empty())
    throw ConfigError(cat("this looks like one of several processes, but ", name,
                          " is not set; start them with torchrun --no-python, with srun, or with "
                          "RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT"));
  return value;
}

/// A whole number of [0, end). @throws ConfigError
int64_t number(const Variables& variable, const char* name, int64_t begin, int64_t end) {
  const std::string value = required(variable, name);
  int64_t result = 0;
  const char* last = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), last, result);
  if (error != std::errc() || stop != last || result < begin || result >= end)
    throw ConfigError(
        cat(name, " is '", value, "'; allowed: a whole number from ", begin, " to ", end - 1));
  return result;
}

constexpr int64_t kMaxRanks = 1 << 20;
constexpr int64_t kPorts = 1 << 16;

Launch read_torchrun(const Variables& variable) {
  Launch launch;
  launch.world_size = number(variable, "WORLD_SIZE", 1, kMaxRanks);
  launch.rank = number(variable, "RANK", 0, launch.world_size);
  launch.local_rank = number(variable, "LOCAL_RANK", 0, launch.world_size);
  launch.address = required(variable, "MASTER_ADDR");
  launch.port = static_cast<uint16_t>(number(variable, "MASTER_PORT", 1, kPorts));
  // Without it: all on one host where they meet on its loopback, else a host each.
  const bool loopback = launch.address == "localhost" || launch.address.starts_with("127.") ||
                        launch.address == "::1";
  launch.local_world_size = loopback ? launch.world_size : 1;
  if (!text(variable, "LOCAL_WORLD_SIZE").empty())
    launch.local_world_size = number(variable, "LOCAL_WORLD_SIZE", 1, launch.world_size + 1);
  launch.launcher_store = text(variable, "TORCHELASTIC_USE_AGENT_STORE") == "True";
  const std::string attempt = text(variable, "TORCHELASTIC_RESTART_COUNT");
  if (!attempt.empty()) launch.attempt = attempt;
  return launch;
}

/// The first host of "node[03-07,9]-ib,other": node03-ib.
std::string first_host(const std::string& list) {
  const size_t bracket = list.find('[');
  if (bracket >= list.find(',')) return list.substr(0, list.find(','));
  const size_t close = list.find(']', bracket);
  if (close == std::string::npos)
    throw ConfigError(cat("SLURM_JOB_NODELIST is '", list, "'; its bracket never closes"));
  const std::string numbers = list.substr(bracket + 1, close - bracket - 1);
  const size_t end = std::min(list.find(',', close), list.size());
  return list.substr(0, bracket) + numbers.substr(0, numbers.find_first_of(",-")) +
         list.substr(close + 1, end - close - 1);
}

Launch read_slurm(const Variables& variable) {
  Launch launch;
  launch.world_size = number(variable, "SLURM_NTASKS", 1, kMaxRanks);
  launch.rank = number(variable, "SLURM_PROCID", 0, launch.world_size);
  launch.local_rank = number(variable, "SLURM_LOCALID", 0, launch.world_size);
  const std::string hosts = required(variable, "SLURM_JOB_NODELIST");
  const bool one_host = hosts.find_first_of("[,") == std::string::npos;
  launch.address = one_host ? "127.0.0.1" : first_host(hosts);
  launch.local_world_size = one_host ? launch.world_size : 1;
  // Jobs that share a host have other numbers.
  constexpr int64_t kFirstPort = 15000, kNumPorts = 10000;
  const int64_t job = number(variable, "SLURM_JOB_ID", 0, int64_t{1} << 40);
  launch.port = static_cast<uint16_t>(kFirstPort + job % kNumPorts);
  return launch;
}

}  // namespace

Launch read_launch(const Variables& variable) {
  const auto any = [&](auto... names) { return (!text(variable, names).empty() || ...); };
  Launch launch;
  if (any("RANK", "WORLD_SIZE", "LOCAL_RANK")) {
    launch = read_torchrun(variable);
  } else if (any("SLURM_PROCID")) {
    launch = read_slurm(variable);
  }
  launch.interface = text(variable, "GLOO_SOCKET_IFNAME");
  return launch;
}

}  // namespace fathom
