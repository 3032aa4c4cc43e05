#include "modeldefs/frontend/model_file.h"

#include "modeldefs/frontend/fault.h"
#include "modeldefs/frontend/toml_reader.h"
#include "modeldefs/frontend/train_settings.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <string_view>

namespace cpuflow::frontend {

namespace {

using Kind = Expr::Kind;
using Handler = std::function<void(const toml::key&, const toml::node&)>;

class Reader {
 public:
  Reader(const TomlReader& toml, bool library, ModelFile& file) : toml_(toml), library_(library), file_(file) {}

  void run() {
    std::map<std::string, Handler> sections = {
        {"layers", [&](auto& k, auto& v) { each(k, v, [&](auto& key, auto& node) { layer(key, node); }); }},
        {"functions", [&](auto& k, auto& v) { each(k, v, [&](auto& key, auto& node) { function(key, node); }); }},
    };
    if (!library_) {
      sections["name"] = [&](auto& k, auto& v) { model_name(k, v); };
      sections["dims"] = [&](auto& k, auto& v) { each(k, v, [&](auto& key, auto& node) { size(key, node, false); }); };
      sections["constants"] = [&](auto& k, auto& v) { each(k, v, [&](auto& key, auto& node) { size(key, node, true); }); };
      sections["params"] = [&](auto& k, auto& v) { file_.params = params_of_equations(k, v); };
      sections["block"] = [&](auto& k, auto& v) { block(k, v, "blocks"); };
      sections["blocks"] = [&](auto& k, auto& v) { each(k, v, [&](auto& key, auto& node) { block(key, node, identifier(key)); }); };
      sections["model"] = [&](auto& k, auto& v) {
        known_keys(k, v, "[model]", {{"forward", [&](auto&, auto& n) { file_.forward = named_equations(n); }}});
      };
      sections["loss"] = [&](auto& k, auto& v) { each(k, v, [&](auto& key, auto& node) { loss(key, node); }); };
      sections["watch"] = [&](auto& k, auto& v) { each(k, v, [&](auto& key, auto& node) { file_.watch.push_back(term(key, node)); }); };
      sections["train"] = [&](auto& k, auto& v) {
        if (const toml::table* t = toml_.table(k, v)) read_train(toml_, *t, file_);
      };
      sections["phase"] = [&](auto& k, auto& v) { read_phases(toml_, k, v, file_); };
      sections["allow"] = [&](auto& k, auto& v) { allow(k, v); };
    }
    for (const auto& [key, node] : TomlReader::entries(toml_.root())) file_.sections_at[std::string(key->str())] = toml_.at(*key);
    dispatch(toml_.root(), library_ ? "the library" : "a model file", sections);
  }

 private:
  // Tables

  void dispatch(const toml::table& table, const std::string& where, const std::map<std::string, Handler>& handlers) {
    for (const auto& [key, node] : TomlReader::entries(table)) {
      auto it = handlers.find(std::string(key->str()));
      if (it != handlers.end()) {
        it->second(*key, *node);
      } else {
        std::vector<std::string> known;
        for (const auto& [name, handler] : handlers) known.push_back(name);
        toml_.unknown(*key, where, known);
      }
    }
  }

  void each(const toml::key& key, const toml::node& node, const Handler& handler) {
    if (const toml::table* table = toml_.table(key, node)) {
      for (const auto& [k, v] : TomlReader::entries(*table)) handler(*k, *v);
    }
  }

  void known_keys(const toml::key& key, const toml::node& node, const std::string& where, const std::map<std::string, Handler>& handlers) {
    if (const toml::table* table = toml_.table(key, node)) dispatch(*table, where, handlers);
  }

