#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cpuflow::rt {

/// A file cannot be read or written, or does not hold what it should; what() names the file, what is wrong and what to do.
struct FileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// There is no room for it.
struct NoSpace : FileError {
  using FileError::FileError;
};

/// A file that appears under its name only when it is complete: everything goes to a temporary file in the same folder, which
/// commit() renames.  An existing file keeps its content until then, whatever happens.  A device or pipe is written directly.
class AtomicFile {
 public:
  /// `expected_bytes`, where known, is compared with the free space before anything is written.
  /// Throws FileError: no such folder, no permission, a folder in the way, not enough space.
  explicit AtomicFile(std::string path, uint64_t expected_bytes = 0);
  /// Removes the temporary file unless commit() has been called.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws NoSpace: disk full, quota reached; FileError: size limit reached, I/O error.
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// fsync, rename, fsync of the folder.
  void commit();

 private:
  [[noreturn]] void fail(const char* what, int error) const;

  std::string path_;
  std::string temporary_;  // empty: `path_` itself is written
  uint64_t expected_;
  uint64_t written_ = 0;
  int descriptor_ = -1;
};

/// Throws what AtomicFile would, so that it is told before the work; a device or pipe is not opened.
void check_writable(const std::string& path);

/// Writes `content` to `path` with AtomicFile.
void write_file_atomically(const std::string& path, std::string_view content);

/// The bytes of a file.  Throws FileError: missing, a folder, no permission, I/O error.
std::string read_file(const std::string& path);

/// Whether there is anything, or a folder, at a path; a file system that does not say, for want of a permission, is a FileError.
bool exists(const std::string& path);

/// What to say of a path at which there is nothing.
std::string why_missing(const std::string& path);

bool is_folder(const std::string& path);

/// Makes names that were given in a folder outlast a crash, where its file system can.
void sync_folder(const std::string& path);

/// "12.3 MB"; decimal units.
std::string format_bytes(uint64_t bytes);

}  // namespace cpuflow::rt
