// One declaration per config key. The same list drives reading, the dump, --help, the reference
// page and the schema.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace fathom {

/// Bounds of a number (inclusive `at_least`, `at_most`; exclusive `above`, `below`) or of each
/// number of a list.
struct Limits {
  std::optional<double> at_least{}, above{}, at_most{}, below{};
};

/// One row of a table that a key chooses from: its name, and the sibling keys that have an effect
/// with it.
struct Choice {
  std::string name;
  std::vector<std::string> options;
};

/// The rows that each choosing key allows, by the key's path: "model.norm.placement" -> {{"pre",
/// {}}, {"lns", {...}}}; in a list of sections by "probes[].name". The folders that own the tables
/// supply them, so that config knows neither placements nor optimizers.
using Choices = std::map<std::string, std::vector<Choice>>;

/// Where a key's value lives. An optional without a value is "not set"; a dump leaves it out.
using FieldValue =
    std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*,
                 std::vector<double>*, std::optional<int64_t>*, std::optional<double>*>;

/// A part of a text such as "post x3, pre x9".
struct SequencePart {
  std::string name;
  std::optional<int64_t> count;  ///< none: of a name alone
};

/// Splits "post x3, pre x9", or a name alone.
/// @throws std::invalid_argument where a part isn't "NAME xCOUNT"
std::vector<SequencePart> parse_sequence(const std::string& text);

/// One config key.
struct Field {
  std::string path;  ///< "optimizer.lr"
  FieldValue value;
  Limits limits;
  std::vector<std::string> allowed;  ///< names a text may have; empty = any text
  std::string doc;                   ///< one line: meaning and unit
  std::string condition;             ///< "lr_scheduler.type is wsd"; empty = always has an effect
  std::function<bool()> has_effect;  ///< of the current values; null = always
  bool sequence = false;             ///< several of `allowed` one after another: "post x3, pre x9"
  std::vector<std::string>
      rivals{};  ///< paths of keys that this one, set by a later file, replaces
};

/// A list of sections: each has the same keys, "probes.0.name", "probes.1.name", ...
struct SectionList {
  std::string path;                     ///< "probes"
  std::string doc;                      ///< one line
  size_t size = 0;                      ///< sections that there are
  std::function<void(size_t)> resize;   ///< fields that were declared before are then invalid
  std::vector<Field> keys;              ///< of one section with default values: "probes[].name"
  std::shared_ptr<const void> section;  ///< that they belong to
};

/// Sets a field from a JSON value, with the checks of a config file.
/// @throws ConfigError "key is value; allowed: ...": wrong type, out of range, no such name
void assign_json(const Field& field, const nlohmann::ordered_json& json);

/// Collects the declarations of a config struct and of the structs in it.
class Fields {
 public:
  explicit Fields(const Choices& choices) : choices_(&choices) {}

  /// A key that always has an effect.
  void add(const std::string& name, FieldValue value, const std::string& doc, Limits limits = {});
  /// A text key with a fixed list of names.
  void one_of(const std::string& name, std::string& value, std::vector<std::string> allowed,
              const std::string& doc);
  /// A text key that chooses a row of a table, by Choices; a sequence may choose several.
  void choice(const std::string& name, std::string& value, const std::string& doc,
              bool sequence = false);
  /// A key that has an effect only where a row that one of `choosers` (siblings declared by
  /// `choice`) names lists it.
  void option_of(const std::vector<std::string>& choosers, const std::string& name,
                 FieldValue value, const std::string& doc, Limits limits = {},
                 std::vector<std::string> allowed = {});
  /// A key that has an effect only under a condition on other keys.
  void when(const std::string& condition, std::function<bool()> has_effect, const std::string& name,
            FieldValue value, const std::string& doc, Limits limits = {});

  /// Optional keys of which a config has one: where a file sets one and a later file or the command
  /// line another, the later counts and the earlier is forgotten.
  void rivals(const std::vector<std::string>& names);
  /// An optional key that says the same as the sibling `other` in another unit. It has an effect
  /// where that has, and takes it from that where it is set; the two are rivals.
  void alternative(const std::string& other, const std::string& name, std::optional<double>* value,
                   const std::string& doc, Limits limits = {});

  /// Declares a nested section through its `declare(Fields&)`.
  template <typename Section>
  void section(const std::string& name, Section& section) {
    const std::string outer = prefix_;
    prefix_ += name + ".";
    section.declare(*this);
    prefix_ = outer;
  }

  /// Declares a list of sections.
  template <typename Section>
  void sections(const std::string& name, std::vector<Section>& list, const std::string& doc) {
    const auto one = std::make_shared<Section>();
    Fields keys(*choices_);
    keys.prefix_ = prefix_ + name + "[].";
    one->declare(keys);
    lists_.push_back({prefix_ + name, doc, list.size(), [&list](size_t size) { list.resize(size); },
                      keys.fields_, one});
    for (size_t i = 0; i < list.size(); ++i) section(name + "." + std::to_string(i), list[i]);
  }

  const std::vector<Field>& all() const { return fields_; }
  const std::vector<SectionList>& lists() const { return lists_; }
  /// The list with this path, or null.
  const SectionList* find_list(const std::string& path) const;
  /// The key with this path, or null.
  const Field* find(const std::string& path) const;

 private:
  Field& declared(const std::string& path);

  const Choices* choices_;
  std::string prefix_;
  std::vector<Field> fields_;
  std::vector<SectionList> lists_;
};

}  // namespace fathom
