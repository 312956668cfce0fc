// Strict reading and exact writing of numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

/// Reads a whole decimal number: no "+1", "010", "1.0", "1e3", "1_000" or text around it.
/// @param advice set to what to write instead ("write 1000") when there is no value
std::optional<int64_t> parse_integer(std::string_view text, std::string& advice);

/// Reads a finite decimal number: no "+1", "010", "1_000", "nan", "inf", no magnitude beyond a
/// double, no text around it.
/// @param advice set to what to write instead when there is no value
std::optional<double> parse_number(std::string_view text, std::string& advice);

/// The shortest text that reads back as exactly `value`: "0.1", "1.0e-08". Every reader of
/// YAML 1.1, YAML 1.2 and JSON takes it for a number.
std::string format_number(double value);

/// A loss as people read it: "5.4307".
std::string loss_text(double nats);

/// A perplexity as papers print it: "26.73", "1368.33"; from a million on "1.234e+06".
std::string perplexity_text(double perplexity);

/// 134105856 -> "134,105,856".
std::string grouped(int64_t value);

}  // namespace fathom
