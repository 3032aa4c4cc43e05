#include "runtime/train/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/train/errors.h"

namespace cpuflow::rt {

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

void FolderLock::take(const std::string& dir) {
  if (descriptor_ >= 0) return;
  const int folder = open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;  // the first file that is written says what is wrong
  int locked = 0;
  do {
    locked = flock(folder, LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0 && errno == EWOULDBLOCK) {
    close(folder);
    throw RunError(fmt::format("{}: another process trains there; wait until it has ended, or stop it (it saves first), or train in another folder (--out)", dir));
  }
  descriptor_ = folder;  // some file systems know no locks, which is no error
}

}  // namespace cpuflow::rt
