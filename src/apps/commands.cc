#include "apps/commands.h"

namespace fathom {

std::vector<Command> commands() {
  return {train_command(),
          plan_command(),
          check_command(),
          tokenizer_train_command(),
          tokenizer_encode_command(),
          tokenizer_decode_command(),
          tokenizer_checksum_command(),
          prepare_command(),
          eval_command(),
          generate_command(),
          import_command(),
          export_command(),
          diagnose_command(),
          bench_command(),
          verify_resume_command(),
          list_command(),
          schema_command(),
          completion_command(),
          help_command(),
          version_command()};
}

}  // namespace fathom
