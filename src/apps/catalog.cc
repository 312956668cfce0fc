#include "apps/catalog.h"

#include "fathom/base/error.h"
#include "fathom/config/load.h"
#include "fathom/config/presets.h"
#include "fathom/data/formats.h"
#include "fathom/diagnose/probe.h"
#include "fathom/model/init.h"
#include "fathom/model/placement.h"
#include "fathom/model/rope.h"
#include "fathom/run/observers.h"
#include "fathom/train/optimizer.h"
#include "fathom/train/schedule.h"

namespace fathom {
namespace {

CatalogTable placement_table() {
  CatalogTable table{"placements", {}};
  for (const Placement& row : placements())
    table.rows.push_back(
        {std::string(row.name), std::string(row.formula), std::string(row.source), row.options});
  return table;
}

CatalogTable scaling_table() {
  CatalogTable table{"scalings", {}};
  for (const Scaling& row : scalings())
    table.rows.push_back(
        {std::string(row.name), std::string(row.formula), std::string(row.source), row.options});
  return table;
}

CatalogTable init_table() {
  CatalogTable table{"inits", {}};
  for (const Initialization& row : initializations())
    table.rows.push_back(
        {std::string(row.name), std::string(row.formula), std::string(row.source)});
  return table;
}

CatalogTable rope_table() {
  CatalogTable table{"rope_types", {}};
  for (const RopeType& row : rope_types())
    table.rows.push_back({std::string(row.name), std::string(row.formula), "", row.options});
  return table;
}

CatalogTable optimizer_table() {
  CatalogTable table{"optimizers", {}};
  for (const OptimizerRow& row : optimizers())
    table.rows.push_back(
        {std::string(row.name), std::string(row.formula), std::string(row.source), row.options});
  return table;
}

CatalogTable schedule_table() {
  CatalogTable table{"schedules", {}};
  for (const Schedule& row : schedules())
    table.rows.push_back({std::string(row.name), std::string(row.formula), "", row.options});
  return table;
}

CatalogTable probe_table() {
  CatalogTable table{"probes", {}};
  for (const ProbeInfo& row : probes())
    table.rows.push_back({std::string(row.name), cat(row.formula, " (", row.source, ")")});
  return table;
}

CatalogTable observer_table() {
  CatalogTable table{"observers", {}};
  for (const ObserverInfo& row : observers())
    table.rows.push_back({std::string(row.name), std::string(row.meaning)});
  return table;
}

CatalogTable preset_table() {
  CatalogTable table{"presets", {}};
  for (const Preset& preset : presets()) table.rows.push_back({preset.name, preset.summary});
  return table;
}

CatalogTable format_table() {
  CatalogTable table{"formats", {}};
  for (const FormatInfo& row : list_formats())
    table.rows.push_back({.name = std::string(row.name),
                          .summary = std::string(row.summary),
                          .extensions = {row.extensions.begin(), row.extensions.end()}});
  return table;
}

}  // namespace

std::vector<CatalogTable> catalog_tables() {
  return {placement_table(), scaling_table(), init_table(),     rope_table(),   optimizer_table(),
          schedule_table(),  probe_table(),   observer_table(), preset_table(), format_table()};
}

}  // namespace fathom
