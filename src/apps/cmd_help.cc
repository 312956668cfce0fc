// train-llm help, version and completion: the program about itself.

#include <torch/version.h>

#include <array>

#include "apps/commands.h"
#include "apps/completion.h"
#include "apps/help.h"
#include "fathom/base/names.h"
#include "fathom/version.h"

namespace fathom {
namespace {

int help(Invocation& invocation) {
  invocation.print(help_text(commands(), invocation.arguments(), invocation.choices()));
  return 0;
}

int version(Invocation& invocation) {
  invocation.print(cat("fathom ", FATHOM_VERSION, ", LibTorch ", TORCH_VERSION, "\n"));
  return 0;
}

int completion(Invocation& invocation) {
  struct Shell {
    std::string_view name;
  };
  constexpr std::array kShells{Shell{"bash"}, Shell{"zsh"}};
  find_row(kShells, invocation.arguments()[0], "the shell");
  invocation.print(completion_script(commands(), invocation.choices()));
  return 0;
}

}  // namespace

Command help_command() {
  return {.name = "help",
          .summary = "what there is to call, or a command's usage, flags and keys",
          .usage = "[COMMAND]",
          .example = "train-llm help train",
          .max_arguments = 2,
          .run = help};
}

Command version_command() {
  return {.name = "version",
          .summary = "the versions of Fathom and LibTorch",
          .usage = "",
          .example = "train-llm version",
          .run = version};
}

Command completion_command() {
  return {.name = "completion",
          .summary = "a script that has the shell complete commands, flags, presets and keys",
          .usage = "bash|zsh",
          .example = "source <(train-llm completion bash)    # in ~/.bashrc",
          .min_arguments = 1,
          .max_arguments = 1,
          .run = completion};
}

}  // namespace fathom
