// Owns: one overlay mount under test: its layers in a temporary tree, the daemon that serves it, a
// watchdog that ends a hung daemon. Called by: the tests of tests/kernel and tests/model.
// Never: touches anything outside its tree, outlives a test, forgives a daemon that died.
#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/kernel/files.hpp"

namespace kernel_test {

/// UNI_MOUNT_PROGRAM, else the program of this build.
std::string mount_program();
/// Whether something is mounted exactly there, by /proc/self/mountinfo.
bool is_mounted(const std::string& path);

/// A directory on a disk file system (/var/tmp, or UNI_TEST_DIR), removed with all below it.
class TempTree {
 public:
  TempTree();
  ~TempTree();
  TempTree(const TempTree&) = delete;
  TempTree& operator=(const TempTree&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What is mounted. Lowers are made as lower0 (top), lower1, ... unless lower_paths is given.
struct Layout {
  int lowers = 1;
  bool with_upper = true;
  std::string options = {};                     // appended, without a leading comma
  std::vector<std::string> lower_paths = {};    // instead of own lowers
  std::string upper_path = {}, work_path = {};  // instead of own ones
};

class OverlayMount {
 public:
  explicit OverlayMount(Layout layout = {});
  ~OverlayMount();
  OverlayMount(const OverlayMount&) = delete;
  OverlayMount& operator=(const OverlayMount&) = delete;

  const std::string& root() const { return tree_.path(); }
  std::string lower(int index = 0) const;
  std::string upper() const { return layout_.upper_path; }
  std::string work() const { return layout_.work_path; }
  std::string merged() const { return root() + "/merged"; }
  std::string at(const std::string& name) const { return merged() + "/" + name; }
  /// A directory on the backing file system itself, to compare with.
  std::string plain() const { return root() + "/plain"; }
  /// Where symlinks and `..` must not lead: beside the layers.
  std::string outside() const { return root() + "/outside"; }

  /// The text after -o: lowerdir=...,upperdir=...,workdir=... and the layout's options.
  std::string options() const;
  void set_options(const std::string& options) { layout_.options = options; }
  /// Mounts; exit code not 0, output, or pipes kept open are failures of the test.
  void mount();
  /// Unmounts and waits for the daemon's end; a daemon that died, exits not 0, or has left a
  /// sanitizer's finding, is a failure.
  void unmount();
  void remount();
  /// The daemon's process id while it lives, else -1.
  pid_t daemon();
  /// After a signal or an unmount from elsewhere: the exit status, -1 when it still runs.
  int wait_daemon(int seconds = 10);
  /// A daemon that the test has ended itself is not reported.
  void forget_daemon();
  /// A child of the test's own, which is no mount's daemon.
  static void know_child(pid_t pid);
  void adopt(const Ran& ran);
  /// Mounts a tmpfs of so many kB on `dir`, unmounted with the tree.
  std::string add_tmpfs(const std::string& dir, int kilobytes);
  std::string add_ext4(const std::string& dir, int megabytes);

 private:
  void expect_no_findings();
  void start_watchdog();
  void stop_watchdog();

  TempTree tree_;
  Layout layout_;
  pid_t daemon_ = -1;
  pid_t watchdog_ = -1;
  base::Fd watchdog_pipe_;
  int daemon_status_ = -1;
  std::vector<std::string> extra_mounts_;
};

/// Tells `story` about a plain directory and about the mount, where `prepare` has made the same
/// files (in the lower and in the upper, both stories); answers "" when all tell the same.
using Prepare = std::function<void(const std::string& dir)>;
using Story = std::function<std::string(const std::string& dir)>;
std::string differs_from_disk(const Prepare& prepare, const Story& story);

}  // namespace kernel_test
