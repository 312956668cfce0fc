// The table of commands: its rows, from the cmd_*.cc.
#pragma once

#include "apps/cli.h"

namespace fathom {

Command train_command();
Command plan_command();
Command check_command();
Command tokenizer_train_command();
Command tokenizer_encode_command();
Command tokenizer_decode_command();
Command tokenizer_checksum_command();
Command prepare_command();
Command eval_command();
Command generate_command();
Command import_command();
Command export_command();
Command diagnose_command();
Command bench_command();
Command verify_resume_command();
Command list_command();
Command schema_command();
Command completion_command();
Command help_command();
Command version_command();

/// All rows, in the order of `train-llm --help`.
std::vector<Command> commands();

}  // namespace fathom