  std::vector<Statement> equations(const toml::node& node) { return parse_statements(toml_.content(node), toml_.diagnostics()); }
  /// The same where a value is read by its name only.
  std::vector<Statement> named_equations(const toml::node& node) {
    std::vector<Statement> all = equations(node);
    for (const Statement& s : all) {
      if (s.targets.empty()) toml_.error(s.at, "this value has no name, so nothing can read it; give it one, as in x = " + s.at.text());
    }
    return all;
  }
  Expr expression(const toml::node& node) { return parse_expression(toml_.content(node), toml_.diagnostics()); }

  /// A number, or an expression in quotes.
  Expr value(const toml::key& key, const toml::node& node) {
    if (node.is_string()) return expression(node);
    if (!node.is_number()) {
      toml_.error(toml_.at(node), "'" + std::string(key.str()) + "' must be a number or an expression in quotes");
      return {};
    }
    return number(node);
  }

  Expr number(const toml::node& node) {
    Expr e;
    e.at = toml_.at(node);
    double v = node.is_integer() ? static_cast<double>(node.as_integer()->get()) : node.as_floating_point()->get();
    bool negative = v < 0;
    e.name = node.is_integer() ? std::to_string(node.as_integer()->get()).substr(negative) : real_text(std::abs(v));
    if (!negative) return e;
    Expr minus;
    minus.kind = Kind::Negate;
    minus.at = e.at;
    minus.args.push_back(std::move(e));
    return minus;
  }

  static std::string real_text(double v) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%.17g", v);
    std::string text = buffer;
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
  }

  // Sections

  /// It is a part of the names of files.
  void model_name(const toml::key& key, const toml::node& node) {
    file_.name = toml_.string(key, node);
    if (file_.name.find_first_of("/\\") != std::string::npos || file_.name.starts_with('.')) {
      toml_.error(toml_.at(node), "files are named after the model: its name holds no '/' or '\\' and does not begin with '.'");
    }
  }

  /// The key's text; an error where equations cannot say it, as they can not every quoted key.
  std::string identifier(const toml::key& key) const {
    const std::string name(key.str());
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    const bool is_name = !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
    if (!is_name) toml_.error(toml_.at(key), "'" + ir::printable(name) + "' is no name in equations: letters, digits and _, and no digit first");
    return name;
  }

  /// Refuses a name under which equations read something else.
  void check_name(const std::string& name, const ir::SourceLoc& at, bool of_size) const {
    const char* const taken = name == "t" ? "the index of positions" : name == "tokens" ? "the tokens" : name == "targets" ? "the tokens that follow" : of_size && name == "layer" ? "the number of the layer" : nullptr;
    if (taken != nullptr && !library_) toml_.error(at, "'" + name + "' is " + taken + " in equations; choose another name");
  }

  void size(const toml::key& key, const toml::node& node, bool constant) {
    SizeEntry entry{identifier(key), toml_.at(key), false, constant, {}};
    check_name(entry.name, entry.at, true);
    for (const SizeEntry& other : file_.sizes) {
      if (other.name == entry.name) {
        toml_.error(entry.at, "'" + entry.name + "' is a size already");
        toml_.diagnostics().note(other.at, "given here");
        return;
      }
    }
    if (const auto* list = constant ? node.as_array() : nullptr) {
      entry.list = true;
      for (const toml::node& item : *list) entry.values.push_back(value(key, item));
    } else {
      entry.values.push_back(value(key, node));
    }
    file_.sizes.push_back(std::move(entry));
  }

  std::vector<ParamEntry> params(const toml::key& key, const toml::node& node) {
    std::vector<ParamEntry> out;
    each(key, node, [&](const toml::key& k, const toml::node& v) { out.push_back(param(k, v)); });
    return out;
  }

  /// Of a model or block, whose equations read positions; a layer's see one.
  std::vector<ParamEntry> params_of_equations(const toml::key& key, const toml::node& node) {
    std::vector<ParamEntry> out = params(key, node);
    for (const ParamEntry& entry : out) check_name(entry.key, entry.at, false);
    return out;
  }

