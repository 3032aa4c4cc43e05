#include "runtime/pickle.h"

#include <fmt/format.h>

#include <bit>
#include <map>

namespace cpuflow::rt {

namespace {

using Value = Pickle::Value;
using Kind = Value::Kind;

/// The opcodes of pickletools that hold data; the others belong to protocols 0 and 1, or to objects that no checkpoint needs.
enum Opcode : unsigned char {
  Mark = '(',
  Stop = '.',
  PopTop = '0',
  PopToMark = '1',
  Duplicate = '2',
  BinInt = 'J',
  BinInt1 = 'K',
  BinInt2 = 'M',
  NoneValue = 'N',
  BinPersistentId = 'Q',
  Reduce = 'R',
  BinString = 'T',
  ShortBinString = 'U',
  BinUnicode = 'X',
  Append = 'a',
  BuildObject = 'b',
  GlobalName = 'c',
  DictFromMark = 'd',
  Appends = 'e',
  BinGet = 'h',
  LongBinGet = 'j',
  ListFromMark = 'l',
  BinPut = 'q',
  LongBinPut = 'r',
  SetItem = 's',
  TupleFromMark = 't',
  SetItems = 'u',
  BinFloat = 'G',
  EmptyDict = '}',
  EmptyList = ']',
  EmptyTuple = ')',
  BinBytes = 'B',
  ShortBinBytes = 'C',
  Protocol = 0x80,
  NewObject = 0x81,
  Tuple1 = 0x85,
  Tuple2 = 0x86,
  Tuple3 = 0x87,
  NewTrue = 0x88,
  NewFalse = 0x89,
  Long1 = 0x8a,
  Long4 = 0x8b,
  ShortBinUnicode = 0x8c,
  BinUnicode8 = 0x8d,
  BinBytes8 = 0x8e,
  EmptySet = 0x8f,
  AddItems = 0x90,
  FrozenSet = 0x91,
  NewObjectEx = 0x92,
  StackGlobal = 0x93,
  Memoize = 0x94,
  Frame = 0x95,
};

}  // namespace

class PickleReader {
 public:
  PickleReader(std::string_view data, Pickle& out) : data_(data), out_(out) {}

