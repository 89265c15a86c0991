// Random operations on a mount of random layers, against the tree in memory: every answer and the
// whole tree after each round must agree, also after remounts and with the upper as a new lower.
// UNI_SEED repeats a run, UNI_MODEL_OPS sets the number of operations.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "tests/kernel/fixture.hpp"
#include "tests/model/layers.hpp"
#include "tests/model/tree.hpp"

namespace model_test {
namespace {

using kernel_test::OverlayMount;
using kernel_test::TempTree;
using Kind = Operation::Kind;
using Operations = std::vector<Operation>;

constexpr int operations_per_round = 200;

unsigned long number_from_env(const char* name, unsigned long otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtoul(text, nullptr, 10) : otherwise;
}

/// A mismatch: which operation (or the final comparison), what was expected and what came.
struct Mismatch {
  size_t at = 0;
  std::string what;
};

/// Where a round is played: something with a directory that operations are done in.
class Stage {
 public:
  virtual ~Stage() = default;
  virtual std::string dir() const = 0;
  virtual void remount() = 0;
  virtual void restack() = 0;
  /// "" or what has happened to that which must not change.
  virtual std::string damage() { return ""; }
};

class PlainStage : public Stage {
 public:
  std::string dir() const override { return tree_.path(); }
  void remount() override {}
  void restack() override {}

 private:
  TempTree tree_;
};

/// Lowers written by a plan; restack() makes the upper the topmost lower of a fresh mount.
class OverlayStage : public Stage {
 public:
  explicit OverlayStage(const Layers& layers) {
    for (int i = 0; i < layers.count(); ++i) {
      lowers_.push_back(tree_.path() + "/low" + std::to_string(i));
      kernel_test::make_dir(lowers_.back());
      layers.write(i, lowers_.back());
      before_.push_back(kernel_test::describe_tree(lowers_.back()));
    }
    mount();
  }
  std::string dir() const override { return mount_->merged(); }
  void remount() override { mount_->remount(); }
  void restack() override {
    mount_->unmount();
    lowers_.insert(lowers_.begin(), mount_->upper());
    before_.insert(before_.begin(), kernel_test::describe_tree(mount_->upper()));
    kept_.push_back(std::move(mount_));
    mount();
  }
  std::string damage() override {
    mount_->unmount();
    for (size_t i = 0; i < lowers_.size(); ++i) {
      if (kernel_test::describe_tree(lowers_[i]) != before_[i]) return "a lower layer has changed";
    }
    return "";
  }

