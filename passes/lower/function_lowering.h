#pragma once
#include "passes/lower/program_builder.h"

#include <functional>
#include <optional>

namespace cpuflow::passes::lower {

/// How a statement reads a value along the row axis of its region.
struct Read {
  ir::NodeId node = ir::kNoNode;
  enum class How : uint8_t { SameRow, EarlierRow, LaterRow, AnyRow } how = How::SameRow;
  int64_t distance = 0;  // EarlierRow, LaterRow: of the farthest row
  bool same_layer = true;
  std::optional<int64_t> layers_later, layer;  // of a value of another layer: so many behind this one, or always this one
  bool same_element = false;  // of the row: the one that the statement computes
  bool same_position = false;  // the statement's row is another axis than the value's, and counts the same positions
};

/// One value that is computed by loops of its own, before loops are put together.
struct Statement {
  ir::NodeId node = ir::kNoNode;
  std::vector<ir::Step> before;   // packs of operands, run when the region is entered
  std::vector<ir::Step> steps;
  std::optional<ir::Axis> row;    // the axis whose rows a region may run one after the other
  bool reduces_rows = false;      // complete only after the last row
  bool whole_tile = false;        // takes all rows of a tile at once
  int direction = 0;              // +1, -1: order of rows that it needs
  std::vector<Read> reads;
  int cycle = -1;                 // statements of one recurrence run in one loop over rows
  int part = -1, region = -1, group = -1, nest = -1;
};

/// The value of a parameter's gradient (or of a loss) is the sum of what is stored here.
struct Target {
  ir::NodeId node = ir::kNoNode;
  ir::Place place;   // indices in terms of the node's axes
};

/// Lowers the values of one rate that some outputs need to one function.
class FunctionLowering {
 public:
  FunctionLowering(ProgramBuilder& builder, std::string name, Rate rate, Explanation* explanation);

  /// Values whose loops the function must contain.
  std::vector<ir::NodeId> roots;
  /// Sums over sequences that are added to a parameter's gradient directly, and are read by nothing else.
  std::vector<Target> targets;
  /// Where values are written, or added to, besides their own buffers.
  std::vector<Target> copies;
  /// Buffers of values that are not scratch.
  std::map<ir::NodeId, ir::BufferId> given;
  ir::NodeId logits = ir::kNoNode;  // stored in Space::Out
  bool row_range = false;
  std::function<ir::BufferId(ir::NodeId)> external;  // buffers of values of earlier functions, or kNone

  ir::Function lower();

 private:
  // which values have loops of their own (select_stored.cpp)
  void select_stored();
  bool trivial(ir::NodeId id) const;
  ir::NodeId strip_views(ir::NodeId id) const;
  bool is_product(ir::NodeId id) const;
  bool is_summed_as_product(ir::NodeId id) const;  // the multiplication of one, and of nothing else
  ir::NodeId chosen_terms(ir::NodeId sum) const;
  bool is_chosen_term(ir::NodeId id) const;
  bool cheap_again(ir::NodeId id, int operations) const;
  bool lies_in_memory(ir::NodeId id, int choices = 2) const;
  ir::NodeId without_factor(ir::NodeId id) const;
  void store_operand(ir::NodeId id, bool rounded);
  /// Who reads a value, looking through views.
  struct Readers {
    std::set<ir::NodeId> nodes;
    bool again = false;  // for rows that it does not have, or in a loop around that over its last axis: what is not stored is computed again and again
    uint64_t times = 1;  // so many, of each element, in such loops
  };
  Readers readers_of(ir::NodeId id) const;
  bool rounds(ir::NodeId product) const;
  /// Whether the value is computed here; `prepare` computes what is always known as well, and a sequence what follows from complete sums.
  bool own(ir::NodeId id) const {
    return b_.rate[id] == rate_ || (rate_ == Rate::Step && b_.rate[id] == Rate::Static) ||
           (rate_ == Rate::Sequence && b_.rate[id] == Rate::Final && !b_.is_accumulator(id));
  }
  /// Whether the value lies complete in a buffer of an earlier function.
  bool ready(ir::NodeId id) const { return external && external(id) != ir::kNone; }

  // expressions (expressions.cpp)
  Env identity(const ir::Axes& axes) const;
  ir::ExprId pull(ir::NodeId id, const Env& env);
  ir::ExprId pull_operand(ir::NodeId id, bool rounded = false);
  ir::ExprId compute(ir::NodeId id, const Env& env);
  bool lie_together(ir::NodeId id, const ir::Axes& axes);
  ir::ExprId load_value(ir::NodeId id, const Env& env);
  ir::ExprId load_shared(ir::NodeId id, const Env& env);
  ir::ExprId load_from(ir::BufferId buffer, ir::NodeId id, const Env& env);
  struct Bounded {
    ir::Index index;
    ir::ExprId condition;
  };
  Bounded bound(const ir::Index& index, const ir::Axis& axis);
  bool always_inside(ir::NodeId index, const ir::Axis& axis) const;
  ir::ExprId read_at(ir::NodeId x, Env env, const ir::Axis& axis, const ir::Index& index, ir::ExprId otherwise, bool inside);
  ir::Index index_of_node(ir::NodeId id, const Env& env);
  std::vector<ir::Index> indices_of(const ir::Buffer& buffer, const Env& env) const;

