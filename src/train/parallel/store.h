// The store that the ranks of a run meet in.
#pragma once

#include <chrono>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "fathom/train/parallel.h"

namespace fathom {

using StorePointer = c10::intrusive_ptr<c10d::Store>;

/// Connects to the store; rank 0 opens it, unless the launcher did. It listens on the address of
/// the run alone.
/// @param host whether this connection is the one that opens it
/// @throws PeerError if nobody listens in time; where somebody does and never answers, which
/// LibTorch has no limit for, the process ends as with that error. ConfigError if the address can't
/// be listened on, or is the loopback while ranks run on other hosts; Interrupted
StorePointer connect_store(const Launch& launch, std::chrono::milliseconds timeout, bool host,
                           const StopFlag& stop);

/// Waits until a key is there. @returns whether it came in time
/// @throws Interrupted once `stop` is requested; std::exception if the store is gone
bool wait_for_key(c10d::Store& store, const std::string& key, std::chrono::milliseconds timeout,
                  const StopFlag& stop);

/// An address of this host that the ranks of other hosts reach: the loopback for a run of one host.
/// @throws ConfigError if there is none, or if it can't be told
std::string own_address(const Launch& launch);

}  // namespace fathom
