#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"

namespace fs = std::filesystem;

namespace {

const fs::path kRoot = CPUFLOW_SOURCE_DIR;

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Files of the repository by their path in it; build folders, run folders and hidden folders are not of it.
std::vector<fs::path> repository_files() {
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(kRoot); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    const bool hidden = name.starts_with(".") && name != ".ci";
    if (it->is_directory() && (hidden || name.starts_with("build") || name == "runs" || name == "shared"))
      it.disable_recursion_pending();
    else if (it->is_regular_file() && !hidden)
      files.push_back(fs::relative(it->path(), kRoot));
  }
  REQUIRE(files.size() > 200);
  return files;
}

bool has_extension(const fs::path& path, const std::set<std::string>& extensions) { return extensions.contains(path.extension().string()); }

/// The part of the project that a file or an included path belongs to: the longest of these folders that begins it.
std::string part_of(const std::string& path) {
  static const std::vector<std::string> kParts{"runtime/cli",
                                               "modeldefs/frontend",
                                               "codegen/emit",
                                               "codegen/jit",
                                               "codegen/prelude",
                                               "codegen/abi",
                                               "runtime",
                                               "passes",
                                               "ir",
                                               "tests",
                                               "bench"};
  for (const std::string& part : kParts) {
    if (path.starts_with(part + "/")) return part;
  }
  return "";
}

/// What each part may include besides itself.
const std::map<std::string, std::set<std::string>> kMayInclude{
    {"ir", {}},
    {"modeldefs/frontend", {"ir", "codegen/abi"}},
    {"passes", {"ir", "codegen/abi"}},
    {"codegen/emit", {"ir", "codegen/abi"}},
    {"codegen/prelude", {"codegen/abi"}},
    {"codegen/abi", {}},
    {"codegen/jit", {"codegen/abi"}},
    {"runtime", {"codegen/abi"}},
};

/// The `#include "..."` paths of a text.
std::vector<std::string> includes(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::string key = "#include \"";
    if (line.starts_with(key)) out.push_back(line.substr(key.size(), line.find('"', key.size()) - key.size()));
  }
  return out;
}

/// Includes of `text`, a file at `path`, that point against the direction.
std::vector<std::string> wrong_includes(const std::string& path, const std::string& text) {
  std::vector<std::string> wrong;
  const auto allowed = kMayInclude.find(part_of(path));
  if (allowed == kMayInclude.end()) return wrong;
  for (const std::string& include : includes(text)) {
    const std::string to = part_of(include);
    if (!to.empty() && to != allowed->first && !allowed->second.contains(to)) wrong.push_back(path + " includes " + include);
  }
  return wrong;
}

/// Paths of the machine that this was written on; in two parts, so that this file does not hold them.
std::vector<std::string> machine_paths() { return {std::string("/wo") + "rk/", std::string("/ro") + "ot/", std::string("bash_") + "jobs"}; }

}  // namespace

TEST_CASE("includes point one way") {
  REQUIRE(wrong_includes("ir/graph.cpp", "#include \"passes/pass.h\"\n").size() == 1);
  REQUIRE(wrong_includes("runtime/train/trainer.cpp", "#include \"ir/graph.h\"\n").size() == 1);
  REQUIRE(wrong_includes("runtime/cli/compile.cpp", "#include \"ir/graph.h\"\n").empty());
  size_t looked_at = 0;
  for (const fs::path& file : repository_files()) {
    if (!has_extension(file, {".h", ".cpp"})) continue;
    ++looked_at;
    for (const std::string& wrong : wrong_includes(file.string(), read(kRoot / file))) FAIL_CHECK(wrong);
  }
  REQUIRE(looked_at > 50);
}

TEST_CASE("only the command line prints or exits") {
  const std::vector<std::string> printing{"std::cout", "std::cerr", "printf(", "fmt::print(", "std::exit(", "std::abort(", "puts("};
  for (const fs::path& file : repository_files()) {
    const std::string part = part_of(file.string());
    if (!has_extension(file, {".h", ".cpp"}) || !kMayInclude.contains(part)) continue;
    const std::string text = read(kRoot / file);
    for (const std::string& call : printing) {
      for (size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
        const char before = at == 0 ? ' ' : text[at - 1];
        if (std::isalnum(static_cast<unsigned char>(before)) || before == '_' || before == ':') continue;  // snprintf, other::puts
        FAIL_CHECK(file.string() + " calls " + call);
      }
    }
  }
}

TEST_CASE("no source file is longer than 700 lines") {
  for (const fs::path& file : repository_files()) {
    if (!has_extension(file, {".h", ".cpp", ".sh", ".cmake", ".py", ".md", ".toml"})) continue;
    const std::string text = read(kRoot / file);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    INFO(file.string());
    CHECK(lines <= 700);
  }
}

TEST_CASE("headers are guarded") {
  for (const fs::path& file : repository_files()) {
    if (!has_extension(file, {".h"}) || part_of(file.string()) == "codegen/prelude") continue;  // those are pasted into generated code
    const std::string text = read(kRoot / file);
    INFO(file.string());
    CHECK((text.find("#pragma once") != std::string::npos || text.find("#ifndef CPUFLOW_") != std::string::npos));
  }
}

TEST_CASE("nothing names a path of one machine, and nothing is left to do") {
  const std::vector<std::string> promises{std::string("TO") + "DO", std::string("FIX") + "ME"};
  for (const fs::path& file : repository_files()) {
    if (!has_extension(file, {".h", ".cpp", ".sh", ".cmake", ".md", ".toml", ".txt", ".json"}) && file.filename() != "run") continue;
    const std::string text = read(kRoot / file);
    INFO(file.string());
    for (const std::string& path : machine_paths()) {
      const size_t at = text.find(path);
      if (at == std::string::npos) continue;
      const bool inside_longer_path =
          at > 0 && (std::isalnum(static_cast<unsigned char>(text[at - 1])) || text[at - 1] == '.' || text[at - 1] == '}');
      CHECK(inside_longer_path);
    }
    for (const std::string& word : promises) CHECK(text.find(word) == std::string::npos);
  }
}

TEST_CASE("the files that the READMEs name are there") {
  size_t named = 0;
  for (const char* file : {"README.md", "modeldefs/README.md", "passes/README.md", "ir/README.md"}) {
    const std::string text = read(kRoot / file);
    const std::regex path("\\b(scripts|modeldefs|bench|tests|passes|ir|codegen|runtime)/[A-Za-z0-9_]+[A-Za-z0-9_./]*[A-Za-z0-9_]");
    for (std::sregex_iterator at(text.begin(), text.end(), path), end; at != end; ++at, ++named) {
      INFO(file << " names " << at->str());
      const fs::path found = kRoot / at->str();
      CHECK((fs::exists(found) || fs::exists(found.string() + ".h")));  // the files of a part are called by its header
    }
  }
  CHECK(named > 10);
}
