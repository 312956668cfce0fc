#include "fathom/config/load.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "config/config_test_util.h"
#include "fathom/config/describe.h"
#include "fathom/config/presets.h"

namespace fathom {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class Load : public ConfigTest {};

TEST_F(Load, SaysWhereEachValueCameFrom) {
  write("base.yaml", "train:\n  max_steps: 7\n  seed: 3\n");
  const std::string path = write(
      "run.yaml", "extends: base.yaml\ntrain:\n  seed: 4\n\nmodel:\n  norm: {placement: lns}\n");
  const LoadedConfig loaded = load(path, {{"optimizer.lr", "0.5"}});
  EXPECT_EQ(loaded.config.train.max_steps, 7);
  EXPECT_EQ(loaded.config.train.seed, 4);
  EXPECT_EQ(loaded.config.model.norm.placement, "lns");
  EXPECT_EQ(loaded.config.optimizer.lr, 0.5);
  EXPECT_EQ(loaded.origins.at("train.max_steps"), folder_.string() + "/base.yaml:2");
  EXPECT_EQ(loaded.origins.at("train.seed"), path + ":3");
  EXPECT_EQ(loaded.origins.at("model.norm.placement"), path + ":6");
  EXPECT_EQ(loaded.origins.at("optimizer.lr"), "command line");
  EXPECT_EQ(loaded.origins.at("optimizer.eps"), "default");
  EXPECT_EQ(loaded.origins.size(), key_paths(choices_).size());
}

TEST_F(Load, MergesListsOfBasesInOrderAndReplacesListValues) {
  write("a.yaml", "train: {max_steps: 1, seed: 1}\ndata: {train: [a, b]}\n");
  write("b.json", R"({"train": {"seed": 2}, "data": {"train": ["c"]}})");
  const std::string path = write("run.yml", "extends: [a.yaml, b.json]\n");
  const LoadedConfig loaded = load(path);
  EXPECT_EQ(loaded.config.train.max_steps, 1);
  EXPECT_EQ(loaded.config.train.seed, 2);
  EXPECT_THAT(loaded.config.data.train, ElementsAre("c"));
}

TEST_F(Load, ReadsTheSameConfigFromYamlAndJson) {
  const std::string yaml = write("a.yaml",
                                 "train:\n  max_steps: 5\n  deterministic: true\n"
                                 "optimizer:\n  betas: [0.5, 0.75]\ndata:\n  tokenizer: t.model\n");
  const std::string json = write("a.json", R"({"train": {"max_steps": 5, "deterministic": true},
      "optimizer": {"betas": [0.5, 0.75]}, "data": {"tokenizer": "t.model"}})");
  EXPECT_EQ(dump_yaml(load(yaml).config, choices_), dump_yaml(load(json).config, choices_));
}

TEST_F(Load, FindsExtendedFilesBesideTheFileThatNamesThem) {
  write("deep/base.yaml", "extends: ../other.yaml\ntrain: {seed: 2}\n");
  write("other.yaml", "train: {max_steps: 9}\n");
  EXPECT_EQ(load(write("run.yaml", "extends: deep/base.yaml\n")).config.train.max_steps, 9);
}

TEST_F(Load, NamesACycleOfExtends) {
  write("a.yaml", "extends: b.yaml\n");
  write("b.yaml", "extends: [c.yaml]\n");
  write("c.yaml", "extends: ./b.yaml\n");
  EXPECT_THAT(error_of((folder_ / "a.yaml").string()),
              StartsWith("c.yaml: extends is a cycle: b.yaml -> c.yaml -> "));
  EXPECT_THAT(error_of(write("self.yaml", "extends: self.yaml\n")), HasSubstr("is a cycle"));
}

TEST_F(Load, StopsWhenFilesExtendEachOtherWithoutEnd) {
  write("f0.yaml", "train: {seed: 1}\n");
  for (int i = 1; i < 30; ++i) {
    const std::string below = "f" + std::to_string(i - 1) + ".yaml";
    write("f" + std::to_string(i) + ".yaml", "extends: [" + below + ", " + below + "]\n");
  }
  EXPECT_THAT(error_of((folder_ / "f29.yaml").string()), HasSubstr("more than 64 files"));
}

