#include "modeldefs/frontend/syntax.h"

#include "tests/catch.h"

using namespace cpuflow;
using namespace cpuflow::frontend;

namespace {

ir::SourceLoc whole(const std::string& text) {
  auto source = std::make_shared<ir::SourceText>(ir::SourceText{"a.toml", text});
  return {source, 0, static_cast<uint32_t>(text.size())};
}

std::vector<Statement> parsed(const std::string& text) {
  ir::Diagnostics diagnostics;
  std::vector<Statement> out = parse_statements(whole(text), diagnostics);
  INFO(diagnostics.format());
  CHECK(!diagnostics.has_errors());
  return out;
}

std::string errors(const std::string& text) {
  ir::Diagnostics diagnostics;
  parse_statements(whole(text), diagnostics);
  std::string out;
  for (const ir::Diagnostic& d : diagnostics.all()) out += d.loc.str().substr(7) + " " + d.message + "\n";
  return out;
}

}  // namespace

TEST_CASE("printed statements parse to equal ones") {
  for (const std::string text : {
           "x = a + b * c - -d ^ 2 ^ n",
           "x = (a - (b - c)) / (d / e) // 2 % 3",
           "x = (-a) ^ 2; y = -a ^ 2; z = a ^ -2",
           "q, k, v = split(W.qkv(x), [1, d, 3])",
           "a[t,h,s] = softmax(s | s <= t, t - s < 64: sum(c: q[t,h,c] * k[s,h,c]) / sqrt(dh))",
           "mem[n in 0..ceil(T/chunk), m, j] = 0.99 * mem[n-1,m,j] + sum(t | t // chunk == n: w[t,m] * v[t,j])",
           "y = sum(s < t: x[s,0]) if layer >= 2",
           "gamma[h in H] = 1 - 2^(-5 - h)",
           "f(z[b,t,v], y, k = 1) = mean(b, t: z[b,t,y[b,t]] * k)",
           "p = token('<eos>') + 1e-5 + 2.5e3 + (1 < 2) * 3",
           "loss",
       }) {
    std::vector<Statement> first = parsed(text);
    std::string printed;
    for (const Statement& s : first) printed += print(s) + "\n";
    INFO(printed);
    CHECK(parsed(printed) == first);
  }
}

TEST_CASE("brackets are kept where they change the meaning") {
  CHECK(print(parsed("x = a - (b - c)")[0]) == "x = a - (b - c)");
  CHECK(print(parsed("x = (a - b) - c")[0]) == "x = a - b - c");
  CHECK(print(parsed("x = (a * b)^2")[0]) == "x = (a * b)^2");
  CHECK(parsed("x = a * b^2")[0] != parsed("x = (a * b)^2")[0]);
}

TEST_CASE("statements go on inside brackets; # begins a comment") {
  std::vector<Statement> s = parsed("# first\nx = (a +   # not the end\n  b)\ny = x; z = y\n\n");
  REQUIRE(s.size() == 3);
  CHECK(print(s[0]) == "x = a + b");
}

TEST_CASE("places are bytes, columns count characters") {
  std::vector<Statement> s = parsed("x = 1  # \u00e4\u00f6\ny = f( b )");
  CHECK(s[1].value.at.str() == "a.toml:2:5");
  CHECK(s[1].value.at.text() == "f( b )");
  CHECK(s[1].value.args[0].at.column() == 8);
  ir::SourceLoc umlaut = whole("\u00e4\u00f6 q");
  umlaut.offset = 5;
  CHECK(umlaut.column() == 4);
}

