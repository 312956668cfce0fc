#include "run/observers/evaluation.h"

#include "fathom/base/error.h"
#include "fathom/base/number.h"
#include "fathom/eval/perplexity.h"

namespace fathom::observer {
namespace {

struct EvalRecord : RunRecord {
  explicit EvalRecord(const Perplexity& found_in) : found(found_in) {}
  Perplexity found;

  std::string_view event() const override { return "eval"; }
  MetricValues values() const override {
    return {{"val/loss", found.loss},
            {"val/ppl", found.perplexity()},
            {"val/unigram_loss", found.unigram_loss},
            {"val/tokens", found.targets}};
  }
  void show(Progress& progress, const RecordTime&, const std::string& step) const override {
    progress.line(cat(step, " val/loss ", loss_text(found.loss), " val/ppl ",
                      perplexity_text(found.perplexity()), " on ", found.targets, " tokens"));
  }
};

class Evaluation : public PeriodicObserver {
 public:
  explicit Evaluation(const RunContext& run)
      : PeriodicObserver("eval", run.config.eval.interval, run.config.total_steps()),
        run_(run),
        rows_(open_again(run.data.validation), run.config.data,
              rows_at_once(run.config, run.parallel) * run.parallel.size(),
              {run.parallel.rank(), run.parallel.size()}) {}

 private:
  void work(TrainState& state) override {
    run_.parallel.enter("evaluation");
    run_.record(EvalRecord(run_.writes() ? score_in_sight(state) : score(state)), state);
  }

  Perplexity score(TrainState& state) {
    Parallel* parallel = run_.parallel.if_several();
    return evaluate_perplexity(state.model, batches_of(rows_, parallel), run_.parallel.stop(),
                               parallel);
  }

  Perplexity score_in_sight(TrainState& state) {
    const Progress::Pause pause = run_.progress->pause("evaluating");
    return score(state);
  }

  const RunContext& run_;
  EvaluationLoader rows_;  // the same files all along, whatever lies under their names later
};

}  // namespace

Observers evaluation(const RunContext& run) {
  Observers made;
  if (!run.data.validation.empty()) made.push_back(std::make_unique<Evaluation>(run));
  return made;
}

}  // namespace fathom::observer