  // statements (statements.cpp)
  void build_statements();
  void build(ir::NodeId id);
  ir::ExprId condition_outside(ir::ExprId id);
  Statement& start(ir::NodeId id, const ir::Axes& over);
  void build_nest(Statement& s, const ir::Axes& out, const ir::Axes& over, ir::ExprId value, ir::Store::How how, ir::Place place);
  bool build_product(Statement& s);

  // vector lanes (lanes.cpp)
  bool may_lie_otherwise(const ir::Place& place, const ir::Axis& lane, const ir::Store* written) const;
  void choose_lane(ir::Nest& nest, ir::Axes out, ir::Axes over);
  void lay_in_lanes(ir::Nest& nest);

  // sums of few terms (few_terms.cpp)
  std::optional<ir::Nonzeros> nonzeros_of(ir::NodeId summed);
  bool visit_nonzeros(ir::Nest& nest, const ir::Nonzeros& some);
  bool build_sum_of_few(Statement& s);

  bool takes_bf16(const Statement& s);
  void build_choose(Statement& s);
  void build_scatter(Statement& s);
  ir::Place pack_operand(Statement& s, const ir::Place& src, ir::NodeId operand, const ir::Axis& k, const ir::Axis& n, bool in_tile, bool bf16);
  bool in_scope(const Statement& s, const ir::Axis& axis) const;
  void find_reads(Statement& s);
  void add_read(Statement& s, const ir::Place& place, bool whole = false);
  bool is_read_along_positions(ir::NodeId id) const;
  bool of_few_numbers(ir::NodeId id) const;
  void order_features();
  void order_columns(ir::NodeId product);
  ir::Axes features_as_they_lie(ir::NodeId id) const;
  ir::BufferId buffer_of(ir::NodeId id);
  ir::Place own_place(ir::NodeId id);
  std::optional<ir::Axis> row_of(ir::NodeId id, const ir::Axes& over) const;

  // reaches (reach.cpp)
  using Span = int64_t;  // positions before a row, itself included
  static constexpr Span kAllPositions = INT64_MAX;
  bool by_new_rows(ir::NodeId id) const;
  Span looked_at(ir::NodeId id, const ir::Axis& s) const;
  Span read_of(ir::NodeId user, ir::NodeId id, const ir::Axis& t, const ir::Axis& s) const;
  void find_demands();
  std::vector<ir::Reach> reaches_of(ir::NodeId id) const;
  void set_reaches(Statement& s);

  // tile_reaches.cpp
  void cut_loops_to_tiles();

  // regions (regions.cpp)
  struct RegionPlan {
    std::optional<ir::Axis> row;
    int direction = 0;
    std::vector<size_t> members;
  };
  struct PartPlan {
    int cycle = -1;
    ir::Axis layer;
    int direction = +1;
    std::vector<RegionPlan> regions;
  };
  void find_layer_homes();
  void assign_parts();
  /// Calls visit(read, other) for each statement that computes what a statement reads of its own part; not of another layer.
  template <class Visit>
  void each_dependency(size_t statement, const Visit& visit) const {
    for (const Read& r : statements_[statement].reads) {
      const auto from = statements_of_.find(r.node);
      if (from == statements_of_.end() || (!r.same_layer && layer_home_[r.node] >= 0)) continue;
      for (size_t other : from->second) {
        if (statements_[other].part == statements_[statement].part) visit(r, other);
      }
    }
  }
  int64_t held_bytes(const RegionPlan& region) const;
  bool is_full(const PartPlan& plan, int region, const std::vector<size_t>& unit) const;
  std::vector<std::vector<size_t>> units() const;
  struct Earliest {
    int region = 0;
    std::map<int, int> directions;  // region: in which order its rows must run
    std::string obstacle = "nothing before it in this part runs over the same rows";
  };
  Earliest earliest_region(const std::vector<size_t>& unit) const;
  void place_in_region(const std::vector<size_t>& unit);
  void assign_regions();

