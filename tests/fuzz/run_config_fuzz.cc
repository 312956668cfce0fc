// A run's config as YAML and as JSON: what is accepted has a dump that reads as the same config.
#include "config/config_test_util.h"
#include "config/tree.h"
#include "fathom/config/describe.h"
#include "fathom/config/load.h"
#include "fuzz/fuzz.h"

namespace fathom {
namespace {

std::string dump_of(const std::string& name, std::string_view text) {
  return dump_yaml(load_run_config(folder().write(name, text), {}, test_choices()).config,
                   test_choices());
}

void fuzz_as(const std::string& name, std::string_view text) {
  std::string dump;
  try {
    dump = dump_of(name, text);
  } catch (const ConfigError&) {
    return;
  }
  promise(dump_of("dump.yaml", dump) == dump, "a dump reads as the config that it was made of");
}

}  // namespace

void fuzz_one(std::string_view input) {
  fuzz_as("x.yaml", input);
  fuzz_as("x.json", input);
}

}  // namespace fathom
