// The architectures of transformers that Fathom computes, as one table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/json.h"
#include "fathom/hugging_face/hugging_face.h"

namespace fathom {

/// Which projections of attention have a bias.
enum class BiasRule { never, by_key, all_but_output };

/// Which attention windows the config's keys ask for.
enum class WindowRule { none, by_key, where_switched_on };

struct Family {
  std::string_view model_type;
  std::string_view architecture;
  ModelForm form;
  BiasRule bias;
  WindowRule window;
  /// What transformers takes for keys that config.json lacks, where it isn't ModelConfig's default.
  Json defaults;
};

const std::vector<Family>& families();

/// The row with this model_type, or null.
const Family* find_family(std::string_view model_type);

/// The family that computes a model: the preferred one if it does, or else the first.
/// @returns null if none does
const Family* family_of(ModelForm form, const ModelConfig& model, std::string_view preferred);

/// What a tensor is called in the files of models of this form; all others have Llama's names.
std::string stored_name(ModelForm form, const std::string& name);
/// And the other way round.
std::string name_of_stored(ModelForm form, const std::string& stored);

}  // namespace fathom
