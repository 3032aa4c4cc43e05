#pragma once
#include "ir/graph.h"

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// The LoopProgram: loops with constant trip counts over tiles of rows, and buffers at constant offsets.
///
/// A Function is a list of parts; a part is a list of regions, run once or for each layer.  A region runs its groups for each tile
/// of rows, in the order of the rows or backwards; it is entered once for a sequence.  A group is either a loop over the tile's rows, in which
/// its steps run one after the other, or steps that take the whole tile.  A loop variable is called by the axis that it counts.
namespace cpuflow::ir {

using BufferId = uint32_t;
using ExprId = uint32_t;
inline constexpr uint32_t kNone = ~uint32_t{0};

/// Where a buffer lives.  Params, Tokens, Targets and Out are given by the caller of a kernel; Shared is written once a step; Lane is
/// scratch; Grads and Losses are accumulated into; Sums are Losses, complete for a micro-batch; Literal is a constant of the program.
enum class Space : uint8_t { Params, Shared, Lane, Grads, Losses, Sums, Tokens, Targets, Out, Literal };

/// How much of its region's row axis a buffer holds: all rows, those of a tile, or one row.
/// Register: the value never leaves its nest.  Block: some columns of one row, while the nests of the product that makes them run.
enum class Rows : uint8_t { All, Tile, One, Register, Block };

struct Buffer {
  std::string name;
  Space space = Space::Lane;
  DType dtype = DType::Real;
  bool bf16 = false;             // real numbers in two bytes: rounded when they are stored
  Axes axes;                     // outermost first; no batch axis
  std::vector<int64_t> strides;  // in elements, one for each axis; 0 where only one index is held
  Rows rows = Rows::All;
  Axis row;                      // the axis that `rows` speaks of
  int64_t history = 0;           // how many earlier rows are read, if that is known; a tile's first row follows them
  int64_t floats = 0;            // size, in floats
  int64_t offset = 0;            // in its space
  bool far = false;              // so much is held that a row is not near when a loop comes to it: loops over rows ask for the next one
  bool persistent = false;       // keeps its contents between calls: the carried state of `rows`
  std::vector<double> values;    // Literal
  NodeId node = kNoNode;
  int element_bytes() const { return bf16 ? 2 : 4; }
  int64_t elements() const { return 4 * floats / element_bytes(); }
  bool in_memory() const { return rows != Rows::Register && rows != Rows::Block; }
};

/// An index: an affine function of loop variables plus, perhaps, a computed integer.
struct Index {
  std::vector<std::pair<Axis, int64_t>> terms;  // sorted by axis
  int64_t offset = 0;
  ExprId computed = kNone;
  auto operator<=>(const Index&) const = default;
  int64_t along(const Axis& axis) const;
  /// Lowest and highest value of the affine part.
  std::pair<int64_t, int64_t> affine_range() const;
};

/// An element of a buffer, as a function of the loop variables.
struct Place {
  BufferId buffer = kNone;
  std::vector<Index> indices;  // one for each axis of the buffer
  auto operator<=>(const Place&) const = default;
};

/// A scalar expression of the loop variables.
struct Expr {
  enum class Kind : uint8_t { Constant, Counter, Load, Apply, Random } kind = Kind::Constant;
  DType dtype = DType::Real;
  double value = 0;          // Constant
  Index index;               // Counter, Random: its value
  Place place;               // Load
  Op op = Op::Add;           // Apply: an elementwise operation
  std::vector<ExprId> args;
  bool rough = false;        // Apply: the value is kept in bf16, and need not be much more exact than that
  std::string text;          // Random: the stream
  auto operator<=>(const Expr&) const = default;
};

/// What a nest does with the value of an expression.  Set: the element becomes the value.  The others combine the values over the loop
/// variables that the place does not mention, and with what the element holds if `accumulate`.
struct Store {
  enum class How : uint8_t { Set, Sum, Max, Min, Prod } how = How::Set;
  ExprId value = kNone;
  Place place;
  bool accumulate = false;
  NodeId node = kNoNode;
};

/// How a reduction combines.
constexpr Store::How how_of(Op reduction) {
  return reduction == Op::Max ? Store::How::Max : reduction == Op::Min ? Store::How::Min : reduction == Op::Prod ? Store::How::Prod : Store::How::Sum;
}

/// What combining begins with: it changes nothing.
constexpr double neutral_element(Store::How how) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return how == Store::How::Max ? -infinity : how == Store::How::Min ? infinity : how == Store::How::Prod ? 1 : 0;
}

