#include "apps/model_on_text.h"

#include "apps/text_settings.h"
#include "fathom/base/error.h"
#include "fathom/config/context.h"
#include "fathom/data/prepare.h"
#include "fathom/data/prepared.h"
#include "fathom/hugging_face/model_files.h"
#include "fathom/runtime/device.h"
#include "fathom/tokenizer/tokenizer_files.h"

namespace fathom {

std::vector<Flag> with_text_flags(std::vector<Flag> flags) {
  std::vector<Flag> all = {{"text", "FILE...", "text files, folders, globs or token files"},
                           {"batch-size", "N", "rows at once (default: 8)"},
                           {"device", "auto|cpu|cuda", "where to run (default: auto)"},
                           {"cache-dir", "DIR", "where token files are kept (default: cache)"},
                           {"json", "", "print JSON"}};
  all = with_row_flags(std::move(all));
  all.insert(all.end(), flags.begin(), flags.end());
  return all;
}

void require_finite(const std::filesystem::path& directory, std::string_view what, bool finite) {
  if (!finite)
    throw CheckpointError(cat(directory.string(), ": ", what,
                              " isn't finite on this text: the model's weights are too large to "
                              "compute with, so use an earlier checkpoint or another model"));
}

ModelOnText load_model_on_text(const Invocation& invocation, const std::vector<std::string>& inputs,
                               int64_t tokens) {
  apply_runtime_settings({});
  const auto directory = find_model(invocation.arguments()[0], invocation.stop(), invocation.log());
  const torch::Device device = choose_device(invocation.text("device", "auto"));
  warn_of_read_over(directory, read_model_config(directory, invocation.choices()),
                    invocation.log());
  Llama model = load_model(directory, device, torch::kFloat32, invocation.choices());
  const Tokenizer tokenizer = load_tokenizer(directory);
  check_fits(tokenizer, model->config().vocab_size);
  warn_of_ids(tokenizer, invocation.log());

  DataConfig data =
      text_settings(invocation, directory, tokenizer, longest_context(model->config()));
  data.validation_tokens = tokens;
  data.cache_dir = invocation.text("cache-dir", data.cache_dir);
  std::vector<TokenFile> files = prepared(inputs, data, tokenizer, "prepare", invocation.log(),
                                          invocation.stop(), SettingNames::flags);
  const int64_t rows = invocation.integer("batch-size", 8, 1, 1 << 20);
  EvaluationLoader loader(std::move(files), data, rows);
  return {directory, std::move(model), std::move(data), std::move(loader)};
}

}  // namespace fathom
