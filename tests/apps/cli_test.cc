#include "apps/cli.h"

#include <gmock/gmock.h>

#include "apps/help.h"
#include "config/config_test_util.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Command train() {
  return {.name = "train",
          .summary = "trains",
          .usage = "CONFIG [overrides]",
          .example = "train-llm train smoke",
          .min_arguments = 1,
          .max_arguments = 1,
          .takes_config = true,
          .computes = true,
          .flags = {{"resume", "auto|never|DIR", "where to start"},
                    {"json", "", "print JSON"},
                    {"text", "FILE...", "texts"},
                    {"steps", "N", "steps"}},
          .run = nullptr};
}

class CommandLine : public testing::Test {
 protected:
  Invocation parse(const std::vector<std::string>& words) const {
    return Invocation(command_, words, choices_, stop_);
  }
  std::string error_of(const std::vector<std::string>& words) const {
    try {
      parse(words);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  }
  /// "path=value" of each override.
  std::vector<std::string> overrides(const std::vector<std::string>& words) const {
    std::vector<std::string> texts;
    const Invocation invocation = parse(words);
    for (const Override& override : invocation.overrides())
      texts.push_back(override.path + "=" + override.value);
    return texts;
  }

  const Command command_ = train();
  const Choices choices_ = test_choices();
  mutable StopFlag stop_{};
};

TEST_F(CommandLine, IsGivenBackAsAShellReadsItWithoutSomeFlags) {
  EXPECT_EQ(parse({"smoke", "train.out_dir=it's $HOME", "--resume", "never", "--steps=3", "--json"})
                .command_line({"resume", "steps"}),
            "train-llm train smoke 'train.out_dir=it'\\''s $HOME' --json");
}

TEST_F(CommandLine, TakesOverridesInEverySpelling) {
  EXPECT_THAT(
      overrides({"smoke", "optimizer.lr=1e-3", "--train.seed=4", "--train.max_steps", "5",
                 "--eval.interval", "-1"}),
      ElementsAre("optimizer.lr=1e-3", "train.seed=4", "train.max_steps=5", "eval.interval=-1"));
  EXPECT_THAT(overrides({"--train.deterministic", "smoke", "--no-log.tensorboard"}),
              ElementsAre("train.deterministic=true", "log.tensorboard=false"));
  EXPECT_THAT(overrides({"--train.deterministic", "false", "smoke"}),
              ElementsAre("train.deterministic=false"));
  EXPECT_THAT(overrides({"smoke", "data.tokenizer=a=b"}), ElementsAre("data.tokenizer=a=b"));
  EXPECT_THAT(overrides({"smoke", "data.tokenizer="}), ElementsAre("data.tokenizer="));
}

TEST_F(CommandLine, TellsPathsFromOverrides) {
  EXPECT_THAT(parse({"runs/lr=1e-3/config.yaml"}).arguments(),
              ElementsAre("runs/lr=1e-3/config.yaml"));
  EXPECT_THAT(parse({"--", "a.b=c"}).arguments(), ElementsAre("a.b=c"));
  EXPECT_THAT(parse({"--", "--resume"}).arguments(), ElementsAre("--resume"));
}

TEST_F(CommandLine, TakesTheConfigAsAFlagToo) {
  EXPECT_THAT(parse({"--config", "smoke"}).arguments(), ElementsAre("smoke"));
  EXPECT_THAT(parse({"--config=smoke", "train.seed=2"}).arguments(), ElementsAre("smoke"));
  EXPECT_EQ(error_of({"--config", "smoke", "130m"}),
            "the config is given twice, by --config and as '130m'; drop one");
  EXPECT_EQ(parse({"--config", "smoke", "train.seed=2"}).load_config().config.train.seed, 2);
}

TEST_F(CommandLine, TakesThreadsWhereACommandComputes) {
  EXPECT_EQ(parse({"smoke", "--threads", "3"}).threads(), 3);
  EXPECT_EQ(
      parse({"smoke", "--threads", "3", "train.threads=2"}).load_config().config.train.threads, 3);
  EXPECT_EQ(parse({"smoke"}).threads(), 0);
  EXPECT_EQ(parse({"smoke"}).load_config().config.train.threads, std::nullopt);
  EXPECT_THROW(static_cast<void>(parse({"smoke", "--threads", "0"}).threads()), ConfigError);
  Command quick = train();
  quick.computes = false;
  EXPECT_THROW(Invocation(quick, {"smoke", "--threads", "3"}, choices_, stop_), ConfigError);
}

TEST_F(CommandLine, ReadsFlags) {
  const Invocation given =
      parse({"smoke", "--resume=never", "--json", "--text", "a", "b", "--steps", "12", "--text=c"});
  EXPECT_TRUE(given.has("json"));
  EXPECT_EQ(given.text("resume", "auto"), "never");
  EXPECT_THAT(given.texts("text"), ElementsAre("a", "b", "c"));
  EXPECT_EQ(given.integer("steps", 1, 1, 100), 12);
  EXPECT_EQ(given.number("steps", 1, 1, 100), 12.0);
  const Invocation bare = parse({"smoke"});
  EXPECT_FALSE(bare.has("json"));
  EXPECT_EQ(bare.text("resume", "auto"), "auto");
  EXPECT_THAT(bare.texts("text"), IsEmpty());
  EXPECT_EQ(bare.integer("steps", 7, 1, 100), 7);
  EXPECT_THROW(bare.has("undeclared"), std::logic_error);
}

TEST_F(CommandLine, RefusesNumbersThatAreNone) {
  const auto steps = [&](const std::string& text) {
    try {
      parse({"smoke", "--steps", text}).integer("steps", 1, 1, 100);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(steps("0"), "--steps is '0'; allowed: from 1 to 100");
  EXPECT_EQ(steps("101"), "--steps is '101'; allowed: from 1 to 100");
  EXPECT_EQ(steps("010"), "--steps is '010'; write 10");
  EXPECT_EQ(steps("ten"), "--steps is 'ten'; write a whole number in decimal digits");
}

TEST_F(CommandLine, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(error_of({"smoke", "--resum", "auto"}),
            "train has no flag --resum; did you mean --resume?");
  EXPECT_EQ(error_of({"smoke", "--lr", "1"}),
            "train has no flag --lr; did you mean --optimizer.lr?");
  EXPECT_EQ(error_of({"smoke", "--num-train-epochs", "3"}),
            "train has no flag --num-train-epochs; did you mean --train.max_epochs?");
  EXPECT_EQ(error_of({"smoke", "--dropout", "0.1"}),
            "train has no flag --dropout; Fathom has no dropout; leave it out");
  EXPECT_EQ(error_of({"smoke", "--zzzzzzzzz"}),
            "train has no flag --zzzzzzzzz; see train-llm train --help");
  EXPECT_THAT(error_of({"smoke", "-x"}), StartsWith("unknown flag -x; flags start with two"));
  EXPECT_THAT(error_of({"smoke", "130m"}), StartsWith("unexpected argument '130m'; usage: "));
  EXPECT_EQ(error_of({}), "train needs more arguments; usage: train-llm train CONFIG [overrides]");
}

TEST_F(CommandLine, RefusesMissingAndSuperfluousValues) {
  EXPECT_THAT(error_of({"smoke", "--resume"}),
              StartsWith("--resume needs a value: --resume auto|never|DIR"));
  EXPECT_THAT(error_of({"smoke", "--resume", "--json"}), StartsWith("--resume needs a value"));
  EXPECT_THAT(error_of({"smoke", "--text"}), StartsWith("--text needs a value"));
  EXPECT_EQ(error_of({"smoke", "--json=1"}), "--json takes no value; write --json alone");
  EXPECT_EQ(error_of({"smoke", "--steps", "1", "--steps", "2"}),
            "--steps is given twice; keep one");
  EXPECT_EQ(error_of({"smoke", "--optimizer.lr"}),
            "--optimizer.lr needs a value: optimizer.lr=VALUE");
  EXPECT_THAT(error_of({"smoke", "--optimizer.lr", "--json"}), HasSubstr("needs a value"));
}

TEST_F(CommandLine, HelpShowsUsageFlagsExampleAndKeys) {
  const std::string help = help_text(command_, choices_);
  EXPECT_THAT(help, HasSubstr("Usage: train-llm train CONFIG [overrides]\n"));
  EXPECT_THAT(help, HasSubstr("\n  --resume auto|never|DIR  where to start\n"));
  EXPECT_THAT(help, HasSubstr("\n  --config CONFIG "));
  EXPECT_THAT(help, HasSubstr("Example:\n  train-llm train smoke\n"));
  EXPECT_THAT(help, HasSubstr("\n  optimizer.lr=0.001\n"));
  EXPECT_THAT(overview_text({command_}), HasSubstr("\n  train  trains\n"));
}

TEST_F(CommandLine, HelpIsThatOfTheCommandOrOfAllThatBeginWithAWord) {
  Command encode = train(), decode = train();
  encode.name = "tokenizer encode";
  decode.name = "tokenizer decode";
  const std::vector<Command> table = {command_, encode, decode};
  EXPECT_EQ(help_text(table, {}, choices_), overview_text(table));
  EXPECT_EQ(help_text(table, {"train"}, choices_), help_text(command_, choices_));
  EXPECT_EQ(help_text(table, {"tokenizer", "decode", "-h"}, choices_), help_text(decode, choices_));
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"tokenizer"}, {"tokenizer", "--help"}}) {
    const std::string group = help_text(table, words, choices_);
    EXPECT_THAT(group, HasSubstr("\n  tokenizer encode  trains\n  tokenizer decode  trains\n"));
    EXPECT_THAT(group, testing::Not(HasSubstr("\n  train ")));
  }
  EXPECT_THROW(help_text(table, {"trian"}, choices_), ConfigError);
  EXPECT_EQ(first_words(table), "train tokenizer");
}

}  // namespace
}  // namespace fathom