/// The steps of a loop at which a number is not 0, of which there are at most so many.
struct Nonzeros {
  Axis loop;
  Place of;
  int64_t most = 0;
  auto operator<=>(const Nonzeros&) const = default;
};

/// Loops over `loops`, outermost first.  Those from `reduced` on are reduction loops.  The loop `lane` (-1: none) runs in vector lanes.
struct Nest {
  Axes loops;
  size_t reduced = 0;
  int lane = -1;
  std::optional<Nonzeros> nonzeros;  // the only steps of a loop that run: what the stores add at the others is 0
  std::vector<Store> stores;
};

/// A summand of a product of matrices: sum over k of a[m][k] * b[k][n].
struct ProductTerm {
  Axis k;
  Place a, b;
  NodeId node = kNoNode;
};

/// c[m][n] (+)= sum over k of a[m][k] * b[k][n], for each value of the loop variables `loops`; b lies packed in panels.
/// m or k may be the region's row axis: then the rows of the tile (of the row, in a loop over rows) are meant.
struct Product {
  Axes loops;
  Axis m, k, n;
  Place a, b, c;  // b: the first element of the panels, without k and n
  std::vector<ProductTerm> more;  // added in the same pass over c
  bool accumulate = false;
  bool bf16 = false;  // operands are rounded to bf16, if they are not kept in bf16; sums are float32
  /// Run for each row of each block of columns of c as soon as it is there; c is not kept then.  The one loop of each counts columns of c.
  std::vector<Nest> blocks;
  /// Of a softmax: the first of these nests stores the largest number of a row, which the others subtract.  They may subtract another, as long as
  /// their sum `total` is neither too small nor too large for a float: so it is the largest of the first columns, and of all where that was not enough.
  Place total;
  NodeId node = kNoNode;
};

/// Packs the matrix src[k][n] into panels.  NewRows, NewColumns: of the panels that are kept between calls, those that belong to the positions of a call.
struct Pack {
  enum class Part : uint8_t { Whole, NewRows, NewColumns } part = Part::Whole;
  Axes loops;
  Axis k, n;
  Place src, dst;  // dst: the first element of the panels
  bool bf16 = false;  // two numbers that follow each other along k share the place of a float
  NodeId node = kNoNode;
};

/// Sets every element that a buffer holds (of the current layer); where the place names the region's row, those of the rows at hand.
struct Fill {
  Place place;
  int64_t floats = 0;     // of a row, where the place names one
  double value = 0;
  bool at_start = false;  // only before the sequence's first row: what `rows` accumulates is kept between calls
};

/// Moves the last `rows` rows of a tile, and of its history, to where the next tile looks for its history.
struct Shift {
  Place place;  // the first row of the history
  int64_t rows = 0;
};

/// Argmax, or the mask of the k largest, along `axis` of a buffer.
struct Choose {
  Op op = Op::Argmax;
  Axes loops;
  Axis axis;
  Place src, dst;
  int64_t k = 1;
  NodeId node = kNoNode;
};

/// A loop over positions near the rows at hand: from `before` ahead of the first of them up to `after` behind the last.  The rows at hand are those of
/// the range, in a function over one; in others those of the tile.
struct Reach {
  Axis axis;
  int64_t before = 0, after = 0;
  auto operator<=>(const Reach&) const = default;
};

struct Step {
  enum class Kind : uint8_t { Nest, Product, Pack, Fill, Shift, Choose } kind = Kind::Nest;
  std::vector<Reach> reaches;  // Nest, Product, Pack: of some of its loops
  Nest nest;
  Product product;
  Pack pack;
  Fill fill;
  Shift shift;
  Choose choose;
};

