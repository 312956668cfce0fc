// What a key that doesn't exist was meant to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "fathom/config/describe.h"
#include "fathom/config/fields.h"

namespace fathom {

/// A name that another trainer has for something.
struct OtherName {
  std::string_view name;  ///< in lower case with '_'
  std::string_view ours;  ///< path of the key here; "" = there is none
  std::string_view note;  ///< what differs, or what to do instead; may be ""
};

/// Names of HF Trainer, LitGPT, nanoGPT, llm.c, torchtitan, OLMo, Megatron and the like.
const std::vector<OtherName>& other_names();

/// Advice for a key that isn't in `fields`: the same name in other letters or another section,
/// another trainer's name for it, or a name that differs by a few letters.
KeyAdvice advice_for(const std::string& path, const Fields& fields);

}  // namespace fathom
