#pragma once
#include <nlohmann/json.hpp>

#include <string_view>

namespace cpuflow::rt {

/// Parses JSON text from outside: a key that appears twice in one object and nesting deeper than `max_depth` are errors.
/// Throws std::runtime_error with the reason and, where known, the byte; callers add the name of the file.
nlohmann::json parse_strict_json(std::string_view text, int max_depth = 64);
/// The same, with keys in the order of the text.
nlohmann::ordered_json parse_strict_ordered_json(std::string_view text, int max_depth = 64);

}  // namespace cpuflow::rt