TEST_F(Load, SaysWhatExtendsMayHold) {
  for (const char* value : {"", "[]", "1", "{a: b}", "[[x]]", "[~]"}) {
    const std::string error = error_in(std::string("extends: ") + value + "\n");
    EXPECT_NE(error, "accepted") << value;
    EXPECT_THAT(error, StartsWith("x.yaml")) << value;
  }
  EXPECT_EQ(error_in("train:\n  seed: 1\nextends: nosuch.yaml\n"),
            "x.yaml:3: extends: can't open nosuch.yaml: No such file or directory");
}

TEST_F(Load, RefusesFilesThatAreNotConfigs) {
  EXPECT_THAT(error_of((folder_ / "gone.yaml").string()), HasSubstr("No such file"));
  EXPECT_THAT(error_of((folder_ / "llama_130m.yaml").string()),
              HasSubstr("did you mean the preset '130m'?"));
  EXPECT_THAT(error_of("13m"), HasSubstr("neither a preset (9m, 60m, 71m, 130m, "));
  EXPECT_THAT(error_of(write("x.toml", "a = 1")), HasSubstr(".yaml, .yml or .json"));
  EXPECT_THAT(error_of(folder_.string()), HasSubstr(".yaml, .yml or .json"));
  std::filesystem::create_directory(folder_ / "d.yaml");
  EXPECT_THAT(error_of((folder_ / "d.yaml").string()), HasSubstr("not a regular file"));
  EXPECT_THAT(error_of(write("big.yaml", std::string((1 << 20) + 1, '#'))), HasSubstr("1048576"));
  EXPECT_THAT(error_in(""), HasSubstr("is empty"));
  EXPECT_THAT(error_in("# nothing\n"), HasSubstr("is empty"));
  EXPECT_THAT(error_in("- a\n"), StartsWith("x.yaml: a config holds keys and sections (model,"));
  EXPECT_THAT(error_in("text\n"), StartsWith("x.yaml: a config holds keys and sections (model,"));
}

TEST_F(Load, RefusesASectionThatIsGivenAValue) {
  for (const char* value : {"big", "[1]", ""})
    EXPECT_THAT(error_in(std::string("train:\n  seed: 1\nmodel: ") + value + "\n"),
                StartsWith("x.yaml:3: model is not a value but a section; write its keys "
                           "(hidden_size, intermediate_size, "));
}

TEST_F(Load, HelpsWithKeysThatStandInTheWrongPlace) {
  EXPECT_EQ(error_in("lr: 1\n"), "x.yaml:1: unknown key 'lr'; did you mean 'optimizer.lr'?");
  EXPECT_EQ(error_in("optimizer.lr: 1\n"),
            "x.yaml:1: unknown key 'optimizer.lr'; in a file, write a section for each dot");
  EXPECT_EQ(error_in("optimiser:\n  lr: 1\n"),
            "x.yaml:1: unknown key 'optimiser'; did you mean 'optimizer'?");
  EXPECT_EQ(error_in("eval:\n  abcdefgh: 1\n"),
            "x.yaml:2: unknown key 'eval.abcdefgh'; allowed in eval: interval");
  EXPECT_THAT(error_in("abcdefghijkl: 1\n"), HasSubstr("; allowed: model, data, train, optimizer"));
  EXPECT_THAT(error_of("130m", {{"model.norm", "lns"}}),
              StartsWith("command line: unknown key 'model.norm'; it is a section: set "
                         "model.norm.placement"));
}

TEST_F(Load, TakesExtendsFromFilesOnly) {
  EXPECT_EQ(error_of("130m", {{"extends", "9m"}}),
            "command line: unknown key 'extends'; it belongs in a file");
}

