// What the readers of JSON files share.
#pragma once

#include <memory>
#include <string>

#include "data/formats/format.h"

namespace fathom {

/// The elements of the JSON array that a file is, each as a record.
/// @param source what is left of the file, from '[' on
/// @param line where that is
std::unique_ptr<RecordReader> open_json_array(const FormatInput& input,
                                              std::unique_ptr<ByteSource> source, uint64_t line);

/// The text of a document: the field `options.text_field` of a JSON object.
/// Python's NaN, Infinity and numbers of any size are taken, though no standard has them.
/// @returns nothing if it has none and options.on_missing_text is skip
/// @throws std::invalid_argument what is wrong, after "the document "
std::optional<std::string> text_of_json(const std::string& json, const ReadOptions& options);

}  // namespace fathom
