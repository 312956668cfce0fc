#include "apps/completion.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>

#include "apps/help.h"
#include "fathom/base/error.h"
#include "fathom/base/json.h"
#include "fathom/config/describe.h"
#include "fathom/config/presets.h"

namespace fathom {
namespace {

constexpr std::string_view kScript =
    R"script(# Completion of train-llm, for bash and zsh; made by `train-llm completion`.
[ -z "${ZSH_VERSION-}" ] || { autoload -Uz compinit bashcompinit && compinit && bashcompinit; }

_train_llm_values() {
  case $1 in
@VALUES@  esac
}

_train_llm_command() {
  case $1 in
@COMMANDS@  esac
}

_train_llm() {
  local IFS=$' \n' cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} name= words= flags= config= files=yes prefix=
  local before=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    words='@FIRST@' files=
  elif [ "$COMP_CWORD" = 2 ] && [ -n "$(_train_llm_command "$command +")" ]; then
    words=$(_train_llm_command "$command +") files=
  else
    [ -z "$(_train_llm_command "$command +")" ] || command="$command ${COMP_WORDS[2]}"
    eval "$(_train_llm_command "$command")"
    case $cur in # zsh, where "key=value" is one word
      ?*=*) name=${cur%%=*} prefix=${cur%%=*}= cur=${cur#*=} ;;
    esac
    if [ -n "$name" ]; then
      before='='
    elif [ "$cur" = = ]; then
      name=$before cur=
    elif [ "$before" = = ]; then
      name=${COMP_WORDS[COMP_CWORD - 2]}
    elif [ "${before#--}" != "$before" ]; then
      name=$before
    fi
    name=${name#--}
    if [ -n "$name" ] && [ -n "$(_train_llm_values "$command $name")$(_train_llm_values "$name")" ]; then
      words="$(_train_llm_values "$command $name") $(_train_llm_values "$name")" files=
    elif [ "${cur#--}" != "$cur" ]; then
      words=$flags files=
      [ -z "$config" ] || words="$words @DASHED_KEYS@"
    elif [ -n "$config" ] && [ "$before" != = ]; then
      if [ "$COMP_CWORD" = 2 ]; then words='@PRESETS@'; else words='@KEYS@'; fi
    elif [ "$COMP_CWORD" != 2 ]; then
      words=
    fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  IFS=$'\n'
  if [ -n "$files" ]; then
    [ ${#COMPREPLY[@]} != 0 ] || compopt -o filenames 2> /dev/null # else it would write "key\="
    COMPREPLY=("${COMPREPLY[@]}" $(compgen -f -- "$cur"))
  fi
  [ -z "$prefix" ] || COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
  case "${COMPREPLY[*]}" in *=) compopt -o nospace 2> /dev/null ;; esac
}

complete -F _train_llm train-llm
)script";

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

/// The words of "auto|never|DIR" that are meant as they stand: "auto never".
std::string literal_words(const std::string& alternatives) {
  if (alternatives.find('|') == std::string::npos) return "";
  std::vector<std::string> words = split(alternatives, '|');
  std::erase_if(words, [](const std::string& word) {
    return word.empty() || !std::all_of(word.begin(), word.end(), [](unsigned char c) {
             return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_' || c == '-';
           });
  });
  return join(words, " ");
}

std::string case_line(const std::string& pattern, const std::string& text) {
  return cat("    '", pattern, "') echo '", text, "' ;;\n");
}

/// What completes a command: flags, whether a config comes first, the words of its first argument.
std::string command_lines(const std::vector<Command>& table) {
  std::string lines;
  std::map<std::string, std::vector<std::string>> groups;  // "tokenizer": train, encode, decode
  for (const Command& command : table) {
    std::vector<std::string> flags;
    for (const Flag& flag : all_flags(command)) flags.push_back("--" + flag.name);
    lines += case_line(command.name, cat("flags=\"", join(flags, " "), "\"",
                                         command.takes_config ? " config=yes" : ""));
    if (const size_t space = command.name.find(' '); space != std::string::npos)
      groups[command.name.substr(0, space)].push_back(command.name.substr(space + 1));
    if (const std::string words = literal_words(command.usage.substr(0, command.usage.find(' ')));
        !words.empty())
      groups[command.name] = {words};
  }
  groups["help"] = {first_words(table)};
  for (const auto& [name, words] : groups) lines += case_line(name + " +", join(words, " "));
  return lines;
}

/// The allowed values of each key of a JSON Schema, by the key's path.
void add_key_values(const Json& schema, const std::string& path, std::string& lines) {
  if (schema.contains("properties")) {
    for (const auto& [name, part] : schema["properties"].items())
      add_key_values(part, path.empty() ? name : cat(path, ".", name), lines);
    return;
  }
  std::vector<std::string> values;
  const Json& allowed = schema.contains("anyOf") ? schema["anyOf"][0] : schema;
  if (allowed.contains("enum")) values = allowed["enum"].get<std::vector<std::string>>();
  if (schema.value("type", "") == "boolean") values = {"true", "false"};
  if (!values.empty()) lines += case_line(path, join(values, " "));
}

std::string value_lines(const std::vector<Command>& table, const Choices& choices) {
  std::string lines;
  for (const Command& command : table) {
    for (const Flag& flag : command.flags) {
      if (const std::string words = literal_words(flag.argument); !words.empty())
        lines += case_line(cat(command.name, " ", flag.name), words);
    }
  }
  add_key_values(Json(json_schema(choices)), "", lines);
  return lines;
}

std::string keys(const Choices& choices, const std::string& before, const std::string& after) {
  std::vector<std::string> paths = key_paths(choices);
  for (std::string& path : paths) path = cat(before, path, after);
  return join(paths, " ");
}

void replace(std::string& text, const std::string& name, const std::string& value) {
  const size_t at = text.find(name);
  text.replace(at, name.size(), value);
}

}  // namespace

std::string completion_script(const std::vector<Command>& table, const Choices& choices) {
  std::string script(kScript);
  replace(script, "@VALUES@", value_lines(table, choices));
  replace(script, "@COMMANDS@", command_lines(table));
  replace(script, "@FIRST@", first_words(table));
  replace(script, "@PRESETS@", join(preset_names(), " "));
  replace(script, "@KEYS@", keys(choices, "", "="));
  replace(script, "@DASHED_KEYS@", keys(choices, "--", "="));
  return script;
}

}  // namespace fathom