TEST_CASE("every broken statement is reported, once") {
  CHECK(errors("x = a +\ny = * b\nz = c d\nw = 1\n") ==
        "1:8 expected a value, found the end of the line\n2:5 expected a value, found '*'\n3:7 expected the end of the statement, found "
        "'d'; between two values stands an operator, as in a * b\n");
  CHECK(errors("x = a\nreturn x").starts_with("2:8 expected the end of the statement, found 'x'; a block or layer gives what its 'x' is at the end"));
  CHECK(errors("for i in range(3):\n  x = a").starts_with("1:5 expected the end of the statement, found 'i'; an equation holds at every position and index"));
  CHECK(errors("def f(x): x = a").starts_with("1:5 expected the end of the statement, found 'f'; functions stand in [functions]"));
  CHECK(errors("import torch").starts_with("1:8 expected the end of the statement, found 'torch'; what there is to call is listed"));
  CHECK(errors("x = a $ b\ny = ]") == "1:7 unexpected character '$'\n2:5 expected a value, found ']'\n");
  CHECK(errors("x = (a + b\ny = c\nz = ?").find("to close this bracket") != std::string::npos);
  CHECK(errors("x = f(a: b)") == "1:5 'f' does not bind indices; these do: sum, prod, mean, max, min, softmax, logsumexp\n");
  CHECK(errors("x = a < b < c") == "1:11 comparisons do not chain: write (a < b) * (b < c), or two conditions with a comma between them where conditions stand, as in sum(s | a < s, s < b: ..)\n");
  CHECK(errors("x = sum(: b)") == "1:5 an index is missing before the ':', as in sum(i: x[i])\n");
  CHECK(errors("x = sum(i | i < 3)") == "1:18 expected ':' and an expression after the conditions, found ')'\n");
  CHECK(errors("1 = x") == "1:1 the left side of '=' must be a name or a name with indices\n");
  CHECK(errors("x = f(a = 1, a = 2)") == "1:14 'a' is given twice\n");
  CHECK(errors("x = a[]") == "1:6 an index is missing between the brackets\n");
  CHECK(errors("x = 'a") == "1:5 this text has no closing quote\n");
}

TEST_CASE("what other languages write is answered by what is written here") {
  const std::string joined = "; conditions of a reduction are joined by a comma, sum(s | s <= t, s > 0: ..), others by a product, (a) * (b)\n";
  CHECK(errors("x = sum(s | s <= t and s > 0: a[s])") == "1:20 expected ':' and an expression after the conditions, found 'and'" + joined);
  CHECK(errors("x = sum(s | s <= t && s > 0: a[s])") == "1:20 expected ':' and an expression after the conditions, found '&&'" + joined);
  CHECK(errors("x = a if b and c") == "1:12 expected the end of the statement, found 'and'" + joined);
  CHECK(errors("x = where(b || c, a, d)").find("1:13 expected ')', found '||'; where one of two conditions is enough, write max(a, b)\n") == 0);
  CHECK(errors("x = a ** 2") == "1:7 expected the end of the statement, found '**'; a power is written a^b\n");
  const std::string choice = "; a choice between two values is where(condition, a, b), and 'if' ends a statement\n";
  CHECK(errors("x = W(x) W(x)") == "1:10 expected the end of the statement, found 'W'; between two values stands an operator, as in a * b\n");
  CHECK(errors("x = sum(i: 2 (x[i]))").find("1:14 expected ')', found '('; between two values stands an operator, as in a * b\n") == 0);
  CHECK(errors("x = W(a)(b)") == "1:9 expected the end of the statement, found '('; only a name can be called, as in W(x); a product is written as a * b\n");
  CHECK(errors("x += a") == "1:3 expected the end of the statement, found '+='; write x = x + ..\n");
  CHECK(errors("x = a if b = 0") == "1:12 expected the end of the statement, found '='; that two values are equal is written a == b\n");
  const std::string slices = "expected ']', found ':'; there are no slices: an index names an axis, as t and i do in x[t,i]\n1:6 to close this bracket\n";
  CHECK(errors("x = a[:, 0]") == "1:7 " + slices);
  CHECK(errors("x = a[t-1:]") == "1:10 " + slices);
  CHECK(errors("x = a if b else c") == "1:12 expected the end of the statement, found 'else'" + choice);
  CHECK(errors("x = 2 * (a if b else c)").find("1:12 expected ')', found 'if'" + choice) == 0);
  CHECK(parsed("x = sum(s | s <= t, s > t - 16: a[s])").size() == 1);
}

TEST_CASE("hostile nesting is an error, not a crash") {
  const size_t n = 200000;
  CHECK(errors("x = " + std::string(n, '(')).find("nest too deeply") != std::string::npos);
  CHECK(errors("x = " + std::string(n, '-') + "1").find("nest too deeply") != std::string::npos);
  CHECK(errors("x = " + std::string(n, '[')).find("nest too deeply") != std::string::npos);
  std::string sum = "x = 1";
  for (size_t i = 0; i < n; ++i) sum += "+1";
  CHECK(errors(sum).find("too many parts") != std::string::npos);
  std::string power = "x = 1";
  for (size_t i = 0; i < n; ++i) power += "^1";
  CHECK(errors(power).find("nest too deeply") != std::string::npos);
  std::string index = "x = a";
  for (size_t i = 0; i < n; ++i) index += "[1]";
  CHECK(errors(index).find("too many parts") != std::string::npos);
}
