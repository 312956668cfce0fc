#include "config/advice.h"

#include <gmock/gmock.h>

#include <set>

#include "config/config_test_util.h"

namespace fathom {
namespace {

using testing::HasSubstr;

class Advice : public ConfigTest {
 protected:
  Advice() { config_.declare(fields_); }

  std::string text(const std::string& path) const { return advice_for(path, fields_).text(); }

  RunConfig config_;
  Fields fields_{choices_};
};

TEST_F(Advice, OfTheTableNamesKeysThatExist) {
  std::set<std::string_view> names;
  for (const OtherName& row : other_names()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " is there twice";
    EXPECT_EQ(folded_name(row.name), row.name);
    if (row.ours.empty())
      EXPECT_FALSE(row.note.empty()) << row.name;
    else
      EXPECT_NE(fields_.find(std::string(row.ours)), nullptr) << row.name;
  }
}

TEST_F(Advice, KnowsTheNamesOfOtherTrainersWhereverTheyStand) {
  const std::vector<std::pair<std::string, std::string>> meant = {
      {"learning_rate", "optimizer.lr"},
      {"num_train_epochs", "train.max_epochs"},
      {"epochs", "train.max_epochs"},
      {"max_grad_norm", "train.grad_clip"},
      {"eval_steps", "eval.interval"},
      {"save_steps", "checkpoint.interval"},
      {"logging_steps", "log.interval"},
      {"save_total_limit", "checkpoint.keep_last"},
      {"output_dir", "train.out_dir"},
      {"gradient_checkpointing", "train.activation_checkpointing"},
      {"n_layer", "model.num_hidden_layers"},
      {"n_embd", "model.hidden_size"},
      {"seq_len", "data.sequence_length"},
      {"block_size", "data.sequence_length"},
      {"batch_size", "train.global_batch_size"},
      {"warmup_iters", "lr_scheduler.warmup_steps"},
      {"per_device_train_batch_size", "train.micro_batch_size"},
      {"adam_beta1", "optimizer.betas"}};
  for (const auto& [name, ours] : meant) {
    for (const std::string section : {"", "train.", "optimizer.", "model.", "nosuch."})
      EXPECT_THAT(text(section + name), testing::StartsWith("; did you mean '" + ours + "'?"))
          << section << name;
  }
  EXPECT_THAT(text("dropout"), HasSubstr("no dropout"));
  EXPECT_THAT(text("resume_from_checkpoint"), HasSubstr("--resume"));
}

TEST_F(Advice, FindsAKeyInAnotherSectionOrSpelling) {
  EXPECT_EQ(text("train.lr"), "; did you mean 'optimizer.lr'?");
  EXPECT_EQ(text("train.warmup_steps"), "; did you mean 'lr_scheduler.warmup_steps'?");
  EXPECT_EQ(text("Train.Max-Steps"), "; did you mean 'train.max_steps'?");
  EXPECT_EQ(text("optimizr.lr"), "; did you mean 'optimizer.lr'?");
  EXPECT_EQ(text("train.max_step"), "; did you mean 'train.max_steps'?");
  EXPECT_EQ(text("interval"),
            "; did you mean 'eval.interval', 'checkpoint.interval', 'log.interval' or "
            "'sample.interval'?");
}

TEST_F(Advice, OffersNothingWhereNothingIsNear) {
  EXPECT_EQ(text("train.colour"), "");
  EXPECT_EQ(text("nosuch.thing"), "");
  EXPECT_EQ(text("xy"), "");
}

}  // namespace
}  // namespace fathom
