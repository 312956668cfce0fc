// modeling_fathom.py, compiled in.
#pragma once

#include <string_view>

namespace fathom {

/// Python that runs any model of Fathom in transformers.
std::string_view modeling_code();

}  // namespace fathom