  ParamEntry param(const toml::key& key, const toml::node& node, int depth = 0) {
    constexpr int kMostNested = 64;
    ParamEntry entry;
    entry.key = identifier(key);
    entry.at = toml_.at(key);
    if (depth > kMostNested) {
      toml_.error(entry.at, "modules lie in each other at most " + std::to_string(kMostNested) + " deep");
      return entry;
    }
    if (node.is_string()) {
      entry.kind = kind(node);
      return entry;
    }
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      toml_.error(toml_.at(node), "'" + entry.key + "' must be a kind in quotes, as in \"linear(d, k)\", or a table");
      return entry;
    }
    bool module = !table->contains("kind");
    for (const auto& [k, v] : TomlReader::entries(*table)) {
      std::string name(k->str());
      // A sub-module may have parameters of these names.
      if (name == "name" && !(module && v->is_table())) {
        entry.name = checkpoint_name(*k, *v);
      } else if (name == "when" && !(module && v->is_table())) {
        toml_.string(*k, *v);  // says what is no text
        if (v->is_string()) entry.when = expression(*v);
      } else if (module) {
        if (v->is_table() || v->is_string()) {
          entry.inner.push_back(param(*k, *v, depth + 1));
        } else {
          toml_.error(toml_.at(*k),
                      "'" + name + "' must be a kind in quotes or a table; '" + entry.key + "' has no 'kind', so it is a sub-module");
        }
      } else if (name == "kind") {
        entry.kind = kind(*v);
      } else if (name == "init") {
        init(entry, *k, *v);
      } else if (name == "range") {
        range(entry, *k, *v);
      } else if (name == "trainable") {
        entry.trainable = toml_.boolean(*k, *v);
      } else {
        toml_.unknown(*k, "a parameter", {"kind", "name", "when", "init", "range", "trainable"});
      }
    }
    return entry;
  }

  std::string checkpoint_name(const toml::key& key, const toml::node& node) {
    std::string name = toml_.string(key, node);
    constexpr std::string_view kLayer = "{layer}";
    for (size_t at = name.find_first_of("{}"); at != std::string::npos; at = name.find_first_of("{}", at + kLayer.size())) {
      if (name.compare(at, kLayer.size(), kLayer) == 0) continue;
      toml_.error(toml_.at(node), "in braces a name has {layer} only, the number of the repetition, counted from 0");
      break;
    }
    return name;
  }

  /// `vector(d)`; a bare name is a kind without sizes.
  Expr kind(const toml::node& node) {
    Expr e = expression(node);
    if (e.is(Kind::Name)) e.kind = Kind::Call;
    if (!e.is(Kind::Call) && !e.at.known()) e.at = toml_.at(node);
    if (!e.is(Kind::Call) && !(e.is(Kind::Number) && e.name.empty())) {
      toml_.error(e.at, "expected a kind of parameter, as in linear(d, k) or vector(d)");
    }
    return e;
  }

  void init(ParamEntry& entry, const toml::key& key, const toml::node& node) {
    if (node.is_string()) {
      entry.init.push_back({"", expression(node)});
    } else if (!node.is_table()) {
      toml_.error(toml_.at(node), "'init' must be a text in quotes, as in \"normal(0, 0.02)\", or a table of them");
    } else {
      each(key, node, [&](const toml::key& k, const toml::node& v) { entry.init.push_back({std::string(k.str()), expression(v)}); });
    }
  }

  void range(ParamEntry& entry, const toml::key& key, const toml::node& node) {
    const auto* list = node.as_array();
    if (list == nullptr || list->size() != 2) {
      toml_.error(toml_.at(node), "'range' must be two numbers, as in [0.1, 2]");
      return;
    }
    for (const toml::node& item : *list) entry.range.push_back(value(key, item));
  }

