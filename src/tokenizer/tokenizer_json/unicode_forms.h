// Unicode's normal forms and lower case, as the normalizers of tokenizers have them.
#pragma once

#include <string>
#include <string_view>

namespace fathom::tokenizer_json {

struct UnicodeForm {
  std::string_view name;  ///< "NFC"
  bool compose = false;
  bool compatible = false;
};

/// The form of a name, or null.
const UnicodeForm* find_form(std::string_view name);

/// @param text valid UTF-8
std::string to_form(std::string_view text, const UnicodeForm& form);

/// Character by character: without the rule for a sigma at the end of a word.
std::string to_lower(std::string_view text);

}  // namespace fathom::tokenizer_json
