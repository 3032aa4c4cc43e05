#include "codegen/jit/object_cache.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "codegen/jit/jit.h"
#include "tests/catch.h"
#include "tests/files.h"
#include "tests/jit/scoped_env.h"

using namespace cpuflow::codegen;
using cpuflow::tests::ScopedEnv;
namespace fs = std::filesystem;

namespace {

const std::string kText = "extern \"C\" int answer() { return 42; }";

/// Loads kText, checks that it works, and returns what happened.
JitRecord load_answer(JitOptions options) {
  auto library = load_cpp(kText, "answer", options);
  REQUIRE(reinterpret_cast<int (*)()>(library->symbol("answer"))() == 42);
  return library->record();
}

JitOptions cached_in(const std::string& dir) {
  JitOptions options;
  options.cache_dir = dir;
  return options;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void write(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes; }

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the second load is a hit; text, flags and file name are part of the key") {
  TemporaryFolder folder;
  JitOptions options = cached_in(folder.path() + "/new/cache");
  JitRecord first = load_answer(options);
  CHECK_FALSE(first.cache_hit);
  CHECK(first.note == "");
  struct stat status;
  REQUIRE(::stat(options.cache_dir.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);
  JitRecord second = load_answer(options);
  CHECK(second.cache_hit);
  CHECK(second.ms_compile == 0);
  CHECK(second.hash == first.hash);
  CHECK(second.object_bytes == first.object_bytes);

  JitOptions other = options;
  other.opt_level = 1;
  CHECK_FALSE(load_answer(other).cache_hit);
  other = options;
  other.source_path = "/elsewhere/answer.cpp";
  CHECK_FALSE(load_answer(other).cache_hit);
#if defined(__x86_64__)
  other = options;
  other.features = {"sse3"};
  CHECK_FALSE(load_answer(other).cache_hit);
#endif
  CHECK_FALSE(load_cpp(kText + " ", "answer", options)->record().cache_hit);
  other = options;
  other.use_cache = false;
  CHECK_FALSE(load_answer(other).cache_hit);
}

TEST_CASE("a damaged entry is found, wherever a bit was flipped, and replaced") {
  TemporaryFolder folder;
  JitOptions options = cached_in(folder.path());
  load_answer(options);
  REQUIRE(folder.entries().size() == 1);
  const fs::path file = folder.entries()[0];
  const std::string good = read(file);
  const std::string key = file.stem().string();
  std::string object;
  for (size_t at = 0; at < good.size(); at += at < 64 ? 1 : 37) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    write(file, bad);
    ObjectCache cache = ObjectCache::open(folder.path(), 1 << 20);
    INFO("byte " << at);
    REQUIRE_FALSE(cache.get(key, object));
    REQUIRE(contains(cache.note(), "damaged"));
    REQUIRE_FALSE(fs::exists(file));
  }
  for (size_t size : {size_t{0}, size_t{10}, good.size() - 1}) {
    write(file, good.substr(0, size));
    JitRecord record = load_answer(options);
    CHECK_FALSE(record.cache_hit);
    CHECK(contains(record.note, "damaged"));
    CHECK(load_answer(options).cache_hit);
  }
  // The entry of another key under this name is not taken either.
  std::string renamed = key;
  renamed[0] = renamed[0] == '0' ? '1' : '0';
  fs::rename(file, fs::path(folder.path()) / (renamed + ".o"));
  ObjectCache cache = ObjectCache::open(folder.path(), 1 << 20);
  CHECK_FALSE(cache.get(renamed, object));
}

TEST_CASE("a folder that others can write to or read is not used") {
  for (int mode : {0755, 0770, 0777}) {
    TemporaryFolder folder;
    REQUIRE(::chmod(folder.path().c_str(), mode) == 0);
    JitRecord record = load_answer(cached_in(folder.path()));
    CHECK(contains(record.note, "nobody else"));
    CHECK(folder.entries().empty());
  }
}

TEST_CASE("a symbolic link is not followed") {
  TemporaryFolder folder;
  fs::create_directory(folder.path() + "/real");
  fs::permissions(folder.path() + "/real", fs::perms::owner_all);
  fs::create_directory_symlink(folder.path() + "/real", folder.path() + "/link");
  CHECK(contains(load_answer(cached_in(folder.path() + "/link")).note, "no object cache"));
  // Nor is an entry that is a link to a good object.
  JitOptions options = cached_in(folder.path() + "/real");
  JitRecord record = load_answer(options);
  fs::path entry = fs::path(options.cache_dir) / (record.hash + ".o");
  fs::rename(entry, folder.path() + "/outside.o");
  fs::create_symlink(folder.path() + "/outside.o", entry);
  CHECK_FALSE(load_answer(options).cache_hit);
}

TEST_CASE("a file in the place of the folder, and a folder that cannot be made, mean no cache") {
  TemporaryFolder folder;
  write(folder.path() + "/file", "x");
  CHECK(contains(load_answer(cached_in(folder.path() + "/file")).note, "no object cache"));
  CHECK(contains(load_answer(cached_in(folder.path() + "/file/below")).note, "no object cache"));
  fs::create_symlink(folder.path() + "/circle", folder.path() + "/circle");
  CHECK(contains(load_answer(cached_in(folder.path() + "/circle/below")).note, "no object cache"));
}

TEST_CASE("a folder that cannot be written is read but not filled") {
  TemporaryFolder folder;
  load_answer(cached_in(folder.path()));
  REQUIRE(::chmod(folder.path().c_str(), 0500) == 0);
  // The superuser may write everywhere: then another user does this part, in a process of its own.
  pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0) {
      if (::chown(folder.path().c_str(), 65534, 65534) != 0) _exit(2);
      for (const fs::path& entry : folder.entries()) {
        if (::chown(entry.c_str(), 65534, 65534) != 0) _exit(2);
      }
      if (::setgid(65534) != 0 || ::setuid(65534) != 0) _exit(2);
    }
    ObjectCache cache = ObjectCache::open(folder.path(), 1 << 20);
    std::string object;
    std::string key = folder.entries()[0].stem().string();
    if (!cache.get(key, object) || !cache.note().empty()) _exit(3);
    cache.put("00000000000000000000000000000000", object);
    _exit(contains(cache.note(), "not kept") && folder.entries().size() == 1 ? 0 : 4);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a full disk means that the object is not kept") {
  TemporaryFolder folder;
  pid_t child = ::fork();
  if (child == 0) {
    // A limit on the size of files gives the same short writes as a full disk.
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit limit = {1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    ObjectCache cache = ObjectCache::open(folder.path(), 1 << 20);
    cache.put("00000000000000000000000000000000", std::string(100000, 'x'));
    _exit(contains(cache.note(), "not kept") && folder.entries().empty() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("where the cache is") {
  ScopedEnv no_xdg("XDG_CACHE_HOME", nullptr);
  TemporaryFolder folder;
  {
    ScopedEnv home("HOME", folder.path().c_str());
    CHECK(default_cache_dir() == folder.path() + "/.cache/cpuflowc");
    ScopedEnv xdg("XDG_CACHE_HOME", (folder.path() + "/xdg").c_str());
    CHECK(default_cache_dir() == folder.path() + "/xdg/cpuflowc");
    CHECK_FALSE(load_answer({}).cache_hit);
    CHECK(load_answer({}).cache_hit);
  }
  {
    // The dlopen session may be the first to make the folder; the cache must still accept it.
    ScopedEnv xdg("XDG_CACHE_HOME", (folder.path() + "/dlopen").c_str());
    JitOptions dlopened;
    dlopened.exec = Exec::Dlopen;
    load_answer(dlopened);
    CHECK(load_answer({}).note == "");
  }
  ScopedEnv no_home("HOME", nullptr);
  CHECK(default_cache_dir() == "");
  JitRecord record = load_answer({});
  CHECK_FALSE(record.cache_hit);
  CHECK(contains(record.note, "HOME"));
  ScopedEnv relative("XDG_CACHE_HOME", "not/absolute");
  CHECK(default_cache_dir() == "");
}

TEST_CASE("the oldest entries go when the cache is full") {
  TemporaryFolder folder;
  const size_t limit = 3000;
  ObjectCache cache = ObjectCache::open(folder.path(), limit);
  std::string object;
  for (int i = 0; i < 5; ++i) {
    std::string key(32, static_cast<char>('a' + i));
    cache.put(key, std::string(900, 'x'));
    // 'a' is used again and again, so it stays.
    ::usleep(20000);
    CHECK(cache.get(std::string(32, 'a'), object));
    ::usleep(20000);
  }
  CHECK(cache.get(std::string(32, 'e'), object));
  CHECK_FALSE(cache.get(std::string(32, 'b'), object));
  size_t total = 0;
  for (const fs::path& entry : folder.entries()) total += fs::file_size(entry);
  CHECK(total <= limit);
}

TEST_CASE("two processes that fill one cache do not see each other's halves") {
  TemporaryFolder folder;
  const std::string key(32, '7');
  const std::string object(200000, 'o');
  pid_t children[2];
  for (pid_t& child : children) {
    child = ::fork();
    if (child == 0) {
      ObjectCache cache = ObjectCache::open(folder.path(), 1 << 20);
      std::string read_back;
      for (int i = 0; i < 200; ++i) {
        cache.put(key, object);
        if (!cache.get(key, read_back) || read_back != object) _exit(1);
      }
      _exit(cache.note().empty() ? 0 : 2);
    }
  }
  for (pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  CHECK(folder.entries().size() == 1);
}
