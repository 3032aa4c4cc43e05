#pragma once
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "tests/catch.h"

/// A folder that is removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cpuflow-data-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = pattern;
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// Writes a file without waiting for the disk.
inline void put(const std::string& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

/// What `run` throws as std::exception, or "" when it throws nothing.
template <class Run>
std::string message_of(Run run) {
  try {
    run();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

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
