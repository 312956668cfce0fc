// The time that records carry; durations are measured elsewhere, on a clock that nobody sets.
#pragma once

namespace fathom {

/// Wall time in seconds, to the millisecond.
double seconds_since_1970();

}  // namespace fathom
