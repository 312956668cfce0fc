// The files of configs/, which cmake/EmbedConfigs.cmake compiles in.
#pragma once

#include <span>

namespace fathom {

struct EmbeddedFile {
  const char* name;  ///< "llama_130m.yaml"
  const char* text;
};

std::span<const EmbeddedFile> embedded_configs();

}  // namespace fathom
