#pragma once
#include <string>

namespace cpuflow::rt {

/// One process trains in a folder at a time.  The lock is advisory and leaves no file: readers do not see it, and it ends with the process,
/// however that ends.
class FolderLock {
 public:
  FolderLock() = default;
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  /// Locks a folder that exists until this object is gone.  Throws RunError when another process has locked it.
  void take(const std::string& dir);

 private:
  int descriptor_ = -1;
};

}  // namespace cpuflow::rt
