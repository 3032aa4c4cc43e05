#include "codegen/jit/object_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

namespace cpuflow::codegen {

namespace {

/// Begins every file; the object follows.
struct Header {
  char magic[8] = {'c', 'p', 'u', 'f', 'l', 'o', 'w', 'c'};
  uint32_t format = kObjectCacheFormat;
  uint32_t reserved = 0;
  uint64_t object_bytes = 0;
  uint64_t check_low = 0, check_high = 0;  // XXH3-128 of key and object
};

Header header_for(const std::string& key, const char* object, size_t size) {
  XXH3_state_t* state = XXH3_createState();
  XXH3_128bits_reset(state);
  XXH3_128bits_update(state, key.data(), key.size());
  XXH3_128bits_update(state, object, size);
  XXH128_hash_t check = XXH3_128bits_digest(state);
  XXH3_freeState(state);
  Header header;
  header.object_bytes = size;
  header.check_low = check.low64;
  header.check_high = check.high64;
  return header;
}

std::string entry_name(const std::string& key) { return key + ".o"; }

bool read_all(int fd, std::string& out) {
  size_t done = 0;
  while (done < out.size()) {
    ssize_t n = ::read(fd, out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

std::string reason(int error) { return std::strerror(error); }

}  // namespace

bool make_private_folders(const std::string& path) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    std::string prefix = path.substr(0, slash);
    if (::mkdir(prefix.c_str(), 0700) != 0 && errno != EEXIST) {
      const int error = errno;  // what stands in the way; that it is not there is known
      struct stat status;
      if (::stat(prefix.c_str(), &status) != 0) {
        errno = error;
        return false;
      }
    }
    if (slash == std::string::npos) return true;
  }
}

std::string default_cache_dir() {
  const char* xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg && xdg[0] == '/') return std::string(xdg) + "/cpuflowc";
  const char* home = std::getenv("HOME");
  if (home && home[0] == '/') return std::string(home) + "/.cache/cpuflowc";
  return "";
}

ObjectCache::~ObjectCache() {
  if (dir_ >= 0) ::close(dir_);
}

ObjectCache::ObjectCache(ObjectCache&& other) noexcept { *this = std::move(other); }

ObjectCache& ObjectCache::operator=(ObjectCache&& other) noexcept {
  std::swap(dir_, other.dir_);
  std::swap(limit_bytes_, other.limit_bytes_);
  std::swap(path_, other.path_);
  std::swap(note_, other.note_);
  return *this;
}

void ObjectCache::say(const std::string& what) { note_ += (note_.empty() ? "" : "; ") + what; }

ObjectCache ObjectCache::open(const std::string& dir, size_t limit_bytes) {
  ObjectCache cache;
  cache.limit_bytes_ = limit_bytes;
  cache.path_ = dir.empty() ? default_cache_dir() : dir;
  while (cache.path_.size() > 1 && cache.path_.back() == '/') cache.path_.pop_back();
  if (cache.path_.empty()) {
    cache.say("no object cache: neither XDG_CACHE_HOME nor HOME is set");
    return cache;
  }
  if (!make_private_folders(cache.path_)) {
    cache.say(fmt::format("no object cache: cannot create {}: {}", cache.path_, reason(errno)));
    return cache;
  }
  int fd = ::open(cache.path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) {
    cache.say(fmt::format("no object cache: cannot open {} as a folder: {}", cache.path_, reason(errno)));
    return cache;
  }
  struct stat status;
  if (::fstat(fd, &status) != 0 || status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
    cache.say(fmt::format("no object cache: {} must belong to you and to nobody else (chmod 700)", cache.path_));
    ::close(fd);
    return cache;
  }
  cache.dir_ = fd;
  return cache;
}

bool ObjectCache::get(const std::string& key, std::string& object) {
  if (dir_ < 0) return false;
  const std::string name = entry_name(key);
  int fd = ::openat(dir_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno != ENOENT) say(fmt::format("cannot read {}/{}: {}", path_, name, reason(errno)));
    return false;
  }
  struct stat status;
  bool good = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == ::geteuid() && (status.st_mode & 022) == 0 &&
              status.st_size >= static_cast<off_t>(sizeof(Header)) && status.st_size < (off_t{1} << 32);
  std::string bytes;
  if (good) {
    bytes.resize(static_cast<size_t>(status.st_size));
    good = read_all(fd, bytes);
  }
  if (good) {
    Header expected = header_for(key, bytes.data() + sizeof(Header), bytes.size() - sizeof(Header));
    good = std::memcmp(&expected, bytes.data(), sizeof(Header)) == 0;
  }
  // The time of last use decides what goes when the cache is full; on a read-only disk it stays as it is.
  if (good) ::futimens(fd, nullptr);
  ::close(fd);
  if (!good) {
    say(fmt::format("damaged entry {}/{} was ignored and will be replaced", path_, name));
    ::unlinkat(dir_, name.c_str(), 0);
    return false;
  }
  object.assign(bytes, sizeof(Header), std::string::npos);
  return true;
}

void ObjectCache::put(const std::string& key, const std::string& object) {
  if (dir_ < 0) return;
  static std::atomic<unsigned> counter{0};
  const std::string name = entry_name(key);
  const std::string temporary = fmt::format(".{}.{}.{}.tmp", key, ::getpid(), counter++);
  int fd = ::openat(dir_, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    say(fmt::format("the object was not kept: cannot write to {}: {}", path_, reason(errno)));
    return;
  }
  Header header = header_for(key, object.data(), object.size());
  bool written = write_all(fd, reinterpret_cast<const char*>(&header), sizeof header) && write_all(fd, object.data(), object.size());
  int error = errno;
  if (::close(fd) != 0 && written) {
    error = errno;
    written = false;
  }
  if (written && ::renameat(dir_, temporary.c_str(), dir_, name.c_str()) != 0) {
    error = errno;
    written = false;
  }
  if (!written) {
    ::unlinkat(dir_, temporary.c_str(), 0);
    say(fmt::format("the object was not kept: cannot write to {}: {}", path_, reason(error)));
    return;
  }
  trim();
}

void ObjectCache::trim() {
  struct Entry {
    timespec used;
    std::string name;
    size_t bytes;
  };
  int fd = ::openat(dir_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* listing = fd < 0 ? nullptr : ::fdopendir(fd);
  if (!listing) {
    if (fd >= 0) ::close(fd);
    return;
  }
  std::vector<Entry> entries;
  size_t total = 0;
  const time_t hour_ago = ::time(nullptr) - 3600;
  while (dirent* entry = ::readdir(listing)) {
    std::string name = entry->d_name;
    struct stat status;
    if (::fstatat(dir_, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) continue;
    if (name.ends_with(".tmp")) {
      // Left by a process that died while writing.
      if (status.st_mtim.tv_sec < hour_ago) ::unlinkat(dir_, name.c_str(), 0);
    } else if (name.ends_with(".o")) {
      entries.push_back({status.st_mtim, name, static_cast<size_t>(status.st_size)});
      total += static_cast<size_t>(status.st_size);
    }
  }
  ::closedir(listing);
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.used.tv_sec, a.used.tv_nsec) < std::pair(b.used.tv_sec, b.used.tv_nsec);
  });
  for (const Entry& entry : entries) {
    if (total <= limit_bytes_) break;
    if (::unlinkat(dir_, entry.name.c_str(), 0) == 0) total -= entry.bytes;
  }
}

}  // namespace cpuflow::codegen
