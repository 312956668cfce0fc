#include "run/observers/probe.h"

#include "fathom/base/error.h"
#include "fathom/base/names.h"
#include "fathom/diagnose/probe.h"

namespace fathom::observer {
namespace {

struct ProbeRecord : RunRecord {
  std::string name;
  Measurement found;

  std::string_view event() const override { return "probe"; }
  MetricValues values() const override {
    return {{"name", name},
            {"axes", MetricArray{found.axes}},
            {"probe/targets", found.targets},
            {"probe/" + name, MetricArray{to_json(found.values)}}};
  }
  void show(Progress& progress, const RecordTime&, const std::string& step) const override {
    if (found.values.dim() != 1) return progress.line(cat(step, " ", name, " measured"));
    std::string text = cat(step, " ", name, " by layer");
    for (int64_t i = 0; i < found.values.size(0); ++i)
      text += cat(" ", found.values[i].item<float>());
    progress.line(text);
  }
};

/// Rank 0 measures, while the others wait.
class LayerProbe : public PeriodicObserver {
 public:
  LayerProbe(const RunContext& run, const ProbeConfig& config)
      : PeriodicObserver("probe/" + config.name, config.interval, run.config.total_steps()),
        run_(run),
        info_(find_row(fathom::probes(), config.name, "probes.name")),
        rows_(open_again(run.data.validation), first_tokens(run.config.data, config.tokens),
              rows_at_once(run.config, run.parallel)) {}

 private:
  static DataConfig first_tokens(DataConfig data, int64_t tokens) {
    data.validation_tokens = tokens;
    return data;
  }

  void work(TrainState& state) override {
    run_.parallel.on_main("probing", [&] {
      const Progress::Pause pause = run_.progress->pause("probing");
      const std::unique_ptr<Probe> probe = info_.make();
      ProbeRecord record;
      record.name = info_.name;
      record.found = measure(state.model, *probe, batches_of(rows_), run_.parallel.stop());
      run_.record(record, state);
      return std::string();
    });
  }

  const RunContext& run_;
  ProbeInfo info_;
  EvaluationLoader rows_;
};

}  // namespace

Observers probes(const RunContext& run) {
  Observers made;
  for (const ProbeConfig& config : run.config.probes)
    made.push_back(std::make_unique<LayerProbe>(run, config));
  return made;
}

}  // namespace fathom::observer
