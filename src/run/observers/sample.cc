#include "run/observers/sample.h"

#include "fathom/base/error.h"
#include "fathom/eval/continue_text.h"

namespace fathom::observer {
namespace {

struct SampleRecord : RunRecord {
  std::string prompt, text;

  std::string_view event() const override { return "sample"; }
  MetricValues values() const override { return {{"prompt", prompt}, {"text", text}}; }
  void show(Progress& progress, const RecordTime&, const std::string& step) const override {
    progress.line(cat(step, " sample: ", text));
  }
};

/// Rank 0 generates, while the others wait.
class Samples : public PeriodicObserver {
 public:
  explicit Samples(const RunContext& run)
      : PeriodicObserver("sample", run.config.sample.interval, run.config.total_steps(),
                         /*at_start=*/false),
        run_(run) {
    const SampleConfig& config = run.config.sample;
    const Tokenizer& tokenizer = run.data.tokenizer;
    options_ = {.sampling = {.max_new_tokens = config.max_new_tokens,
                             .temperature = config.temperature,
                             .top_p = config.top_p,
                             .seed = config.seed},
                .add_bos = run.config.data.add_bos};
    if (tokenizer.eos_id()) options_.ends = {*tokenizer.eos_id()};
    for (const std::string& prompt : config.prompts)
      check_length(prompt_ids(prompt, tokenizer, options_.add_bos).size(), options_.sampling,
                   run.config.model);
  }

 private:
  void work(TrainState& state) override {
    run_.parallel.on_main("sampling", [&] {
      const Progress::Pause pause = run_.progress->pause("sampling");
      for (const std::string& prompt : run_.config.sample.prompts) {
        SampleRecord record;
        record.prompt = prompt;
        record.text = continue_text(
                          state.model, run_.data.tokenizer, prompt, options_,
                          [](const std::string&) {}, run_.parallel.stop())
                          .text;
        run_.record(record, state);
      }
      return std::string();
    });
  }

  const RunContext& run_;
  TextOptions options_;
};

}  // namespace

Observers sample(const RunContext& run) {
  Observers made;
  if (run.config.sample.interval > 0) made.push_back(std::make_unique<Samples>(run));
  return made;
}

}  // namespace fathom::observer