struct Group {
  bool by_row = false;
  std::vector<Step> steps;
};

struct Region {
  std::string name;
  bool has_rows = false;
  Axis row;
  int64_t tile = 0;          // rows of a tile
  int64_t chunk = 0;         // positions that a row stands for, or 0; a function with a range of positions runs the rows that they belong to,
  bool complete = false;     // or only those whose last position is among them
  int direction = 0;         // +1 rows in order, -1 backwards, 0 either
  std::vector<Step> before;  // once, before the first row
  std::vector<Group> groups;
  std::vector<NodeId> nodes;  // the values computed here
};

struct Part {
  bool loops = false;  // over `layer`; else the regions run once
  Axis layer;
  int direction = +1;
  std::vector<Region> regions;
};

/// One of the functions that codegen/abi/kernel_abi.h lists; its name says when it is called.
struct Function {
  std::string name;
  bool runs_once_a_step() const { return name == "prepare" || name == "finish"; }
  bool runs_for_sequences() const { return name.ends_with("_sequence") || name.find("_sums_") != std::string::npos; }
  bool row_range = false;  // rows call->first .. call->last of the position axis, instead of all
  std::vector<Part> parts;
  int64_t lane_floats = 0;
  int64_t state_floats = 0;  // the first of them are kept between calls, and zero before the first row
  int64_t carried_floats = 0;  // of those, what a later row reads
};

struct LoopProgram {
  std::string model;
  int panel = 16;  // columns of a panel of a packed matrix
  std::vector<Buffer> buffers;
  std::vector<Expr> exprs;
  std::vector<Function> functions;
  int64_t shared_floats = 0, grad_floats = 0, loss_floats = 0;
};

/// Floats that the panels of a k x n matrix take.
int64_t panel_floats(const LoopProgram& program, int64_t k, int64_t n, bool bf16);

/// Whether a region over these rows runs for a range of them in a function that has one: the positions of the sequence.
inline bool ranged(const Axis& row) { return row.kind == AxisKind::Position && row.ordinal == 0; }

/// The axes that a nest, a product or a pack counts.
Axes loops_of(const Step& step);

/// The nest that a step is, or those that run in a product.
std::vector<const Nest*> nests_of(const Step& step);

/// The steps of a region: those before its first row, then those of its groups.
std::vector<const Step*> steps_of(const Region& region);

/// What an expression is computed from: its operands, and the computed parts of its indices.
std::vector<ExprId> parts_of(const Expr& expr);

/// Visits an expression after all that it is computed from; not what is in `seen`, where it adds what it visits.  kNone: nothing.
void for_each_expr(const LoopProgram& program, ExprId e, std::set<ExprId>& seen, const std::function<void(const Expr&)>& visit);

/// Whether an index, or a place, depends on a loop variable.
bool mentions(const LoopProgram& program, const Index& index, const Axis& axis);
bool mentions(const LoopProgram& program, const Place& place, const Axis& axis);

/// What a step does with a place.  Read: any read but the next two.  Operand: a bf16 product or pack reads it, rounded.  Own: a nest reads what
/// it has set itself.  Set: a nest makes the element a value.  Write: any other write, also one that adds to what is there.
enum class Access : uint8_t { Read, Operand, Own, Set, Write };

inline bool writes(Access access) { return access == Access::Set || access == Access::Write; }

/// Calls `visit` for every place that a step reads or writes, in expressions and computed indices too.  What a nest reads comes before what it
/// writes; a nest's expression is visited once.
void for_each_place(const LoopProgram& program, const Step& step, const std::function<void(const Place&, Access)>& visit);

/// Elements between neighbours along `axis`; 0 where the place does not depend on it.
int64_t stride_along(const LoopProgram& program, const Place& place, const Axis& axis);

/// The text form.  Buffers have numbers, and their names as comments; `%12` is the Graph's value that a line computes.
std::string print(const LoopProgram& program);

/// The LoopProgram of a text that `print` wrote; printed again it is the same text.  Throws ModelError with path, line and column.
LoopProgram parse_loops(const std::string& text, const std::string& path = "program.loops");

}  // namespace cpuflow::ir
