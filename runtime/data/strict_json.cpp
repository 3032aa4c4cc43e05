#include "runtime/data/strict_json.h"

#include <fmt/format.h>

#include <stdexcept>
#include <unordered_set>
#include <vector>

namespace cpuflow::rt {

namespace {

template <class Json>
Json parse(std::string_view text, int max_depth) {
  using Event = typename Json::parse_event_t;
  std::vector<std::unordered_set<std::string>> open_objects;
  const auto check = [&](int depth, Event event, Json& value) {
    if (depth > max_depth) throw std::runtime_error(fmt::format("nested more than {} levels deep", max_depth));
    if (event == Event::object_start) open_objects.emplace_back();
    if (event == Event::object_end) open_objects.pop_back();
    if (event == Event::key) {
      const std::string& key = value.template get_ref<const std::string&>();
      if (!open_objects.back().insert(key).second) throw std::runtime_error(fmt::format("the key \"{}\" appears twice", key));
    }
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::parse_error& error) {
    throw std::runtime_error(fmt::format("not valid JSON at byte {}", error.byte));
  } catch (const nlohmann::json::exception&) {
    throw std::runtime_error("not valid JSON: a number is out of range");
  }
}

}  // namespace

nlohmann::json parse_strict_json(std::string_view text, int max_depth) { return parse<nlohmann::json>(text, max_depth); }
nlohmann::ordered_json parse_strict_ordered_json(std::string_view text, int max_depth) { return parse<nlohmann::ordered_json>(text, max_depth); }

}  // namespace cpuflow::rt
