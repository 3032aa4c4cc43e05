#pragma once
#include "ir/diagnostics.h"

#include <string>
#include <utility>
#include <vector>

namespace cpuflow::frontend {

/// An error on its way to the statement that it belongs to; reported there, so that the other statements are still looked at.
struct Fault {
  ir::SourceLoc at;
  std::string message;
  std::vector<std::pair<ir::SourceLoc, std::string>> notes = {};

  void report(ir::Diagnostics& diagnostics) const {
    if (message.empty()) return;  // a consequence of an error that is reported already
    diagnostics.error(at, message);
    for (const auto& [place, text] : notes) diagnostics.note(place, text);
  }
};

/// `; did you mean 'x'?` or nothing.
inline std::string suggestion(const std::string& name, const std::vector<std::string>& known) {
  std::string near = ir::nearest_name(name, known);
  return near.empty() ? "" : "; did you mean '" + near + "'?";
}

}  // namespace cpuflow::frontend
