#include "fathom/run/choices.h"

#include "fathom/diagnose/probe.h"
#include "fathom/model/init.h"
#include "fathom/model/placement.h"
#include "fathom/model/rope.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/schedule.h"

namespace fathom {
namespace {

template <typename Table>
std::vector<Choice> rows_of(const Table& table) {
  std::vector<Choice> rows;
  for (const auto& row : table) {
    if constexpr (requires { row.options; }) {
      rows.push_back({std::string(row.name), row.options});
    } else {
      rows.push_back({std::string(row.name), {}});
    }
  }
  return rows;
}

}  // namespace

Choices config_choices() {
  return {{"model.norm.placement", rows_of(placements())},
          {"model.norm.scaling", rows_of(scalings())},
          {"model.init.method", rows_of(initializations())},
          {"model.rope_scaling.rope_type", rows_of(rope_types())},
          {"optimizer.name", rows_of(optimizers())},
          {"lr_scheduler.type", rows_of(schedules())},
          {"probes[].name", rows_of(probes())}};
}

}  // namespace fathom
