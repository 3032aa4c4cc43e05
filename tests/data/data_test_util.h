#pragma once
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "tests/catch.h"
#include "tests/files.h"
#include "tests/messages.h"

/// A file of the folder shared by several checkouts, or "" (with a note in the output) when it is not there.
inline std::string shared_file(const std::string& name) {
  const char* set = std::getenv("CPUFLOW_SHARED");
  const std::string path = (set ? std::string(set) : std::string(CPUFLOW_SOURCE_DIR "/../shared")) + "/" + name;
  if (std::filesystem::exists(path)) return path;
  WARN("skipped: " << path << " is not there");
  return "";
}

/// Changes, removes, inserts or repeats a few bytes.
inline std::string mutated(std::string text, std::mt19937& random) {
  const int edits = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < edits && !text.empty(); ++i) {
    const size_t at = random() % text.size();
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, 1 + random() % 8);
        break;
      case 2:
        text.insert(at, 1, "0129{}[]\",:-e\\u"[random() % 15]);
        break;
      case 3:
        text.insert(at, text.substr(at, 1 + random() % 16));
        break;
      default:
        text.resize(at);
        break;
    }
  }
  return text;
}
