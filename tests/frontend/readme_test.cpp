#include "modeldefs/frontend/evaluator.h"
#include "modeldefs/frontend/library.h"
#include "tests/catch.h"
#include "tests/frontend/model_text.h"

#include <fstream>
#include <sstream>

using cpuflow::test::complaints;

namespace {

std::string page() {
  std::ifstream file(CPUFLOW_SOURCE_DIR "/modeldefs/README.md");
  std::ostringstream all;
  all << file.rdbuf();
  return all.str();
}

/// The sections of a TOML text in order: the header line and what follows.  What comes before the first header has the header "".
std::vector<std::pair<std::string, std::string>> sections(const std::string& text) {
  std::vector<std::pair<std::string, std::string>> out = {{"", ""}};
  std::istringstream in(text);
  bool quoted = false;
  for (std::string line; std::getline(in, line);) {
    std::string header = line.substr(0, line.find_last_of(']') == std::string::npos ? 0 : line.find_last_of(']') + 1);
    if (!quoted && line.rfind("[", 0) == 0) out.emplace_back(header, "");
    if (line.find("'''") != std::string::npos && line.find("'''") == line.rfind("'''")) quoted = !quoted;
    out.back().second += line + "\n";
  }
  return out;
}

const char* kRest = R"toml(name = "rest"
[dims]
T = 12
B = 2
V = 32
d = 16
H = 4
L = 2
[params]
embed = "table(V, d)"
last = "layernorm(d)"
[block]
repeat = "L"
forward = 'x = x'
[block.params]
W = "linear(d, d)"
U = "linear(d, d)"
M = "tensor(d, d)"
g = "vector(d)"
[model]
forward = '''
x = blocks(embed[tokens])
logits = x @ transpose(embed)
'''
[loss]
total = 'cross_entropy(logits, targets)'
)toml";

/// The example with the sections of a small model that it leaves out.
std::string completed(const std::string& example) {
  auto given = sections(example);
  auto has = [&](const std::string& header) {
    for (const auto& [h, text] : given) {
      if (h == header) return true;
    }
    return false;
  };
  std::string out = given[0].second;
  bool own_blocks = example.find("[blocks.") != std::string::npos;
  for (const auto& [header, text] : sections(kRest)) {
    bool block = header == "[block]" || header == "[block.params]";
    if (header.empty() ? given[0].second.find("name = ") == std::string::npos : !has(header) && !(block && own_blocks)) out += text;
  }
  for (size_t i = 1; i < given.size(); ++i) out += given[i].second;
  return out;
}

}  // namespace

TEST_CASE("the language's page lists every operator, function and layer") {
  std::string text = page();
  std::string tables = text.substr(text.find("## Operators and functions"), text.find("## Recurrences") - text.find("## Operators and functions"));
  for (const std::string& name : cpuflow::frontend::builtin_names()) {
    INFO(name);
    CHECK((tables.find("`" + name + "`") != std::string::npos || tables.find("`" + name + "(") != std::string::npos));
  }
  for (const std::string& name : cpuflow::frontend::library_names()) {
    INFO(name);
    CHECK(text.find("`" + name + "(") != std::string::npos);
  }
  for (const char* op : {"a ^ b", "a * b", "a / b", "a // b", "a % b", "x @ M", "a + b", "a - b", "==", "!=", "<=", "<", ">=", ">"}) {
    INFO(op);
    CHECK(tables.find("`" + std::string(op) + "`") != std::string::npos);
  }
}

TEST_CASE("every example of the language's page compiles, or gives the error it shows") {
  std::string text = page();
  int examples = 0;
  for (size_t at = text.find("```toml\n"); at != std::string::npos; at = text.find("```toml\n", at)) {
    at += 8;
    std::string example = text.substr(at, text.find("```", text.find("\n```", at)) - at);
    ++examples;
    std::string whole =
        example.find("[dims]") != std::string::npos && example.find("[model]") != std::string::npos ? example : completed(example);
    INFO(whole);
    std::vector<std::string> said = complaints(whole);
    std::string first = said.empty() ? "" : said[0];
    INFO(first);
    if (example.rfind("# error: ", 0) == 0) {
      std::string expected = example.substr(9, example.find('\n') - 9);
      CHECK(first.find(expected) != std::string::npos);
    } else {
      CHECK(first.empty());
    }
  }
  CHECK(examples >= 15);
}
