#pragma once
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

/// The content of a file; "" where there is none.
inline std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Writes a file, and the folders that it is in, without waiting for the disk.
inline void put(const std::string& path, const std::string& content) {
  if (const std::filesystem::path folder = std::filesystem::path(path).parent_path(); !folder.empty()) std::filesystem::create_directories(folder);
  std::ofstream(path, std::ios::binary) << content;
}

/// A folder of mode 0700 that is removed at the end, with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "cpuflow-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::system_error(errno, std::generic_category(), pattern);
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file of the folder; returns its path.
  std::string write(const std::string& name, const std::string& content) const {
    put(*this / name, content);
    return *this / name;
  }
  std::vector<std::filesystem::path> entries() const {
    std::vector<std::filesystem::path> all;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) all.push_back(entry.path());
    return all;
  }

 private:
  std::string path_;
};
