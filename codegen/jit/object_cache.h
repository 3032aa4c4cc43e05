#pragma once
#include <cstddef>
#include <string>

namespace cpuflow::codegen {

/// Part of every key and file: change it with the layout of the files.
constexpr int kObjectCacheFormat = 1;

/// $XDG_CACHE_HOME/cpuflowc, else $HOME/.cache/cpuflowc; "" when neither is set to an absolute path.
std::string default_cache_dir();

/// As `mkdir -p`, with mode 0700 for what is new.  False: it failed, see errno.
bool make_private_folders(const std::string& path);

/// Objects on disk by key.  The folder belongs to this user alone (mode 0700): what is in it will be executed.
/// Nothing here throws: a cache that cannot be used is an empty one, and note() says why.
class ObjectCache {
 public:
  ObjectCache() = default;
  ~ObjectCache();
  ObjectCache(ObjectCache&& other) noexcept;
  ObjectCache& operator=(ObjectCache&& other) noexcept;

  /// Opens `dir` ("": the default), creating it if need be.  Oldest entries go when the files exceed `limit_bytes`.
  static ObjectCache open(const std::string& dir, size_t limit_bytes);
  /// True: `object` is what was put under `key`.  A damaged entry is removed and is not a hit.
  bool get(const std::string& key, std::string& object);
  /// Other processes see either nothing or all of it.
  void put(const std::string& key, const std::string& object);
  /// Why the cache was not used, or what was wrong; "" when there is nothing to say.
  const std::string& note() const { return note_; }

 private:
  void say(const std::string& what);
  void trim();

  int dir_ = -1;  // all access goes through this descriptor, so the folder cannot be exchanged after it was checked
  size_t limit_bytes_ = 0;
  std::string path_, note_;
};

}  // namespace cpuflow::codegen
