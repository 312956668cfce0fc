// For tensorboard_oracle.py: writes the event files of a run that goes to step 6 and one that goes
// on from step 3, into the directory that it is given.
#include <iostream>
#include <limits>

#include "fathom/io/tensorboard.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: tensorboard_tool DIRECTORY\n";
    return 2;
  }
  const fathom::Log log;
  {
    fathom::TensorBoardWriter writer(argv[1], std::nullopt, log);
    for (int step = 1; step <= 6; ++step)
      writer.write(step,
                   {{"train/loss", 10.0 / step}, {"perf/tokens", 100 * step}, {"note", "no"}});
    writer.write(6, {{"only/first", 1.0}});
  }
  fathom::TensorBoardWriter writer(argv[1], 3, log);
  writer.write(4, {{"train/loss", 0.5}, {"perf/tokens", 7}});
  writer.write(int64_t{1} << 40, {{"train/loss", std::numeric_limits<double>::quiet_NaN()}});
  return 0;
}