  void layer(const toml::key& key, const toml::node& node) {
    LayerDef def;
    def.name = identifier(key);
    def.at = toml_.at(key);
    known_keys(key, node, "[layers." + def.name + "]",
               {{"sizes", [&](auto&, auto& v) { layer_sizes(def, v); }},
                {"params", [&](auto& k, auto& v) { def.params = params(k, v); }},
                {"forward", [&](auto&, auto& v) {
                   def.has_forward = true;
                   def.forward = named_equations(v);
                 }}});
    file_.layers.push_back(std::move(def));
  }

  /// `n, m, biased = 0`: read as the arguments of a call.
  void layer_sizes(LayerDef& def, const toml::node& node) {
    ir::SourceLoc text = toml_.content(node);
    const std::string sizes = text.text();
    size_t begin = 0;
    while (begin < sizes.size()) {
      size_t end = begin;
      for (int open = 0; end < sizes.size() && (open > 0 || sizes[end] != ','); ++end) {
        if (sizes[end] == '(' || sizes[end] == '[') ++open;
        if (sizes[end] == ')' || sizes[end] == ']') --open;
      }
      ir::SourceLoc part{text.source, text.offset + static_cast<uint32_t>(begin), static_cast<uint32_t>(end - begin)};
      std::vector<Statement> one = parse_statements(part, toml_.diagnostics());
      if (one.size() == 1 && one[0].targets.empty() && one[0].value.is(Kind::Name)) {
        def.sizes.emplace_back(one[0].value.name, std::nullopt);
      } else if (one.size() == 1 && one[0].targets.size() == 1 && one[0].targets[0].is(Kind::Name)) {
        def.sizes.emplace_back(one[0].targets[0].name, one[0].value);
      } else {
        toml_.error(part, "expected a size, as in \"n, m, biased = 0\"");
      }
      begin = end + 1;
    }
  }

  void function(const toml::key& key, const toml::node& node) {
    FunctionDef def;
    def.name = identifier(key);
    def.at = toml_.at(key);
    def.library = library_;
    size_t errors = toml_.diagnostics().all().size();
    def.body = named_equations(node);
    if (toml_.diagnostics().all().size() != errors) return;
    bool named = !def.body.empty() && def.body.back().targets.size() == 1 && def.body.back().targets[0].is(Kind::Call) &&
                 def.body.back().targets[0].name == def.name;
    if (!named) {
      toml_.error(def.body.empty() ? def.at : def.body.back().at, "the last statement of a function must be " + def.name + "(..) = ..");
      return;
    }
    def.head = def.body.back().targets[0];
    for (const Expr& arg : def.head.args) {
      if (!arg.is(Kind::Name) && !(arg.is(Kind::Index) && arg.args[0].is(Kind::Name)))
        toml_.error(arg.at, "expected the name of an argument");
    }
    Expr result;
    result.kind = Kind::Name;
    result.at = def.head.at;
    result.name = def.name;
    def.body.back().targets[0] = result;
    file_.functions.push_back(std::move(def));
  }

  void block(const toml::key& key, const toml::node& node, const std::string& name) {
    BlockDef def;
    def.name = name;
    def.at = toml_.at(key);
    known_keys(key, node, name == "blocks" ? "[block]" : "[blocks." + name + "]",
               {{"repeat", [&](auto& k, auto& v) { def.repeat = value(k, v); }},
                {"name", [&](auto& k, auto& v) { def.path = checkpoint_name(k, v); }},
                {"params", [&](auto& k, auto& v) { def.params = params_of_equations(k, v); }},
                {"forward", [&](auto&, auto& v) { def.forward = named_equations(v); }}});
    if (def.forward.empty() && !toml_.diagnostics().has_errors()) toml_.error(def.at, "the block has no 'forward'");
    file_.blocks.push_back(std::move(def));
  }

  TermDef term(const toml::key& key, const toml::node& node) { return {identifier(key), toml_.at(key), equations(node)}; }

  void loss(const toml::key& key, const toml::node& node) {
    if (key.str() == "where") {
      file_.loss_shared = named_equations(node);
    } else {
      file_.losses.push_back(term(key, node));
    }
  }

