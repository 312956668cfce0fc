// The part of Fathom that needs no LibTorch.
#include <fathom/base/error.h>
#include <fathom/config/run_config.h>
#include <fathom/version.h>

#include <iostream>

int main() {
  const fathom::RunConfig config;
  std::cout << "fathom " << FATHOM_VERSION << ", batch of " << config.train.global_batch_size
            << fathom::did_you_mean("optimiser.lr", {"optimizer.lr"}) << "\n";
}
