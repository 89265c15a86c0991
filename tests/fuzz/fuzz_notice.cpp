// Fuzzes what a task's call brings: the record that the kernel writes of it, and the bytes of the
// task that handlers take apart: ids, lists of them, ACLs, paths, mount tables.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "identity/live_slots.hpp"
#include "seccomp/acl_value.hpp"
#include "seccomp/calls.hpp"
#include "seccomp/id_view.hpp"
#include "seccomp/listener.hpp"
#include "seccomp/store_places.hpp"
#include "seccomp/task_path.hpp"

namespace {

using seccomp::Id;
using seccomp::kNoId;

void require(bool fine, const char* what) {
  if (fine) return;
  std::fprintf(stderr, "fuzz_notice: %s\n", what);
  std::abort();
}

class Bytes {
 public:
  Bytes(const unsigned char* data, std::size_t size) : data_(data), size_(size) {}
  template <class T>
  T take() {
    T value{};
    const std::size_t size = std::min(sizeof value, size_);
    if (size != 0) std::memcpy(&value, data_, size);
    drop(size);
    return value;
  }
  std::vector<std::uint64_t> words(std::size_t count) {
    std::vector<std::uint64_t> all(count);
    const std::size_t size = std::min(count * 8, size_);
    if (size != 0) std::memcpy(all.data(), data_, size);
    drop(size);
    return all;
  }
  std::string rest() const { return {reinterpret_cast<const char*>(data_), size_}; }
  bool empty() const { return size_ == 0; }

 private:
  void drop(std::size_t size) {
    data_ += size;
    size_ -= size;
  }
  const unsigned char* data_;
  std::size_t size_;
};

seccomp::IdView make_view(bool nested) {
  auto pool = identity::Pool::parse("0 0 1\n1 1 1999\n65534 2000 2\n");
  auto map = identity::Pool::parse(
      nested
          ? "0 0 1\n1 1 999\n60000 1633 1\n2130707432 1000 633\n2130708066 1634 365\n65534 2000 1\n"
          : "0 0 1\n1 1 1999\n65534 65534 2\n");
  auto slots = std::make_shared<identity::LiveSlots>(
      *pool, pool->hash_range(), identity::Rule::wide, identity::Window{1000, 1998},
      identity::Collisions::separate);
  if (nested) slots->restore(60000, 1633);
  return {std::move(*map), std::move(slots)};
}

// What no handler may rely on: the call is one of the table's, and its arguments are anything.
void record(Bytes& bytes) {
  const std::size_t size = bytes.take<std::uint8_t>() % 16;
  auto notice = seccomp::read_notice(bytes.words(size));
  require(!notice || size >= 10, "a notification out of nothing");
  if (!notice) return;
  require(notice->id != 0, "a notification without a number");
  for (std::uint32_t arch : {notice->arch, 0xc000003eu, 0x40000003u, 0xc00000b7u}) {
    const seccomp::Row* row = seccomp::find_call(arch, notice->number);
    if (!row) continue;
    require(row->action == seccomp::Action::absent || row->now || row->later, "nobody answers");
    require(row->count <= 6, "more ids than arguments");
    for (int argument : {row->where.directory, row->where.path, row->where.flags, row->where.data})
      require(argument >= -1 && argument < 6, "no such argument");
    (void)seccomp::is_meant(*row, *notice);
  }
}

// Whoever asks for whatever ids: each has one number, and the number leads back to it.
void ids(Bytes& bytes, bool nested) {
  seccomp::IdView view = make_view(nested);
  std::map<Id, Id> given;
  for (int i = 0; i < 4096 && !bytes.empty(); ++i) {
    const Id id = bytes.take<Id>();
    const bool known = view.has(id);
    const Id carrier = view.carrier(id);
    require(!known || carrier != kNoId, "an id that has a number has none");
    if (carrier == kNoId || carrier == id) continue;
    auto [at, fresh] = given.emplace(carrier, id);
    require(fresh || at->second == id, "two ids have the same number");
    require(view.truth_of_carrier(carrier) == id, "a number means another id");
    (void)view.truth_of_slot(id);
    (void)view.shown(id);
  }
}

void acl(const std::string& text, bool nested) {
  seccomp::IdView view = make_view(nested);
  auto there = [&](bool, Id id) { return view.carrier(id); };
  auto back = [&](bool, Id id) { return view.truth_of_carrier(id); };
  std::vector<std::byte> value(text.size());
  if (!text.empty()) std::memcpy(value.data(), text.data(), text.size());
  const auto before = value;
  const bool changed = seccomp::translate_acl(value, there);
  require(value.size() == before.size(), "it has another size");
  require(changed == (value != before), "it does not know whether it has changed something");
  (void)seccomp::translate_acl(value, back);
}

void texts(const std::string& text) {
  if (auto parts = seccomp::split_path(text)) {
    require(parts->second.find('/') == std::string::npos, "a name with a slash");
    require(!parts->second.empty() && parts->second != "." && parts->second != "..", "no name");
    require(!parts->first.empty(), "no directory");
  }
  for (std::uint64_t id : {0ul, 21ul, ~0ul}) (void)seccomp::find_mount(text, id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  Bytes bytes(data, size);
  const auto kind = bytes.take<std::uint8_t>();
  const bool nested = kind & 8;
  switch (kind & 7) {
    case 0:
    case 1: record(bytes); break;
    case 2:
    case 3: ids(bytes, nested); break;
    case 4:
    case 5: acl(bytes.rest(), nested); break;
    default: texts(bytes.rest());
  }
  return 0;
}
