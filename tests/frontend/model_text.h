#pragma once
#include "modeldefs/frontend/build_graph.h"

#include <string>
#include <vector>

namespace cpuflow::test {

/// What a small model consists of; the rest is filled in.
struct ModelText {
  std::string block = "x = x";
  std::string loss = "cross_entropy(logits, targets)";
  std::string where, more;  // `where` of the loss; further sections
  std::string params = "W = \"linear(d, d)\"\nM = \"tensor(d, d)\"\ng = \"vector(d)\"\n";

  /// T = 6, B = 2, V = 8, d = 4, H = 2, L = 2.  The first line of the block is line 17.
  std::string text() const {
    return "name = \"small\"\n[dims]\nT = 6\nB = 2\nV = 8\nd = 4\nH = 2\nL = 2\n[constants]\nids = [1, 2]\n[params]\nembed = \"table(V, "
           "d)\"\n"
           "odd = \"vector(3)\"\n[block]\nrepeat = \"L\"\nforward = '''\n" +
           block + "\n'''\n[block.params]\n" + params +
           "[model]\nforward = '''\nx = embed[tokens]\nx = blocks(x)\nlogits = x @ transpose(embed)\n'''\n" + more + "[loss]\n" +
           (where.empty() ? "" : "where = '''\n" + where + "\n'''\n") + "total = '''\n" + loss + "\n'''\n";
  }
};

inline frontend::Model load(const ModelText& text, const std::map<std::string, std::string>& overrides = {}) {
  ir::Diagnostics diagnostics;
  return frontend::load_model_text(text.text(), "small.toml", overrides, diagnostics);
}

/// The diagnostics of a text as `line:column kind message`.
inline std::vector<std::string> complaints(const std::string& text, const std::map<std::string, std::string>& overrides = {}) {
  ir::Diagnostics diagnostics;
  try {
    frontend::load_model_text(text, "small.toml", overrides, diagnostics);
  } catch (const ir::ModelError&) {
  }
  std::vector<std::string> out;
  for (const ir::Diagnostic& d : diagnostics.all()) {
    const char* kind = d.kind == ir::Diagnostic::Kind::Error ? "error" : d.kind == ir::Diagnostic::Kind::Warning ? "warning" : "note";
    out.push_back(std::to_string(d.loc.line()) + ":" + std::to_string(d.loc.column()) + " " + kind + " " + d.message);
  }
  return out;
}

}  // namespace cpuflow::test
