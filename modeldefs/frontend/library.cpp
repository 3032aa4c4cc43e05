#include "modeldefs/frontend/library.h"

#include <sstream>
#include <string_view>

namespace cpuflow::embedded {
extern const std::string_view model_prelude;
}

namespace cpuflow::frontend {
namespace {

struct Entry {
  std::string name, text;
};

/// A layer is its tables; a function is its key in [functions].  A comment belongs to what follows it without an empty line.
std::vector<Entry> entries() {
  std::vector<Entry> out;
  std::istringstream lines{std::string(embedded::model_prelude)};
  std::string comment;
  bool functions = false, quoted = false;
  for (std::string line; std::getline(lines, line);) {
    const bool inside = quoted;
    for (size_t at = line.find("'''"); at != std::string::npos; at = line.find("'''", at + 3)) quoted = !quoted;
    if (!inside && line.empty()) comment.clear();
    else if (!inside && line[0] == '#') comment += line + "\n";
    else if (!inside && line[0] == '[') {
      functions = line.rfind("[functions]", 0) == 0;
      const size_t end = line.find(']');
      std::string name = functions ? "" : line.substr(8, end - 8);  // behind "[layers."
      if (size_t dot = name.find('.'); dot != std::string::npos) name.resize(dot);
      if (!functions && (out.empty() || out.back().name != name)) out.push_back({name, comment});
      if (!functions) out.back().text += line + "\n";
      comment.clear();
    } else {
      const size_t equals = line.find('=');
      if (!inside && functions && equals != std::string::npos) {
        out.push_back({line.substr(0, line.find_last_not_of(' ', equals - 1) + 1), comment});
        comment.clear();
      }
      if (!out.empty()) out.back().text += line + "\n";
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> library_names() {
  std::vector<std::string> out;
  for (const Entry& e : entries()) out.push_back(e.name);
  return out;
}

std::string library_text(const std::string& name) {
  for (const Entry& e : entries()) {
    if (e.name == name) return e.text;
  }
  return "";
}

}  // namespace cpuflow::frontend
