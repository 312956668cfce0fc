// What the config tests share: a table of choices, and files in a folder of their own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/config/load.h"

namespace fathom {

/// The rows that the tests need; the real ones belong to the folders that implement them.
inline Choices test_choices() {
  return {{"model.norm.placement",
           {{"pre", {}},
            {"mix", {"post_layers"}},
            {"layerscale", {"branch_gain_start"}},
            {"group", {"groups"}},
            {"dyt", {"alpha", "attention_alpha"}},
            {"hybrid", {"first_block_pre"}},
            {"lns", {"exponent", "learn_exponent", "position", "sublayers"}}}},
          {"model.norm.scaling", {{"none", {}}, {"lns", {"exponent", "learn_exponent"}}}},
          {"model.init.method", {{"normal", {}}, {"scaled", {}}}},
          {"model.rope_scaling.rope_type",
           {{"default", {}},
            {"llama3",
             {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
            {"yarn",
             {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow",
              "attention_factor", "mscale", "mscale_all_dim", "truncate"}}}},
          {"optimizer.name",
           {{"adam", {"stochastic_rounding"}},
            {"adamw", {"stochastic_rounding"}},
            {"muon", {"momentum", "nesterov", "newton_schulz_steps", "update_scale"}}}},
          {"probes[].name", {{"variance", {}}, {"other", {}}}},
          {"lr_scheduler.type",
           {{"cosine", {"warmup_steps", "min_lr_ratio"}},
            {"wsd", {"warmup_steps", "min_lr_ratio", "decay_steps"}},
            {"constant", {"warmup_steps"}}}}};
}

/// A test with a folder that vanishes after it.
class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    std::string name = testing::TempDir() + "fathom-config-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::filesystem::remove(
        path);  // ext4 waits for the disk where a file is truncated and rewritten
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  LoadedConfig load(const std::string& path, const std::vector<Override>& overrides = {}) const {
    return load_run_config(path, overrides, choices_);
  }

  /// The error's text with the folder's name taken out, or "accepted".
  std::string error_of(const std::string& path, const std::vector<Override>& overrides = {}) const {
    try {
      load(path, overrides);
    } catch (const ConfigError& error) {
      std::string text = error.what();
      const std::string folder = folder_.string() + "/";
      for (size_t at; (at = text.find(folder)) != std::string::npos;) text.erase(at, folder.size());
      return text;
    }
    return "accepted";
  }

  /// The same for a file of this text.
  std::string error_in(const std::string& yaml) const { return error_of(write("x.yaml", yaml)); }

  std::filesystem::path folder_;
  const Choices choices_ = test_choices();
};

}  // namespace fathom