  void allow(const toml::key& key, const toml::node& node) {
    const std::vector<std::string> known = {"future", "horizon", "end", "gradient", "range", "position"};
    for (const std::string& name : toml_.strings(key, node)) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        const std::string near = name == "causality" ? "; did you mean 'future'?" : name == "sequence_end" ? "; did you mean 'end'?" : suggestion(name, known);
        toml_.error(toml_.at(node), "unknown audit '" + name + "'" + near +
                                        "; the audits are: future, horizon, end, gradient, range, position");
      }
      file_.allow.push_back(name);
    }
  }

  const TomlReader& toml_;
  bool library_;
  ModelFile& file_;
};

}  // namespace

ModelFile read_model_file(std::shared_ptr<const ir::SourceText> source, bool library, ir::Diagnostics& diagnostics) {
  ModelFile file;
  file.sections_at[""] = {source, 0, 1};
  TomlReader toml(source, diagnostics);
  if (diagnostics.has_errors()) return file;
  Reader(toml, library, file).run();
  if (library || diagnostics.has_errors()) return file;
  check_phases(file, diagnostics);
  if (file.forward.empty()) diagnostics.error(file.section("model"), "the model has no equations: add [model] with forward = '''..'''");
  bool total = std::any_of(file.losses.begin(), file.losses.end(), [](const TermDef& t) { return t.name == "total"; });
  if (!total) diagnostics.error(file.section("loss"), "the model has no [loss] with a 'total', which is what is trained");
  return file;
}

namespace {

/// `64,L=3`; in `max(4, T == 8)` the comma separates arguments.
bool holds_another_setting(const std::string& text) {
  const size_t comma = text.find(','), equals = text.find('=', std::min(comma, text.size()));
  if (equals == std::string::npos || text.substr(equals, 2) == "==") return false;
  return std::all_of(text.begin() + static_cast<long>(comma) + 1, text.begin() + static_cast<long>(equals), [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '.' || c == ' '; });
}

}  // namespace

void apply_overrides(ModelFile& file, const std::map<std::string, std::string>& overrides, ir::Diagnostics& diagnostics) {
  for (const auto& [key, text] : overrides) {
    auto source = std::make_shared<ir::SourceText>(ir::SourceText{"--set", key + "=" + text});
    ir::SourceLoc whole{source, 0, static_cast<uint32_t>(key.size())};
    ir::SourceLoc part{source, static_cast<uint32_t>(key.size() + 1), static_cast<uint32_t>(text.size())};
    if (key.rfind("train.", 0) == 0) {
      override_train(file, key.substr(6), whole, part, diagnostics);
      continue;
    }
    auto it = std::find_if(file.sizes.begin(), file.sizes.end(), [&](const SizeEntry& e) { return e.name == key; });
    if (it == file.sizes.end()) {
      std::vector<std::string> known;
      for (const SizeEntry& e : file.sizes) known.push_back(e.name);
      for (const std::string& k : train_keys()) known.push_back("train." + k);
      const bool of_train = std::find(known.begin(), known.end(), "train." + key) != known.end();
      diagnostics.error(whole, "the model has no size or constant '" + key + "'" + (of_train ? "; did you mean 'train." + key + "'?" : suggestion(key, known)));
      continue;
    }
    it->at = whole;
    if (holds_another_setting(text)) {
      diagnostics.error(part, "one setting is one value: separate settings with spaces, as in --set d=64 L=3");
      continue;
    }
    Expr value = parse_expression(part, diagnostics);
    if (value.is(Kind::List) && !it->constant) diagnostics.error(part, "size '" + key + "' is one whole number; only [constants] hold lists");
    it->list = value.is(Kind::List);
    it->values = it->list ? value.args : std::vector<Expr>{value};
  }
}

}  // namespace cpuflow::frontend