 private:
  void mount() {
    mount_ =
        std::make_unique<OverlayMount>(kernel_test::Layout{.lowers = 0, .lower_paths = lowers_});
    mount_->mount();
  }
  TempTree tree_;
  std::vector<std::string> lowers_, before_;
  std::vector<std::unique_ptr<OverlayMount>> kept_;
  std::unique_ptr<OverlayMount> mount_;
};

std::string first_difference(const std::string& expected, const std::string& got) {
  std::istringstream left(expected), right(got);
  std::string one, two;
  while (true) {
    const bool more_left = static_cast<bool>(std::getline(left, one));
    const bool more_right = static_cast<bool>(std::getline(right, two));
    if (!more_left) one = "(nothing)";
    if (!more_right) two = "(nothing)";
    if (one != two) return "model: " + one.substr(0, 200) + "\n  disk: " + two.substr(0, 200);
    if (!more_left && !more_right) return "";
  }
}

std::string compare_trees(const Tree& model, const std::string& dir) {
  const std::string difference = first_difference(model.describe(), describe_disk(dir));
  return difference.empty() ? "" : "the trees differ\n" + difference;
}

/// One operation, then a look at the names it was about. "" when model and disk agree.
std::string step(const Operation& op, Tree& model, Stage& stage) {
  if (op.kind == Kind::remount || op.kind == Kind::restack) {
    op.kind == Kind::remount ? stage.remount() : stage.restack();
    return compare_trees(model, stage.dir());
  }
  Operation look;
  look.kind = Kind::stat;
  umask(0);
  for (const Operation* now : {&op, static_cast<const Operation*>(&look)}) {
    for (const std::string& path : {op.path, op.other}) {
      if (now == &look) look.path = path;
      const std::string expected = model.apply(*now);
      const std::string got = perform(stage.dir(), *now);
      const std::string about = now == &look ? "\n  looking at " + path : "";
      if (expected != got) return first_difference(expected, got) + about;
      if (now == &op) break;
    }
  }
  return "";
}

/// Plays a list from the start. Nothing when all agreed.
std::optional<Mismatch> play(const Operations& operations, Tree model, Stage& stage) {
  for (size_t i = 0; i < operations.size(); ++i) {
    const std::string what = step(operations[i], model, stage);
    if (!what.empty()) return Mismatch{i, what};
  }
  std::string what = compare_trees(model, stage.dir());
  if (what.empty()) {
    stage.remount();
    what = compare_trees(model, stage.dir());
  }
  if (what.empty()) what = stage.damage();
  if (!what.empty()) return Mismatch{operations.size(), what};
  return std::nullopt;
}

/// One round, repeatable from its seed: the layers and the operations.
struct Round {
  explicit Round(unsigned long seed) : random(seed), layers(random, 1 + pick(random, 3)) {
    bool linked = false;
    for (int i = 0; i < operations_per_round; ++i) {
      operations.push_back(random_operation(random));
      linked = linked || operations.back().kind == Kind::link;
      const int luck = pick(random, 150);
      Operation pause;
      // Hard links of a lower break when one name is copied up, which the model does not know.
      pause.kind = luck == 0 && !linked ? Kind::restack : Kind::remount;
      if (luck < 3) operations.push_back(pause);
    }
  }
  std::optional<Mismatch> play_on_overlay(const Operations& list) const {
    OverlayStage stage(layers);
    return play(list, layers.merged(), stage);
  }
  Random random;
  Layers layers;
  Operations operations;
};

/// Leaves out ever smaller pieces while the list still fails, for at most half a minute.
Operations shortest_failing(const Round& round, Operations list) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (size_t piece = list.size() / 2; piece > 0; piece /= 2) {
    for (size_t from = 0; from + piece <= list.size();) {
      if (std::chrono::steady_clock::now() > end) return list;
      Operations shorter = list;
      const auto start = shorter.begin() + static_cast<long>(from);
      shorter.erase(start, start + static_cast<long>(piece));
      const auto mismatch = round.play_on_overlay(shorter);
      if (!mismatch) {
        from += piece;
        continue;
      }
      list = std::move(shorter);
      if (mismatch->at + 1 < list.size()) list.resize(mismatch->at + 1);
    }
  }
  return list;
}

std::string report(const Round& round, const Operations& list) {
  std::ostringstream text;
  text << "merged layers (" << round.layers.count() << "):\n";
  std::istringstream lines(round.layers.merged().describe());
  for (std::string line; std::getline(lines, line);) text << "  " << line.substr(0, 70) << '\n';
  text << "operations:\n";
  for (const auto& op : list) text << "  " << to_string(op) << '\n';
  return text.str();
}

unsigned long seed_of_this_run() {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const unsigned long seed = number_from_env("UNI_SEED", static_cast<unsigned long>(now) % 1000000);
  std::cout << "UNI_SEED=" << seed << std::endl;
  return seed;
}

/// The model is right about ext4 itself; without this it would prove nothing about the mount.
TEST(Model, AgreesWithTheDisk) {
  const unsigned long seed = seed_of_this_run();
  for (unsigned long round = 0; round < 50; ++round) {
    const Round played(seed * 1000 + round);
    PlainStage stage;
    const auto mismatch = play(played.operations, Tree(), stage);
    if (!mismatch) continue;
    const size_t length = std::min(mismatch->at + 1, played.operations.size());
    std::string list;
    for (size_t i = 0; i < length; ++i) list += to_string(played.operations[i]) + "\n";
    FAIL() << mismatch->what << "\n" << list;
  }
}

TEST(Model, RandomOperationsOnRandomLayers) {
  const unsigned long seed = seed_of_this_run();
  const unsigned long wanted = number_from_env("UNI_MODEL_OPS", 100000);
  unsigned long done = 0;
  for (unsigned long number = 0; done < wanted; ++number) {
    const Round round(seed * 1000 + number);
    const auto mismatch = round.play_on_overlay(round.operations);
    done += round.operations.size();
    if (mismatch || HasFailure()) {
      Operations list = round.operations;
      if (mismatch && mismatch->at + 1 < list.size()) list.resize(mismatch->at + 1);
      list = shortest_failing(round, list);
      const auto last = round.play_on_overlay(list);
      FAIL() << "round " << number << ": " << (last ? last->what : "(the shortened list passes)")
             << "\n"
             << report(round, list);
    }
  }
  std::cout << done << " operations" << std::endl;
}

}  // namespace
}  // namespace model_test
