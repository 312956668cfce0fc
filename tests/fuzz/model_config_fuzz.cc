// config.json of a model directory: what is accepted can be written again, and is then the same
// model.
#include "fathom/base/error.h"
#include "fathom/hugging_face/hugging_face.h"
#include "fuzz/fuzz.h"
#include "hugging_face/model_choices.h"

namespace fathom {
namespace {

std::string read_and_write(std::string_view text) {
  folder().write("config.json", text);
  const SavedModelConfig saved = read_model_config(folder().path(), model_choices());
  return config_json({.model = saved.model,
                      .tokens = saved.tokens,
                      .norm_scale_folded = saved.norm_scale_folded,
                      .model_type = saved.model_type,
                      .plan = saved.plan},
                     model_choices());
}

}  // namespace

void fuzz_one(std::string_view input) {
  std::string once;
  try {
    once = read_and_write(input);
  } catch (const CheckpointError&) {
    return;
  }
  promise(read_and_write(once) == once, "a config that was written reads as the same one");
}

}  // namespace fathom