  const Value* read() {
    while (true) {
      start_ = at_;
      const unsigned char op = byte();
      if (op == Stop) return pop();
      step(op);
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw PickleError(fmt::format("{} at byte {} of the pickle", what, start_)); }

  // bytes

  std::string_view take(uint64_t count) {
    if (count > data_.size() - at_) fail("it is cut off");
    const std::string_view part = data_.substr(at_, count);
    at_ += count;
    return part;
  }
  unsigned char byte() { return static_cast<unsigned char>(take(1)[0]); }
  uint64_t unsigned_int(size_t bytes) {
    uint64_t value = 0;
    const std::string_view part = take(bytes);
    for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(static_cast<unsigned char>(part[i])) << (8 * i);
    return value;
  }
  std::string line() {
    const size_t end = data_.find('\n', at_);
    if (end == std::string_view::npos) fail("a name is cut off");
    const std::string text(data_.substr(at_, end - at_));
    at_ = end + 1;
    return text;
  }

  // the stack

  Value* make(Kind kind) {
    Value& v = out_.values_.emplace_back();
    v.kind = kind;
    return &v;
  }
  void push(Value* v) { stack_.push_back(v); }
  void push_text(Kind kind, std::string_view text) {
    Value* v = make(kind);
    v->text = text;
    push(v);
  }
  void push_int(int64_t number, Kind kind = Kind::Int) {
    Value* v = make(kind);
    v->number = number;
    push(v);
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Value* pop() {
    if (stack_.size() <= floor()) fail("a value is missing");
    Value* v = stack_.back();
    stack_.pop_back();
    return v;
  }
  Value* top() {
    if (stack_.size() <= floor()) fail("a value is missing");
    return stack_.back();
  }
  std::vector<const Value*> from_mark() {
    if (marks_.empty()) fail("a mark is missing");
    std::vector<const Value*> items(stack_.begin() + static_cast<ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  void push_items(Kind kind, std::vector<const Value*> items) {
    // what is read takes a byte each time; what is read again and again would grow with its square
    held_ += items.size();
    if (held_ > 16 * data_.size() + 1024) fail("it holds far more values than bytes");
    Value* v = make(kind);
    v->items = std::move(items);
    push(v);
  }
  void push_last(Kind kind, size_t count) {
    std::vector<const Value*> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push_items(kind, std::move(items));
  }
  void add(std::vector<const Value*> items) {
    Value* container = top();
    container->items.insert(container->items.end(), items.begin(), items.end());
  }
  void add_pairs(std::vector<const Value*> items) {
    if (items.size() % 2 != 0) fail("a dictionary has a key without a value");
    Value* container = top();
    if (container->kind == Kind::Call) container = dictionary_of(container);
    container->items.insert(container->items.end(), items.begin(), items.end());
  }
  /// An object that is filled as a dictionary is (an OrderedDict) becomes the dictionary of its items.
  static Value* dictionary_of(Value* call) {
    call->kind = Kind::Dict;
    call->items.clear();
    return call;
  }
  void remember(uint64_t key) { memo_[key] = top(); }
  void recall(uint64_t key) {
    auto it = memo_.find(key);
    if (it == memo_.end()) fail("it refers to a value that is not there");
    push(it->second);
  }

  void step(unsigned char op) {
    switch (op) {
      case Protocol:
        if (const unsigned char version = byte(); version > 5) fail(fmt::format("protocol {} is newer than 5", version));
        return;
      case Frame:
        unsigned_int(8);
        return;
      case Mark:
        marks_.push_back(stack_.size());
        return;
      case PopTop:
        if (!marks_.empty() && stack_.size() == marks_.back()) marks_.pop_back();
        else pop();
        return;
      case PopToMark:
        from_mark();
        return;
      case Duplicate:
        push(top());
        return;
      case NoneValue:
        push(make(Kind::None));
        return;
      case NewTrue:
      case NewFalse:
        return push_int(op == NewTrue, Kind::Bool);
      case BinInt:
        return push_int(static_cast<int32_t>(unsigned_int(4)));
      case BinInt1:
        return push_int(static_cast<int64_t>(unsigned_int(1)));
      case BinInt2:
        return push_int(static_cast<int64_t>(unsigned_int(2)));
      case Long1:
        return push_long(unsigned_int(1));
      case Long4:
        return push_long(unsigned_int(4));
      case BinFloat: {
        uint64_t bits = 0;
        for (const char c : take(8)) bits = bits << 8 | static_cast<unsigned char>(c);
        Value* v = make(Kind::Float);
        v->real = std::bit_cast<double>(bits);
        return push(v);
      }
      case BinUnicode:
        return push_text(Kind::Text, take(unsigned_int(4)));
      case ShortBinUnicode:
        return push_text(Kind::Text, take(unsigned_int(1)));
      case BinUnicode8:
        return push_text(Kind::Text, take(unsigned_int(8)));
      case BinString:
        return push_text(Kind::Text, take(unsigned_int(4)));
      case ShortBinString:
        return push_text(Kind::Text, take(unsigned_int(1)));
      case BinBytes:
        return push_text(Kind::Bytes, take(unsigned_int(4)));
      case ShortBinBytes:
        return push_text(Kind::Bytes, take(unsigned_int(1)));
      case BinBytes8:
        return push_text(Kind::Bytes, take(unsigned_int(8)));
      case EmptyDict:
        return push(make(Kind::Dict));
      case EmptyList:
        return push(make(Kind::List));
      case EmptySet:
        return push(make(Kind::Set));
      case EmptyTuple:
        return push(make(Kind::Tuple));
      case Tuple1:
        return push_last(Kind::Tuple, 1);
      case Tuple2:
        return push_last(Kind::Tuple, 2);
      case Tuple3:
        return push_last(Kind::Tuple, 3);
      case TupleFromMark:
        return push_items(Kind::Tuple, from_mark());
      case ListFromMark:
        return push_items(Kind::List, from_mark());
      case FrozenSet:
        return push_items(Kind::Set, from_mark());
      case DictFromMark: {
        std::vector<const Value*> items = from_mark();
        if (items.size() % 2 != 0) fail("a dictionary has a key without a value");
        return push_items(Kind::Dict, std::move(items));
      }
      case Append: {
        const Value* item = pop();
        return add({item});
      }
      case Appends:
      case AddItems:
        return add(from_mark());
      case SetItem: {
        const Value *value = pop(), *key = pop();
        return add_pairs({key, value});
      }
      case SetItems:
        return add_pairs(from_mark());
      case GlobalName: {
        const std::string module = line();
        return push_text(Kind::Global, module + " " + line());
      }
      case StackGlobal: {
        const Value *name = pop(), *module = pop();
        return push_text(Kind::Global, module->text + " " + name->text);
      }
      case Reduce:
      case NewObject: {
        const Value *arguments = pop(), *callee = pop();
        return push_call(callee, arguments);
      }
      case NewObjectEx: {
        pop();  // arguments with names
        const Value *arguments = pop(), *callee = pop();
        return push_call(callee, arguments);
      }
      case BuildObject:  // the state of an object
        pop();
        top();
        return;
      case BinPersistentId: {
        const Value* id = pop();
        return push_items(Kind::Persistent, id->items);
      }
      case BinPut:
        return remember(unsigned_int(1));
      case LongBinPut:
        return remember(unsigned_int(4));
      case Memoize:
        return remember(memo_.size());
      case BinGet:
        return recall(unsigned_int(1));
      case LongBinGet:
        return recall(unsigned_int(4));
      default:
        fail(fmt::format("unknown opcode 0x{:02x}", op));
    }
  }

  void push_call(const Value* callee, const Value* arguments) {
    std::vector<const Value*> items{callee};
    items.insert(items.end(), arguments->items.begin(), arguments->items.end());
    push_items(Kind::Call, std::move(items));
  }

  /// Whole numbers of up to 64 bits; larger ones, which nothing here counts, become 0.
  void push_long(uint64_t bytes) {
    const std::string_view digits = take(bytes);
    if (bytes > 8) return push_int(0);
    uint64_t value = bytes > 0 && (digits.back() & 0x80) ? ~uint64_t{0} : 0;
    for (size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
    push_int(static_cast<int64_t>(value));
  }

  std::string_view data_;
  uint64_t held_ = 0;  // items of all values
  Pickle& out_;
  size_t at_ = 0, start_ = 0;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, Value*> memo_;
};

Pickle::Pickle(std::string_view data) { root_ = PickleReader(data, *this).read(); }

}  // namespace cpuflow::rt
