// A whole run with an observer of one's own:    whole_run STEPS CONFIG [KEY VALUE]...
#include <fathom/config/load.h>
#include <fathom/run/run.h>

#include <iostream>

/// Keeps the lowest loss. Its state lies in checkpoints, so that a run that goes on knows it.
class LowestLoss : public fathom::Observer {
 public:
  std::string name() const override { return "lowest_loss"; }
  bool reads(int64_t) const override { return true; }
  void on_step(const fathom::StepEvent& event) override {
    lowest_ = std::min(lowest_, event.result.loss.item<double>());
  }
  void on_end(fathom::TrainState& state, bool) override {
    std::cout << "lowest loss up to step " << state.step << ": " << lowest_ << "\n";
  }
  fathom::Json state() const override { return lowest_; }
  void restore(const fathom::Json& saved) override { lowest_ = saved.get<double>(); }

 private:
  double lowest_ = 1e9;
};

int main(int argc, char** argv) {
  try {
    std::vector<fathom::Override> overrides;
    for (int i = 3; i + 1 < argc; i += 2) overrides.push_back({argv[i], argv[i + 1]});
    const fathom::RunConfig config =
        fathom::load_run_config(argv[2], overrides, fathom::config_choices()).config;
    fathom::StopFlag stop;
    fathom::Parallel parallel(fathom::Launch{}, config.parallel, stop, /*run=*/"");
    fathom::Run run(config, parallel, {.stop_after = std::stoll(argv[1])});
    LowestLoss lowest;
    run.add(lowest);
    run.train();
  } catch (const fathom::Error& error) {
    std::cerr << error.what() << "\n";
    return error.exit_code();
  }
}