  // groups (groups.cpp)
  struct Grouping;
  bool waits_for(size_t statement, size_t other) const;
  bool is_ready(const Grouping& grouping, size_t statement) const;
  bool is_cycle_ready(const Grouping& grouping, int cycle) const;
  std::set<ir::NodeId> wide_reads(const Grouping& grouping, const Statement& s) const;
  bool reads_same_element(const ir::Nest& nest, const ir::Store& store) const;
  bool fits(Grouping& grouping, size_t statement, const ir::Nest& nest, int step) const;
  int join_nest(Grouping& grouping, size_t statement);
  void place(Grouping& grouping, size_t statement);
  bool place_rows(Grouping& grouping);
  bool place_whole(Grouping& grouping);
  ir::Region grouped(const RegionPlan& plan);
  std::string name_of_region(const std::vector<ir::NodeId>& nodes) const;
  void form_groups();

  // joint nests (joint_nests.cpp)
  bool share_large(const ir::Nest& a, const ir::Nest& b) const;
  std::optional<ir::Nest> in_loops_of(const ir::Nest& nest, const ir::Nest& other) const;

  // joint_products (joint_products.cpp)
  void join_products();

  // blocks (blocks.cpp)
  bool runs_on_blocks(const ir::Nest& nest, const ir::Product& product, const ir::Axis& row, const std::set<ir::BufferId>& made) const;
  std::vector<ir::Place> sums_of_exponentials(const ir::Nest& nest, const ir::Store& reference) const;
  struct BlockUse {
    std::set<size_t> readers;       // steps of the group after the product
    std::optional<size_t> largest;  // the one that looks for the largest number of a row
    ir::Place total;                // where the others sum exp(x - largest)
  };
  std::optional<BlockUse> block_use(size_t step, int part, int region, int group) const;
  void run_on_blocks(int part, int region);
  void run_on_blocks();

  // precision (precision.cpp)
  void round_operands();
  void shorten_exponentials();
  void shorten_exponentials(ir::Nest& nest, const std::map<ir::BufferId, int>& readers);

  // storage (storage.cpp)
  void find_chunk_rows();
  bool needs_new_rows_only(const Statement& s, int64_t positions) const;
  bool is_read_behind(const ir::Axis& chunk, int64_t positions) const;
  bool runs_for_new(const ir::Axis& row) const;
  void keep_panels();
  void assign_storage();
  struct Use {
    size_t statement;
    Read read;
  };
  std::map<ir::NodeId, std::vector<Use>> find_uses() const;
  bool may_pass_on(ir::NodeId node, const Statement& producer, const std::vector<Use>& uses) const;
  void lay_out_by_rows(ir::Buffer& b) const;
  void choose_held();
  void choose_tiles();
  void level_cut_tiles();
  void size_buffers();
  void size_fills();
  bool updates_elements(const Statement& s) const;
  bool reads_before_written(const Statement& reader, const Statement& writer) const;
  void keep_history();
  int64_t carried(const ir::Buffer& buffer) const;
  struct Life {
    int from = 1 << 30, to = -1;  // regions
  };
  std::map<ir::BufferId, Life> find_lives(const ir::Function& f) const;
  void plan_memory(ir::Function& f);

  // what `compile --explain` says
  void decline(ir::NodeId id, const std::string& why);
  void explain(const std::string& line);

  ProgramBuilder& b_;
  const ir::Graph& g_;
  std::string name_;
  Rate rate_;
  Explanation* explanation_;
  std::vector<bool> needed_, stored_;
  std::vector<bool> operand_copy_;  // stored for bf16 products only: nests read what it is a copy of
  std::vector<ir::NodeId> saved_as_;  // the rounded copy that the backward pass reads of a value, or kNoNode
  bool reading_operand_ = false, reading_rounded_ = false;
  bool pulling_ = false;  // within pull() of a value, of which `pulled_` knows what was pulled so far
  std::map<std::pair<ir::NodeId, Env>, ir::ExprId> pulled_;
  std::vector<std::vector<ir::NodeId>> users_;
  std::map<std::pair<ir::Axis, ir::Axis>, bool> swapped_;  // of two features: whether the second lies outside of the first
  std::map<ir::Axis, int64_t> chunk_rows_;  // axes of which a call for new positions runs only the rows that these belong to: positions of a row
  std::map<std::pair<ir::NodeId, ir::Axis>, Span> demand_;  // of values of two positions: which of the second are read
  std::map<ir::NodeId, ir::BufferId> buffers_;
  std::map<ir::BufferId, ir::NodeId> node_of_;
  std::set<ir::BufferId> passed_on_;  // each layer writes over what the layer before left
  std::set<ir::BufferId> in_blocks_;  // never stored: what reads them runs in the product that makes them
  std::vector<Statement> statements_;
  std::map<ir::NodeId, std::vector<size_t>> statements_of_;
  std::vector<int> layer_home_;           // the layer cycle whose loop a value is computed in, or -1
  std::map<int, ir::Axis> cycle_axis_;    // layer axis of each layer cycle
  std::map<int, int> cycle_direction_;
  std::vector<PartPlan> parts_;
  std::set<ir::NodeId> read_whole_;  // by products over all rows
  ir::Function function_;
};

}  // namespace cpuflow::passes::lower