TEST_F(Load, SaysWhatToWriteInstead) {
  EXPECT_EQ(error_in("train:\n  max_tokens: 2.2e9\n"),
            "x.yaml:2: train.max_tokens is 2.2e9; allowed: a whole number, at least 1, at most "
            "1.0e+17; write 2200000000");
  EXPECT_EQ(error_in("train: {deterministic: yes}\n"),
            "x.yaml:1: train.deterministic is yes; allowed: true or false; write true");
  EXPECT_EQ(error_in("optimizer: {lr: \"0.1\"}\n"),
            "x.yaml:1: optimizer.lr is '0.1'; allowed: a number, above 0, at most 1000; write it "
            "without quotes");
  EXPECT_EQ(error_in("data: {tokenizer: 5}\n"),
            "x.yaml:1: data.tokenizer is 5; allowed: a text; write \"5\" in quotes to mean the "
            "text");
  EXPECT_EQ(error_in("data: {train: a.txt}\n"),
            "x.yaml:1: data.train is a.txt; allowed: a list of texts; write [a.txt]");
  EXPECT_EQ(error_in("train: {seed:}\n"),
            "x.yaml:1: train.seed is empty; allowed: a whole number, at least 0; or leave the key "
            "out to get the default");
}

TEST_F(Load, TakesOverridesAsTyped) {
  const auto config = [&](const std::vector<Override>& overrides) {
    return load("smoke", overrides).config;
  };
  EXPECT_EQ(config({{"data.tokenizer", "123"}}).data.tokenizer, "123");
  EXPECT_EQ(config({{"data.tokenizer", "true"}}).data.tokenizer, "true");
  EXPECT_THAT(config({{"data.train", "a b.txt"}}).data.train, ElementsAre("a b.txt"));
  EXPECT_THAT(config({{"data.train", R"(["a", "1"])"}}).data.train, ElementsAre("a", "1"));
  EXPECT_THAT(config({{"data.train", "[]"}}).data.train, ElementsAre());
  EXPECT_THAT(config({{"optimizer.betas", "[0.5,0.25]"}}).optimizer.betas, ElementsAre(0.5, 0.25));
  EXPECT_EQ(config({{"train.seed", "5"}, {"train.seed", "6"}}).train.seed, 6);
  EXPECT_THAT(error_of("smoke", {{"data.train", "[ab]*.txt"}}),
              StartsWith("command line: data.train is [ab]*.txt; allowed: a JSON list such as"));
  EXPECT_THAT(error_of("smoke", {{"data.train", "\xff"}}), HasSubstr("UTF-8"));
  EXPECT_THAT(error_of("smoke", {{"train.seed", ""}}), StartsWith("command line: train.seed is "));
}

TEST_F(Load, ForgivesInheritedKeysThatALaterChoiceMakesIneffective) {
  // The preset sets min_lr_ratio, which a constant learning rate has no use for.
  const LoadedConfig loaded = load("130m", {{"lr_scheduler.type", "constant"}});
  EXPECT_EQ(loaded.config.lr_scheduler.type, "constant");
  EXPECT_EQ(loaded.origins.at("lr_scheduler.min_lr_ratio"), "default");
  const std::string path = write("x.yaml", "extends: 130m\nlr_scheduler:\n  type: constant\n");
  EXPECT_EQ(error_of(path), "accepted");
  // A file of the user's own is right by itself, and the command line tries another placement.
  const std::string lns =
      write("lns.yaml", "train: {max_steps: 1}\nmodel: {norm: {placement: lns, exponent: 1}}\n");
  const LoadedConfig mix = load(lns, {{"model.norm.placement", "mix"}});
  EXPECT_EQ(mix.config.model.norm.exponent, RunConfig().model.norm.exponent);
}

TEST_F(Load, RefusesKeysWithoutEffectInTheFileItselfAndOnTheCommandLine) {
  EXPECT_EQ(error_in("extends: 130m\nlr_scheduler:\n  type: constant\n  min_lr_ratio: 0.2\n"),
            "x.yaml:4: lr_scheduler.min_lr_ratio is 0.2, but has no effect: it counts where "
            "lr_scheduler.type is cosine or wsd (it is constant); remove it, or change that");
  EXPECT_THAT(error_of("130m", {{"model.norm.post_layers", "2"}}),
              StartsWith("command line: model.norm.post_layers is 2, but has no effect"));
  EXPECT_EQ(error_of("130m", {{"model.norm.post_layers", "2"}, {"model.norm.placement", "mix"}}),
            "accepted");
  const std::string exponent =
      write("e.yaml", "train: {max_steps: 1}\nmodel: {norm: {exponent: 1}}\n");
  EXPECT_THAT(error_of(exponent), HasSubstr("has no effect"));
  EXPECT_EQ(error_of(exponent, {{"model.norm.placement", "lns"}}), "accepted");
}

