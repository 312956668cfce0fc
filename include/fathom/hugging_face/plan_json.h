// A plan as JSON: what a checkpoint's config.json says of it, and what `plan` prints.
#pragma once

#include <nlohmann/json.hpp>

#include "fathom/model/placement.h"

namespace fathom {

/// {"embedding_norm": "rms", "final_norm": "rms", "layers": [{"attention": {...}, "feed_forward":
/// {...}}, ...]}. Fields that a bare residual step has, too, are left out.
nlohmann::ordered_json plan_to_json(const ModelPlan& plan);

/// @throws std::invalid_argument that names an unknown field or a value that isn't allowed
ModelPlan plan_from_json(const nlohmann::ordered_json& json);

}  // namespace fathom
