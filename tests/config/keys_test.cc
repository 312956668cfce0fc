// Every declared key, with every kind of mistake.
#include <gmock/gmock.h>

#include "config/config_test_util.h"
#include "fathom/config/describe.h"

namespace fathom {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

struct Key {
  Field field;
  std::string section;  ///< "model:\n  norm:\n    " opens it
  std::string name;     ///< "placement"
  int line;             ///< of the key in the text
};

class Keys : public ConfigTest {
 protected:
  Keys() {
    config_.declare(fields_);
    for (const Field& field : fields_.all()) keys_.push_back(open_section(field));
  }

  static Key open_section(const Field& field) {
    Key key{field, "", "", 1};
    std::string rest = field.path;
    for (size_t dot; (dot = rest.find('.')) != std::string::npos; rest = rest.substr(dot + 1)) {
      key.section +=
          rest.substr(0, dot) + ":\n" + std::string(2 * static_cast<size_t>(key.line), ' ');
      ++key.line;
    }
    key.name = rest;
    return key;
  }

  std::string error_for(const Key& key, const std::string& name, const std::string& value) const {
    return error_in(key.section + name + ": " + value + "\n");
  }

  static std::string at(const Key& key) { return "x.yaml:" + std::to_string(key.line) + ": "; }

  template <typename... Types>
  static bool is_any_of(const Field& field) {
    return (std::holds_alternative<Types>(field.value) || ...);
  }
  static bool is_number(const Field& field) {
    return is_integer(field) || is_any_of<double*, std::optional<double>*>(field);
  }
  static bool is_integer(const Field& field) {
    return is_any_of<int64_t*, std::optional<int64_t>*>(field);
  }
  static bool is_list(const Field& field) {
    return is_any_of<std::vector<double>*, std::vector<std::string>*>(field);
  }