TEST_F(Load, LetsTheLaterOfMaxStepsAndMaxTokensCount) {
  const LoadedConfig tokens = load("130m", {{"train.max_tokens", "10000000000"}});
  EXPECT_FALSE(tokens.config.train.max_steps.has_value());
  EXPECT_EQ(tokens.origins.at("train.max_steps"), "default");
  const LoadedConfig steps = load("7b", {{"train.max_steps", "20000"}});
  EXPECT_FALSE(steps.config.train.max_tokens.has_value());
  EXPECT_THAT(error_in("train:\n  max_steps: 1\n  max_tokens: 1\n"),
              StartsWith("x.yaml:2: train.max_steps and train.max_tokens are both set"));
  EXPECT_THAT(error_of("130m", {{"train.max_steps", "1"}, {"train.max_tokens", "1"}}),
              StartsWith("command line: train.max_steps and train.max_tokens are both set"));
}

TEST_F(Load, TakesOneWayToSayHowLongAndWarmupAndTheLastRate) {
  const LoadedConfig loaded = load("130m", {{"train.max_epochs", "2.5"},
                                            {"lr_scheduler.warmup_ratio", "0.1"},
                                            {"lr_scheduler.min_lr", "1e-5"}});
  EXPECT_FALSE(loaded.config.train.max_steps.has_value());
  EXPECT_EQ(loaded.config.lr_scheduler.warmup_steps, 0);
  const std::string yaml = dump_yaml(loaded.config, choices_);
  EXPECT_THAT(yaml, HasSubstr("  warmup_ratio: 0.1\n  min_lr: 1.0e-05\n"));
  EXPECT_EQ(dump_yaml(load(write("again.yaml", yaml)).config, choices_), yaml);
  const std::string path = write("ratio.yaml", "extends: 130m\nlr_scheduler: {min_lr: 1.0e-5}\n");
  const LoadedConfig back = load(path, {{"lr_scheduler.min_lr_ratio", "0.5"}});
  EXPECT_FALSE(back.config.lr_scheduler.min_lr.has_value());
  EXPECT_EQ(back.config.lr_scheduler.min_lr_ratio, 0.5);
  EXPECT_EQ(load("130m", {{"lr_scheduler.min_lr", "1e-5"}}).config.lr_scheduler.min_lr_ratio, 0.1);
  EXPECT_EQ(error_in("extends: 130m\nlr_scheduler:\n  min_lr: 1\n  min_lr_ratio: 0.1\n"),
            "x.yaml:4: lr_scheduler.min_lr_ratio and lr_scheduler.min_lr are both set; drop one");
  EXPECT_EQ(error_of("130m", {{"lr_scheduler.min_lr", "1"}}),
            "command line: lr_scheduler.min_lr is 1; it must be at most the peak, optimizer.lr "
            "(0.001)");
}

TEST_F(Load, KnowsTheStepsOfEpochsOnceTheRowsAreKnown) {
  RunConfig config = load("130m", {{"train.max_epochs", "1.1"},
                                   {"train.global_batch_size", "10"},
                                   {"train.micro_batch_size", "10"},
                                   {"lr_scheduler.warmup_steps", "12"}})
                         .config;
  EXPECT_THROW(config.total_steps(), ConfigError);
  EXPECT_THROW(config.resolve_epochs(100), ConfigError) << "12 steps of warm-up, and 11 in all";
  config.lr_scheduler.warmup_steps = 11;
  config.resolve_epochs(100);
  EXPECT_EQ(config.total_steps(), 11);  // 110 rows, although 1.1 * 100 is above 110 in binary
  config.resolve_epochs(101);
  EXPECT_EQ(config.total_steps(), 12);
}

