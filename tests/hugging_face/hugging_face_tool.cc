// For hugging_face_oracle.py.
//   write DIR CONFIG.json TOKENIZER.model PLAIN BOS EOS PAD
//       writes a model directory from the model that CONFIG.json (ours or transformers') describes,
//       with the given placement; ids below 0 mean none
//   read DIR      prints the model that DIR/config.json describes, as a block of ours
#include <iostream>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/file.h"
#include "fathom/hugging_face/hugging_face.h"
#include "hugging_face/model_choices.h"

namespace fathom {
namespace {

std::optional<int64_t> id(const std::string& text) {
  const int64_t value = std::stoll(text);
  return value < 0 ? std::nullopt : std::optional(value);
}

int run(const std::vector<std::string>& arguments) {
  const Choices choices = model_choices();
  if (arguments.size() == 8 && arguments[0] == "write") {
    ModelDescription description;
    description.model = read_model_config(arguments[2], choices).model;
    if (arguments[4] == "plain")
      description.form =
          description.model.qk_norm == "head" ? ModelForm::pre_with_head_norms : ModelForm::pre;
    description.tokens = {id(arguments[5]), {}, id(arguments[7])};
    if (id(arguments[6])) description.tokens.eos = {*id(arguments[6])};
    TokenizerFiles files;
    if (!arguments[3].empty())
      files = sentencepiece_files(read_text_file(arguments[3], 64 << 20), description.tokens,
                                  description.model.max_position_embeddings);
    write_hugging_face_files(arguments[1], description, files, choices);
  } else if (arguments.size() == 2 && arguments[0] == "read") {
    std::cout << config_json({.model = read_model_config(arguments[1], choices).model}, choices);
  } else {
    std::cerr << "usage: hugging_face_tool write DIR CONFIG_DIR MODEL plain|other BOS EOS PAD\n"
                 "       hugging_face_tool read DIR\n";
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  try {
    return fathom::run({argv + 1, argv + argc});
  } catch (const fathom::Error& error) {
    std::cerr << "error: " << error.what() << "\n";
    return error.exit_code();
  }
}