  RunConfig config_;
  Fields fields_{choices_};
  std::vector<Key> keys_;
};

TEST_F(Keys, AreRefusedWhenMisspelt) {
  for (const Key& key : keys_) {
    const std::string typo = key.name + "q";
    EXPECT_THAT(error_for(key, typo, "1"),
                AllOf(StartsWith(at(key) + "unknown key '" + key.field.path + "q'; did you mean '"),
                      HasSubstr(key.field.path)));
  }
}

TEST_F(Keys, AreRefusedWhenGivenTwice) {
  for (const Key& key : keys_) {
    const std::string indent(2 * static_cast<size_t>(key.line - 1), ' ');
    const std::string text = key.section + key.name + ": 1\n" + indent + key.name + ": 1\n";
    EXPECT_THAT(error_in(text), StartsWith("x.yaml:" + std::to_string(key.line + 1) +
                                           ": duplicate key '" + key.field.path + "'"));
  }
}

TEST_F(Keys, AreRefusedWithAValueOfAnotherType) {
  for (const Key& key : keys_) {
    std::vector<std::string> values = {"{a: 1}", "", "~", "null"};
    if (!is_list(key.field)) values.insert(values.end(), {"[]", "[1]"});
    if (is_number(key.field)) values.insert(values.end(), {"true", "\"1\"", "abc"});
    if (is_integer(key.field))
      values.insert(values.end(), {"1.5", "1e3", "1.0", "99999999999999999999"});
    if (is_any_of<bool*>(key.field)) values.insert(values.end(), {"1", "yes", "\"true\"", "on"});
    if (is_any_of<std::string*>(key.field)) values.insert(values.end(), {"1", "true", "0.5"});
    if (is_any_of<std::vector<std::string>*>(key.field))
      values.insert(values.end(), {"a", "[1]", "[[a]]", "[~]"});
    if (is_any_of<std::vector<double>*>(key.field))
      values.insert(values.end(), {"0.5", "[a]", "[\"1\"]", "[[1]]"});
    for (const std::string& value : values)
      EXPECT_THAT(error_for(key, key.name, value),
                  AllOf(StartsWith(at(key) + key.field.path + " is "), HasSubstr("; allowed: ")))
          << value;
  }
}

TEST_F(Keys, AreRefusedOutOfRange) {
  size_t num_checked = 0;
  for (const Key& key : keys_) {
    const Limits& limits = key.field.limits;
    const bool integer = is_integer(key.field);
    std::vector<double> values;
    if (limits.at_least) values.push_back(*limits.at_least - 1);
    if (limits.above) values.push_back(*limits.above);
    if (limits.at_most) values.push_back(*limits.at_most + (integer ? 16 : 1));
    if (limits.below) values.push_back(*limits.below);
    for (const double value : values) {
      std::string text = integer ? std::to_string(static_cast<int64_t>(value)) : cat(value);
      if (is_list(key.field)) text = "[0.5, " + text + "]";
      EXPECT_THAT(error_for(key, key.name, text),
                  AllOf(StartsWith(at(key) + key.field.path + " is "), HasSubstr("; allowed: ")));
      ++num_checked;
    }
  }
  EXPECT_GT(num_checked, 59u);
}

TEST_F(Keys, AreRefusedWithNumbersThatReadersDisagreeOn) {
  for (const Key& key : keys_) {
    if (!is_number(key.field)) continue;
    for (const char* value : {"nan", ".nan", "inf", ".inf", "-.inf", "010", "+1", "1_000", "0x10",
                              "0o7", "1e999", "1 000", "5%"})
      EXPECT_THAT(error_for(key, key.name, value), StartsWith(at(key) + key.field.path + " is "))
          << value;
  }
}

TEST_F(Keys, AreRefusedWithANameThatIsNotAllowed) {
  for (const Key& key : keys_) {
    if (key.field.allowed.empty()) continue;
    const std::string& name = key.field.allowed.back();
    const std::string list =
        key.field.sequence ? ", or a list such as 'post x3, pre x9'" : std::string();
    EXPECT_EQ(error_for(key, key.name, name + "q"), at(key) + key.field.path + " is '" + name +
                                                        "q'; allowed: " + join(key.field.allowed) +
                                                        list + "; did you mean '" + name + "'?");
  }
}

TEST_F(Keys, AreRefusedWhereTheyHaveNoEffect) {
  size_t num_checked = 0;
  for (const Key& key : keys_) {
    if (!key.field.has_effect || key.field.has_effect()) continue;
    std::string value = is_number(key.field) ? "2" : "true";
    if (key.field.limits.at_most && *key.field.limits.at_most < 2) value = "1";
    if (key.field.limits.below && *key.field.limits.below < 2) value = "0.5";
    if (std::holds_alternative<std::vector<std::string>*>(key.field.value)) value = "[a]";
    if (!key.field.allowed.empty()) value = key.field.allowed.back();
    EXPECT_THAT(error_for(key, key.name, value),
                AllOf(StartsWith(at(key) + key.field.path + " is " + value +
                                 ", but has no effect: it counts where " + key.field.condition),
                      HasSubstr("(it is ")));
    ++num_checked;
  }
  // placement 10, rope 10, attention_output_bias, decay_steps, sample 5, Muon 4
  EXPECT_EQ(num_checked, 31U);
}

TEST_F(Keys, AreRefusedOnTheCommandLineByTheSameRules) {
  const std::string good = write("good.yaml", "train: {max_steps: 1}\n");
  for (const Key& key : keys_) {
    EXPECT_THAT(error_of(good, {{key.field.path + "q", "1"}}),
                StartsWith("command line: unknown key '" + key.field.path + "q'; did you mean"));
    if (!is_number(key.field)) continue;
    EXPECT_THAT(error_of(good, {{key.field.path, "010"}}),
                StartsWith("command line: " + key.field.path + " is 010; allowed: "));
  }
}

TEST_F(Keys, AreAllDescribed) {
  const std::string text = describe_keys(choices_);
  for (const Key& key : keys_) {
    EXPECT_THAT(text, HasSubstr("  " + key.field.path));
    EXPECT_THAT(text, HasSubstr(key.field.doc));
  }
}

}  // namespace
}  // namespace fathom
