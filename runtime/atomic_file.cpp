#include "runtime/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace cpuflow::rt {
namespace {

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

/// Bytes that this user may still write to the file system that holds `folder`; false where that is unknown.
bool free_bytes(const std::string& folder, uint64_t& bytes) {
  struct statvfs info;
  if (statvfs(folder.c_str(), &info) != 0) return false;
  bytes = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  return true;
}

std::filesystem::file_status status_of(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::status_known(status)) throw FileError(fmt::format("{}: cannot be looked at: {}; check the permissions of its folder", path, error.message()));
  return status;
}

}  // namespace

bool exists(const std::string& path) { return std::filesystem::exists(status_of(path)); }

bool is_folder(const std::string& path) { return std::filesystem::is_directory(status_of(path)); }

void sync_folder(const std::string& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  fsync(folder);  // some file systems refuse this for folders, which is no error
  close(folder);
}

std::string format_bytes(uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  static constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  for (; value >= 999.95 && unit + 1 < std::size(kUnits); ++unit) value /= 1000;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

AtomicFile::AtomicFile(std::string path, uint64_t expected_bytes) : path_(std::move(path)), expected_(expected_bytes) {
  if (path_.empty()) throw FileError("cannot write a file without a name; give a path");
  struct stat info;
  if (stat(path_.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) throw FileError(fmt::format("{}: cannot write this file: it is a folder; give the path of a file", path_));
    if (!S_ISREG(info.st_mode)) {
      descriptor_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
      if (descriptor_ < 0) fail("cannot open for writing", errno);
      return;
    }
    // A link keeps pointing to the file that it points to.
    std::error_code error;
    const std::filesystem::path target = std::filesystem::canonical(path_, error);
    if (!error) path_ = target.string();
  }
  const std::string folder = folder_of(path_);
  if (stat(folder.c_str(), &info) != 0 && errno == ENOENT) {
    throw FileError(fmt::format("{}: cannot write: there is no folder {}; create it first", path_, folder));
  }
  uint64_t available = 0;
  if (expected_ > 0 && free_bytes(folder, available) && available < expected_) fail("cannot write", ENOSPC);
  static std::atomic<unsigned> counter{0};
  do {
    temporary_ = fmt::format("{}.tmp.{}.{}", path_, getpid(), counter++);
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail("cannot create a file in its folder", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what, int error) const {
  if (error == ENOSPC || error == EDQUOT) {
    const uint64_t needed = std::max<uint64_t>(expected_, written_);
    uint64_t available = 0;
    const std::string free = free_bytes(folder_of(path_), available) ? format_bytes(available) : "an unknown amount";
    throw NoSpace(fmt::format("{}: {}: {}: {}{} needed, {} free in {}; free some space or choose another folder", path_, what,
                                error == ENOSPC ? "the disk is full" : "the disk quota is used up", expected_ > 0 ? "" : "more than ", format_bytes(needed), free,
                                folder_of(path_)));
  }
  if (error == EACCES || error == EPERM || error == EROFS) {
    throw FileError(fmt::format("{}: {}: no permission ({}); choose a folder that you may write to", path_, what, std::strerror(error)));
  }
  if (error == EFBIG) {
    throw FileError(fmt::format("{}: {}: the limit on the size of a file (ulimit -f) is reached after {}; raise it", path_, what,
                                format_bytes(written_)));
  }
  throw FileError(fmt::format("{}: {}: {}", path_, what, std::strerror(error)));
}

void AtomicFile::write(const void* data, size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(descriptor_, next, std::min<size_t>(bytes, size_t{1} << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int error = done < 0 ? errno : ENOSPC;
      written_ += bytes;
      fail("cannot write", error);
    }
    next += done;
    bytes -= static_cast<size_t>(done);
    written_ += static_cast<uint64_t>(done);
  }
}

void AtomicFile::commit() {
  if (!temporary_.empty() && fsync(descriptor_) != 0) fail("cannot write to the disk", errno);
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 && errno != EINTR) fail("cannot write", errno);
  if (temporary_.empty()) return;
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("cannot put the finished file in its place", errno);
  temporary_.clear();
  sync_folder(folder_of(path_));
}

void check_writable(const std::string& path) {
  if (!std::filesystem::is_other(status_of(path))) AtomicFile file(path);
}

void write_file_atomically(const std::string& path, std::string_view content) {
  AtomicFile file(path, content.size());
  file.write(content);
  file.commit();
}

std::string why_missing(const std::string& path) {
  return path.find("://") == std::string::npos ? "there is no such file" : "there is no such file; addresses are not fetched: download it, and give the file";
}

std::string read_file(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    if (error == ENOENT) throw FileError(fmt::format("{}: {}", path, why_missing(path)));
    if (error == EACCES) throw FileError(fmt::format("{}: no permission to read this file", path));
    throw FileError(fmt::format("{}: cannot read: {}", path, std::strerror(error)));
  }
  struct stat info;
  std::string content;
  if (fstat(descriptor, &info) == 0) {
    if (S_ISDIR(info.st_mode)) {
      close(descriptor);
      throw FileError(fmt::format("{}: this is a folder, and a file is needed; give the files in it", path));
    }
    if (S_ISREG(info.st_mode)) content.reserve(static_cast<size_t>(info.st_size) + 1);
  }
  size_t size = 0;
  for (;;) {
    if (content.capacity() < size + 4096) content.reserve(2 * content.capacity() + (size_t{1} << 16));
    content.resize(std::min(content.capacity(), size + (size_t{1} << 26)));
    const ssize_t done = read(descriptor, content.data() + size, content.size() - size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      const int error = errno;
      close(descriptor);
      throw FileError(fmt::format("{}: cannot read: {}", path, std::strerror(error)));
    }
    if (done == 0) break;
    size += static_cast<size_t>(done);
  }
  close(descriptor);
  content.resize(size);
  return content;
}

}  // namespace cpuflow::rt
