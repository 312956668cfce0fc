#include "fathom/base/number.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

#include "fathom/base/error.h"

namespace fathom {
namespace {

constexpr double kTwoTo63 = 9223372036854775808.0;

template <typename Number>
std::errc convert(std::string_view text, Number& value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && stopped != end) return std::errc::invalid_argument;
  return error;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// "010", "-00.5": octal to some readers, decimal to others.
bool has_leading_zero(std::string_view text) {
  if (!text.empty() && text.front() == '-') text.remove_prefix(1);
  return text.size() > 1 && text[0] == '0' && is_digit(text[1]);
}

/// What a person may have meant: without '+', digit separators and leading zeros.
std::string tidied(std::string_view text) {
  std::string tidy;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool starts_number = tidy.empty() || tidy == "-";
    const bool leading_zero =
        starts_number && text[i] == '0' && i + 1 < text.size() && is_digit(text[i + 1]);
    if (text[i] != '+' && text[i] != '_' && !leading_zero) tidy += text[i];
  }
  return tidy;
}

std::string integer_advice(std::string_view text) {
  const std::string tidy = tidied(text);
  int64_t whole = 0;
  double number = 0;
  if (convert(tidy, whole) == std::errc()) return cat("write ", whole);
  if (convert(tidy, number) == std::errc() && std::isfinite(number)) {
    if (std::abs(number) >= kTwoTo63) return "it doesn't fit in 64 bits; write a smaller number";
    const auto nearest = static_cast<int64_t>(std::round(number));
    const bool exact = static_cast<double>(nearest) == number;
    return cat(exact ? "write " : "write a whole number, such as ", nearest);
  }
  return "write a whole number in decimal digits";
}

std::string number_advice(std::string_view text) {
  double number = 0;
  const std::errc error = convert(tidied(text), number);
  if (error == std::errc() && std::isfinite(number)) return "write " + format_number(number);
  if (error == std::errc::result_out_of_range) return "its magnitude is beyond a 64-bit float";
  return error == std::errc() ? "write a finite number" : "write a number, such as 0.5 or 1.0e-3";
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text, std::string& advice) {
  int64_t value = 0;
  if (convert(text, value) == std::errc() && !has_leading_zero(text)) return value;
  advice = integer_advice(text);
  return std::nullopt;
}

std::optional<double> parse_number(std::string_view text, std::string& advice) {
  double value = 0;
  if (convert(text, value) == std::errc() && std::isfinite(value) && !has_leading_zero(text))
    return value;
  advice = number_advice(text);
  return std::nullopt;
}

std::string format_number(double value) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, end);
  const size_t exponent = text.find('e');  // YAML 1.1 takes "1e-08" for a text, "1.0e-08" not
  if (exponent != std::string::npos && text.find('.') == std::string::npos)
    text.insert(exponent, ".0");
  return text;
}

std::string loss_text(double nats) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4f", nats);
  return buffer;
}

std::string perplexity_text(double perplexity) {
  constexpr double kLongest = 1e6;
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, perplexity < kLongest ? "%.2f" : "%.3e", perplexity);
  return buffer;
}

std::string grouped(int64_t value) {
  std::string text = std::to_string(value);
  const size_t first_digit = value < 0 ? 1 : 0;
  for (size_t at = text.size(); at > first_digit + 3;) text.insert(at -= 3, ",");
  return text;
}

}  // namespace fathom