TEST_F(Load, ReportsAllMistakesAtOnce) {
  EXPECT_EQ(
      error_in("modle: {}\n"
               "train:\n"
               "  seed: -1\n"
               "  seed: 2\n"
               "  num_train_epochs: 3\n"
               "optimizer: {lr: fast, name: AdamW}\n"
               "lr_scheduler: {type: constant, min_lr_ratio: 0.5}\n"
               "data: {sequence_length: 1000000}\n"),
      "x.yaml:4: duplicate key 'train.seed', set before in line 3; keep one\n"
      "x.yaml:1: unknown key 'modle'; did you mean 'model'?\n"
      "x.yaml:3: train.seed is -1; allowed: a whole number, at least 0\n"
      "x.yaml:5: unknown key 'train.num_train_epochs'; did you mean 'train.max_epochs'?\n"
      "x.yaml:6: optimizer.lr is fast; allowed: a number, above 0, at most 1000; write a "
      "number, such as 0.5 or 1.0e-3\n"
      "x.yaml:6: optimizer.name is 'AdamW'; allowed: adam, adamw, muon; did you mean 'adamw'?\n"
      "x.yaml:7: lr_scheduler.min_lr_ratio is 0.5, but has no effect: it counts where "
      "lr_scheduler.type is cosine or wsd (it is constant); remove it, or change that\n"
      "x.yaml:8: data.sequence_length is 1000000, and the model's longest context 2048; raise "
      "model.max_position_embeddings (2048)");
  EXPECT_EQ(error_of("smoke", {{"train.seed", "x"}, {"lr", "1"}}),
            "command line: train.seed is x; allowed: a whole number, at least 0; write a whole "
            "number in decimal digits\n"
            "command line: unknown key 'lr'; did you mean 'optimizer.lr'?");
}

TEST_F(Load, NamesTheOriginOfAKeyThatContradictsOthers) {
  EXPECT_THAT(error_in("train:\n  max_steps: 1\nmodel:\n  hidden_size: 770\n"),
              StartsWith("x.yaml:4: model.hidden_size is 770, not a multiple of"));
  EXPECT_THAT(error_in("model: {hidden_size: 768}\n"),
              StartsWith("x.yaml: train.max_steps and train.max_tokens are both missing"));
  EXPECT_THAT(error_of("130m", {{"train.micro_batch_size", "5"}}),
              StartsWith("command line: train.micro_batch_size is 5"));
  EXPECT_THAT(error_of("130m", {{"optimizer.betas", "0.9"}}),
              StartsWith("command line: optimizer.betas has 1 number"));
}

TEST_F(Load, RefusesSizesWhoseProductsOverflow) {
  EXPECT_THAT(error_of("130m", {{"model.hidden_size", "16777216"},
                                {"model.num_attention_heads", "65536"},
                                {"model.num_hidden_layers", "100000"}}),
              StartsWith("command line: model.num_hidden_layers is 100000"));
  EXPECT_THAT(error_of("130m", {{"train.max_steps", "1000000000000"},
                                {"train.global_batch_size", "16777216"}}),
              StartsWith("command line: train.max_steps is 1000000000000"));
}

TEST_F(Load, KnowsWhichKeysAreBooleans) {
  EXPECT_TRUE(is_boolean_key("train.deterministic", choices_));
  EXPECT_FALSE(is_boolean_key("train.seed", choices_));
  EXPECT_FALSE(is_boolean_key("train.nosuch", choices_));
}

struct PaperRow {
  const char* name;
  int64_t hidden, intermediate, heads, layers;
  double lr;
  int64_t steps, warmup;
};

// Dimensions and recipe from arXiv:2502.05795v5; 0 where it doesn't state one.
constexpr PaperRow kPaper[] = {
    {"9m", 128, 352, 4, 4, 0, 0, 0},
    {"60m", 512, 1376, 8, 8, 0, 0, 0},
    {"71m", 512, 1368, 8, 12, 0, 0, 0},
    {"130m", 768, 2048, 12, 12, 1e-3, 20000, 2000},
    {"250m", 768, 2560, 16, 24, 1e-3, 40000, 4000},
    {"350m", 1024, 2736, 16, 24, 1e-3, 60000, 6000},
    {"1b", 2048, 5461, 32, 24, 5e-4, 100000, 10000},
    {"7b", 4096, 11008, 32, 32, 0, 0, 0},
};

