// The part of a ledger that tells of requests: those under way, the change being made, what a
// daemon before us had done; and the successor's reading of it all.
#include <algorithm>
#include <atomic>
#include <cstring>

#include "fusefs/ledger.hpp"

namespace fusefs {

using layout::Kind;

namespace {

template <class T>
void publish(T& where, T value) {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  *const_cast<volatile T*>(&where) = value;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace

std::uint32_t Ledger::begin(std::uint64_t unique, std::uint32_t opcode) {
  if (unique > first_->head.last_unique) publish(first_->head.last_unique, unique);
  opcode_ = opcode;
  std::uint32_t slot;
  if (!free_slots_.empty()) {
    slot = free_slots_.back();
    free_slots_.pop_back();
  } else if (next_slot_ < layout::kInFlight) {
    slot = next_slot_++;
    if (first_->head.slots < next_slot_) publish(first_->head.slots, next_slot_);
  } else {
    return kNoSlot;  // more under way than a kernel without RESEND would be told of
  }
  layout::InFlight& record = first_->in_flight[slot];
  record.opcode = opcode;
  record.interrupted = 0;
  publish(record.unique, unique);
  return slot;
}

void Ledger::interrupted(std::uint32_t slot) {
  if (slot != kNoSlot) publish(first_->in_flight[slot].interrupted, 1u);
}

void Ledger::end(std::uint32_t slot, std::uint64_t unique) {
  layout::Head& head = first_->head;
  if (head.intent.unique == unique && head.intent.state) give_up();
  for (layout::Settled& settled : head.settled)
    if (settled.unique == unique) publish(settled.unique, std::uint64_t{0});
  if (slot == kNoSlot) return;
  publish(first_->in_flight[slot].unique, std::uint64_t{0});
  free_slots_.push_back(static_cast<std::uint16_t>(slot));
}

void Ledger::answering(std::uint64_t unique) {
  layout::Counted& answer = first_->counted;
  publish(answer.count, std::uint64_t{0});
  publish(answer.handle, std::uint64_t{0});
  publish(answer.unique, unique);
}

void Ledger::intend(const Plan& plan) {
  layout::Intent& intent = first_->head.intent;
  publish(intent.state, static_cast<std::uint8_t>(layout::Intent::kNone));
  intent.unique = plan.unique;
  intent.act = static_cast<std::uint8_t>(plan.act);
  intent.flags = plan.flags;
  intent.node = static_cast<std::uint32_t>(plan.node);
  intent.target = static_cast<std::uint32_t>(plan.target);
  intent.parent = static_cast<std::uint32_t>(plan.parent);
  intent.new_parent = static_cast<std::uint32_t>(plan.new_parent);
  intent.ino = plan.ino;
  intent.target_ino = plan.target_ino;
  intent.sidecar = plan.sidecar;
  intent.target_sidecar = plan.target_sidecar;
  intent.handle = plan.handle;
  intent.length = static_cast<std::uint8_t>(std::min<std::size_t>(plan.name.size(), 255));
  intent.new_length = static_cast<std::uint8_t>(std::min<std::size_t>(plan.new_name.size(), 255));
  plan.name.copy(intent.name, intent.length);
  plan.new_name.copy(intent.new_name, intent.new_length);
  publish(intent.state, static_cast<std::uint8_t>(layout::Intent::kBegun));
  pass(Point::begun);
}

void Ledger::whole() {
  publish(first_->head.intent.state, static_cast<std::uint8_t>(layout::Intent::kWhole));
  pass(Point::happened);
}

void Ledger::give_up() {
  publish(first_->head.intent.state, static_cast<std::uint8_t>(layout::Intent::kNone));
}

void Ledger::settle(std::uint64_t unique, Verdict verdict) {
  layout::Head& head = first_->head;
  layout::Settled& settled = head.settled[head.next_settled++ % layout::kSettled];
  publish(settled.unique, std::uint64_t{0});
  settled.verdict = static_cast<std::uint32_t>(verdict);
  publish(settled.unique, unique);
}

Verdict Ledger::verdict(std::uint64_t unique) const {
  for (const layout::Settled& settled : first_->head.settled)
    if (settled.unique == unique && settled.verdict <= static_cast<std::uint32_t>(Verdict::done))
      return static_cast<Verdict>(settled.verdict);
  return Verdict::none;
}

void Ledger::suspect_answer() {
  const layout::Counted& answer = first_->counted;
  layout::Counted& suspect = first_->suspect;
  std::size_t count = std::min<std::size_t>(answer.count, layout::kCounted);
  publish(suspect.unique, std::uint64_t{0});
  std::memcpy(suspect.nodes, answer.nodes, count * sizeof answer.nodes[0]);
  suspect.count = count;
  suspect.handle = answer.handle;
  publish(suspect.unique, answer.unique);
  answering(0);
}

// Forgotten before anybody acts on it: to take back twice would be one reference too few.
Ledger::Given Ledger::take_back(std::uint64_t unique) {
  layout::Counted& suspect = first_->suspect;
  Given given;
  if (unique == 0 || suspect.unique != unique) return given;
  std::size_t count = std::min<std::size_t>(suspect.count, layout::kCounted);
  given.nodes.assign(suspect.nodes, suspect.nodes + count);
  given.handle = suspect.handle;
  publish(suspect.unique, std::uint64_t{0});
  return given;
}

// --- reading -----------------------------------------------------------------------------------

const layout::Node* Ledger::node_at(std::size_t id) const {
  const Slab& nodes = slab(Kind::nodes);
  if (id >= nodes.capacity() || nodes.pages_[id / nodes.in_page()].live == 0) return nullptr;
  auto* node = reinterpret_cast<const layout::Node*>(nodes.at(id));
  return node->state & layout::Node::kLive ? node : nullptr;
}

const layout::Handle* Ledger::handle_at(std::size_t number) const {
  const Slab& handles = slab(Kind::handles);
  if (number >= handles.capacity() || handles.pages_[number / handles.in_page()].live == 0)
    return nullptr;
  auto* handle = reinterpret_cast<const layout::Handle*>(handles.at(number));
  return handle->state & layout::Handle::kLive ? handle : nullptr;
}

void Ledger::each_name(const std::function<void(const FoundName&)>& each) const {
  for (std::size_t which = 0; which < 4; ++which) {
    auto kind = static_cast<Kind>(static_cast<std::size_t>(Kind::name32) + which);
    const Slab& cells = slab(kind);
    for (std::size_t index = 0; index < cells.capacity(); ++index) {
      if (cells.pages_[index / cells.in_page()].live == 0) {
        index += cells.in_page() - 1 - index % cells.in_page();
        continue;
      }
      auto* name = reinterpret_cast<const layout::Name*>(cells.at(index));
      if (!(name->live & 1)) continue;
      std::size_t room = cells.size_ - layout::kNameHead;
      auto* text = reinterpret_cast<const char*>(name) + layout::kNameHead;
      each({static_cast<Cell>(which << 30 | index) + 1, name->node, name->parent,
            std::string(text, std::min<std::size_t>(name->length, room))});
    }
  }
}

std::vector<layout::InFlight> Ledger::lost() const {
  std::vector<layout::InFlight> all;
  std::size_t used = std::min<std::size_t>(first_->head.slots, layout::kInFlight);
  for (std::size_t i = 0; i < used; ++i)
    if (first_->in_flight[i].unique) all.push_back(first_->in_flight[i]);
  return all;
}

void Ledger::forget_lost() {
  std::size_t used = std::min<std::size_t>(first_->head.slots, layout::kInFlight);
  for (std::size_t i = 0; i < used; ++i) publish(first_->in_flight[i].unique, std::uint64_t{0});
}

}  // namespace fusefs
