// Which process of a run this is, from the environment of its launcher.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace fathom {

/// Which process of a run this is, and where all of them meet.
struct Launch {
  int64_t rank = 0;
  int64_t world_size = 1;
  int64_t local_rank = 0;        ///< among the processes of this host
  int64_t local_world_size = 1;  ///< processes of this host
  std::string address = {};      ///< host of the store that the ranks meet in
  uint16_t port = 0;
  bool launcher_store = false;  ///< the launcher keeps the store: rank 0 joins it as a client
  std::string attempt = "0";    ///< a launcher that starts all ranks again counts up
  std::string interface = {};   ///< network interface that is asked for; "" = the one to `address`
};

/// Reads the variables of torchrun (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT); where
/// they are missing, those of a SLURM step. Without either there is one process.
/// @param variable the value of an environment variable, or null
/// @throws ConfigError for a variable that is missing beside others, or isn't what it should be
Launch read_launch(const std::function<const char*(const char*)>& variable);

}  // namespace fathom