TEST_F(Load, GivesThePaperModelsAndRecipeAsPresets) {
  for (const PaperRow& row : kPaper) {
    const RunConfig config = load(row.name).config;
    EXPECT_EQ(config.model.hidden_size, row.hidden) << row.name;
    EXPECT_EQ(config.model.intermediate_size, row.intermediate) << row.name;
    EXPECT_EQ(config.model.num_attention_heads, row.heads) << row.name;
    EXPECT_EQ(config.model.num_hidden_layers, row.layers) << row.name;
    EXPECT_EQ(config.model.vocab_size, 32000) << row.name;
    EXPECT_EQ(config.model.norm.placement, "lns") << row.name;
    EXPECT_FALSE(config.model.tie_word_embeddings) << row.name;
    EXPECT_EQ(config.data.sequence_length, 256) << row.name;
    EXPECT_EQ(config.data.mode, "packed") << row.name;
    EXPECT_EQ(config.data.shuffle_seed, 32) << row.name;
    EXPECT_EQ(config.data.validation_tokens, 10'000'000) << row.name;
    EXPECT_EQ(config.train.global_batch_size, 512) << row.name;
    EXPECT_EQ(config.train.precision, "bf16") << row.name;
    EXPECT_EQ(config.train.grad_clip, 0) << row.name;
    EXPECT_EQ(config.optimizer.name, "adam") << row.name;
    EXPECT_THAT(config.optimizer.betas, ElementsAre(0.9, 0.999)) << row.name;
    EXPECT_EQ(config.optimizer.weight_decay, 0) << row.name;
    EXPECT_EQ(config.lr_scheduler.type, "cosine") << row.name;
    EXPECT_EQ(config.lr_scheduler.min_lr_ratio, 0.1) << row.name;
    if (row.steps == 0) continue;
    EXPECT_EQ(config.optimizer.lr, row.lr) << row.name;
    EXPECT_EQ(config.total_steps(), row.steps) << row.name;
    EXPECT_EQ(config.lr_scheduler.warmup_steps, row.warmup) << row.name;
  }
}

TEST_F(Load, BuildsInEveryFileOfConfigs) {
  size_t num_files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(FATHOM_SOURCE_DIR) + "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    ++num_files;
    const auto& all = presets();
    const auto preset = std::find_if(all.begin(), all.end(), [&](const Preset& row) {
      return row.file == entry.path().filename();
    });
    ASSERT_NE(preset, all.end()) << entry.path();
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    EXPECT_EQ(preset->text, text.str()) << entry.path();
    EXPECT_EQ(preset->text.substr(0, 2), "# ") << "a comment line says what it is";
    EXPECT_EQ(preset->text.substr(2, preset->summary.size()), preset->summary);
    EXPECT_EQ(dump_yaml(load(preset->name).config, choices_),
              dump_yaml(load(entry.path()).config, choices_));
  }
  EXPECT_EQ(presets().size(), num_files);
  EXPECT_THAT(preset_names(), ElementsAre("9m", "60m", "71m", "130m", "250m", "350m", "1b", "7b",
                                          "quickstart", "smoke"));
}

TEST_F(Load, NamesThePresetAndLineOfAPresetsValue) {
  const LoadedConfig loaded = load("350m");
  EXPECT_THAT(loaded.origins.at("model.hidden_size"), "preset 350m:4");
  EXPECT_THAT(loaded.origins.at("train.precision"), StartsWith("preset 130m:"));
}

TEST_F(Load, APlacementMayBeAListByLayer) {
  const auto with = [&](const std::string& placement) {
    return write("list.yaml",
                 "extends: smoke\nmodel:\n  norm:\n    placement: " + placement + "\n");
  };
  EXPECT_EQ(load(with("mix x1, pre x1")).config.model.norm.placement, "mix x1, pre x1");
  EXPECT_EQ(load(with("\"mix  x1,pre x1\"")).config.model.norm.placement, "mix  x1,pre x1");
  for (const char* bad : {"mix x0, pre x2", "mix, pre", "mix x1 pre x1", "mix 1, pre 1", "mix x1,"})
    EXPECT_THAT(error_of(with(bad)), testing::HasSubstr("or a list such as 'post x3, pre x9'"))
        << bad;
  EXPECT_THAT(error_of(with("mix x1, prr x1")), testing::HasSubstr("did you mean 'pre'?"));
  // A key counts where any of the names has it.
  EXPECT_EQ(error_of(with("mix x1, pre x1\n    post_layers: 1")), "accepted");
  EXPECT_THAT(error_of(with("lns x1, pre x1\n    post_layers: 1")),
              testing::HasSubstr("has no effect"));
}

}  // namespace
}  // namespace fathom
