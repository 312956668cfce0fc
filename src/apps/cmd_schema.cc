#include "apps/commands.h"
#include "fathom/base/json.h"
#include "fathom/config/describe.h"

namespace fathom {
namespace {

int run(Invocation& invocation) {
  invocation.print(json_text(json_schema(invocation.choices())));
  return 0;
}

}  // namespace

Command schema_command() {
  return {.name = "schema",
          .summary = "prints the JSON Schema of a config, for editors",
          .usage = "",
          .example = "train-llm schema > fathom.schema.json",
          .run = run};
}

}  // namespace fathom
