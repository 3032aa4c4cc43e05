#pragma once
#include "ir/diagnostics.h"
#include "ir/source_loc.h"

#include <string>
#include <utility>
#include <vector>

namespace cpuflow::frontend {

/// A node of a syntax tree.
///
///   Number   name: its digits             String  name: its content
///   Name     name, dots included          Call    name(args, named)
///   Index    args[0][args[1..]]           In      args[0] in args[1]
///   Range    args[0]..args[1]             Binary  args[0] name args[1]; name: + - * / // % @ ^
///   Compare  args[0] name args[1]         Negate  -args[0]
///   Reduce   name(bound | conditions: args[0])
///   Tuple    args[0], args[1], ..         List    [args]
struct NamedExpr;
struct Expr {
  enum class Kind : uint8_t { Number, String, Name, Call, Index, In, Range, Binary, Compare, Negate, Reduce, Tuple, List };
  Kind kind = Kind::Number;
  ir::SourceLoc at;  // the whole expression
  std::string name;
  std::vector<Expr> args;
  std::vector<NamedExpr> named;
  std::vector<Expr> bound, conditions;
  bool bar = false;  // Reduce: a `|` was written
  int height = 1;    // of the tree

  bool is(Kind k) const { return kind == k; }
  bool is_name(std::string_view text) const { return kind == Kind::Name && name == text; }
  /// Equal but for places.
  bool operator==(const Expr& other) const;
  /// Calls `visit(node)` for this node and all below it.
  template <typename Visit>
  void walk(const Visit& visit) const;
};

/// An argument with its name, `base = 500000`.
struct NamedExpr {
  std::string first;
  Expr second;
  bool operator==(const NamedExpr&) const = default;
};

template <typename Visit>
void Expr::walk(const Visit& visit) const {
  visit(*this);
  for (const Expr& e : args) e.walk(visit);
  for (const auto& [key, e] : named) e.walk(visit);
  for (const Expr& e : bound) e.walk(visit);
  for (const Expr& e : conditions) e.walk(visit);
}

/// `targets = value if when`, or an expression alone (no targets).  A target is a Name, an Index or, for functions, a Call.
struct Statement {
  ir::SourceLoc at;
  std::vector<Expr> targets;
  Expr value;
  std::vector<Expr> when;  // none or one
  bool operator==(const Statement& other) const;
};

/// The reductions that can bind indices.
bool is_reduction(std::string_view name);

/// Parses the equations in the range `text` of a file: one statement a line (or between `;`), `#` comments.  All syntax errors
/// are reported; the statements that have none are returned.
std::vector<Statement> parse_statements(const ir::SourceLoc& text, ir::Diagnostics& diagnostics);

/// Parses one expression; on an error, reports it and returns the number 0.
Expr parse_expression(const ir::SourceLoc& text, ir::Diagnostics& diagnostics);

/// Canonical text: parsing it gives an equal tree.
std::string print(const Expr& expr);
std::string print(const Statement& statement);

}  // namespace cpuflow::frontend
