#include "tests/kernel/fixture.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

namespace kernel_test {
namespace {

constexpr int watchdog_seconds = 60;

/// Children of this process; a daemon becomes one, since we are the reaper of our descendants.
std::set<pid_t> children() {
  std::set<pid_t> found;
  DIR* proc = opendir("/proc");
  while (const dirent* entry = readdir(proc)) {
    const pid_t pid = atoi(entry->d_name);
    if (pid <= 0) continue;
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(file, line);
    const size_t bracket = line.rfind(')');
    if (bracket == std::string::npos) continue;
    std::istringstream rest(line.substr(bracket + 1));
    std::string state;
    pid_t parent = 0;
    rest >> state >> parent;
    if (parent == getpid()) found.insert(pid);
  }
  closedir(proc);
  return found;
}

std::set<pid_t>& known_children() {
  static std::set<pid_t> known;
  return known;
}

std::string joined_paths(const std::vector<std::string>& paths) {
  std::string all;
  for (const auto& path : paths) all += (all.empty() ? "" : ":") + path;
  return all;
}

/// Where a daemon built with sanitizers writes what it finds: nobody reads its stderr.
void send_findings_to(const std::string& path) {
  for (const char* name : {"ASAN_OPTIONS", "UBSAN_OPTIONS"}) {
    static std::map<std::string, std::string> given;
    const char* old = getenv(name);
    const std::string& first = given.emplace(name, old ? std::string(old) + ":" : "").first->second;
    setenv(name, (first + "log_path=" + path).c_str(), 1);
  }
}

}  // namespace

std::string mount_program() {
  const char* other = getenv("UNI_MOUNT_PROGRAM");
  return other ? other : UNI_BINARY;
}

bool is_mounted(const std::string& path) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string id, parent, device, root, target;
    words >> id >> parent >> device >> root >> target;
    if (target == path) return true;
  }
  return false;
}

TempTree::TempTree() {
  const char* where = getenv("UNI_TEST_DIR");
  path_ = std::string(where ? where : "/var/tmp") + "/uni-test.XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) std::abort();
  chmod(path_.c_str(), 0755);
}

TempTree::~TempTree() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

OverlayMount::OverlayMount(Layout layout) : layout_(std::move(layout)) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  umask(022);
  unsetenv("XDG_RUNTIME_DIR");  // each mount by a process of its own, unless a test wants a daemon
  send_findings_to(root() + "/sanitizer");
  for (int i = 0; layout_.lower_paths.size() < static_cast<size_t>(layout_.lowers); ++i) {
    layout_.lower_paths.push_back(root() + "/lower" + std::to_string(i));
    make_dir(layout_.lower_paths.back());
  }
  if (layout_.with_upper && layout_.upper_path.empty()) {
    layout_.upper_path = root() + "/upper";
    make_dir(upper());
  }
  if (layout_.with_upper && layout_.work_path.empty()) {
    layout_.work_path = root() + "/work";
    make_dir(work());
  }
  make_dir(merged());
  make_dir(plain());
  make_dir(outside());
}

OverlayMount::~OverlayMount() {
  unmount();
  for (auto path = extra_mounts_.rbegin(); path != extra_mounts_.rend(); ++path) {
    umount2(path->c_str(), MNT_DETACH);
  }
}

std::string OverlayMount::lower(int index) const {
  return layout_.lower_paths.at(static_cast<size_t>(index));
}

std::string OverlayMount::options() const {
  std::string text = "lowerdir=" + joined_paths(layout_.lower_paths);
  if (layout_.with_upper) text += ",upperdir=" + upper() + ",workdir=" + work();
  return layout_.options.empty() ? text : text + "," + layout_.options;
}

void OverlayMount::mount() {
  start_watchdog();
  const Ran ran = run({mount_program(), "-o", options(), merged()});
  EXPECT_EQ(ran.status, 0) << "mount: " << ran.err << ran.out;
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(ran.pipes_closed) << "the daemon keeps stdout or stderr of its caller";
  adopt(ran);
  EXPECT_TRUE(is_mounted(merged()));
}

// What an earlier test's processes have left to us to bury is no daemon.
static bool is_dead(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = stat.rfind(") ");
  return name_end == std::string::npos || stat[name_end + 2] == 'Z';
}

void OverlayMount::adopt(const Ran& ran) {
  if (watchdog_ < 0) start_watchdog();
  if (ran.status != 0) return;
  for (const pid_t pid : children()) {
    if (known_children().insert(pid).second && !is_dead(pid)) daemon_ = pid;
  }
}

pid_t OverlayMount::daemon() {
  return daemon_ > 0 && wait_daemon(0) < 0 ? daemon_ : -1;
}

int OverlayMount::wait_daemon(int seconds) {
  if (daemon_ < 0) return daemon_status_;
  for (int tries = 0; tries <= seconds * 500; ++tries) {
    int status = 0;
    if (waitpid(daemon_, &status, WNOHANG) == daemon_) {
      known_children().erase(daemon_);
      daemon_ = -1;
      daemon_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      return daemon_status_;
    }
    if (tries < seconds * 500) usleep(2000);
  }
  return -1;
}

void OverlayMount::forget_daemon() {
  if (daemon_ > 0) wait_daemon(5);
  daemon_ = -1;
}

void OverlayMount::know_child(pid_t pid) {
  known_children().insert(pid);
}

void OverlayMount::unmount() {
  if (is_mounted(merged())) {
    if (daemon_ > 0) {
      EXPECT_LT(wait_daemon(0), 0) << "the daemon died under the mount";
    }
    int rc = -1;
    for (int tries = 0; tries < 100 && (rc = umount2(merged().c_str(), 0)) != 0; ++tries) {
      usleep(10000);
    }
    EXPECT_EQ(outcome(rc), "ok") << "unmount of " << merged();
    if (rc != 0) umount2(merged().c_str(), MNT_DETACH);
  }
  if (daemon_ > 0) {
    const pid_t pid = daemon_;
    const int status = wait_daemon(60);
    EXPECT_EQ(status, 0) << "end of the daemon after the unmount (-1: it still runs)";
    if (status < 0) {
      kill(pid, SIGKILL);
      wait_daemon(5);
    }
  }
  stop_watchdog();
  expect_no_findings();
}

void OverlayMount::expect_no_findings() {
  for (const auto& entry : std::filesystem::directory_iterator(root())) {
    if (!entry.path().filename().string().starts_with("sanitizer.")) continue;
    ADD_FAILURE() << "the daemon's sanitizer found:\n" << read_file(entry.path().string());
    std::filesystem::remove(entry.path());
  }
}

void OverlayMount::remount() {
  unmount();
  mount();
}

std::string OverlayMount::add_tmpfs(const std::string& dir, int kilobytes) {
  const std::string size = "mode=0755,size=" + std::to_string(kilobytes) + "k";
  const std::string did = outcome(::mount("tmpfs", dir.c_str(), "tmpfs", 0, size.c_str()));
  if (did == "ok") extra_mounts_.push_back(dir);
  return did;
}

std::string OverlayMount::add_ext4(const std::string& dir, int megabytes) {
  const std::string image = root() + "/image" + std::to_string(extra_mounts_.size());
  const base::Fd fd = open_at(image, O_CREAT | O_RDWR);
  if (ftruncate(fd.get(), static_cast<off_t>(megabytes) << 20) != 0) return outcome(-1);
  const Ran made = run({"mkfs.ext4", "-q", "-m", "0", "-F", image});
  if (made.status != 0) return "mkfs.ext4: " + made.err;
  const Ran done = run({"mount", "-o", "loop", image, dir});
  if (done.status != 0) return "mount: " + done.err;
  extra_mounts_.push_back(dir);
  return "ok";
}

/// A process of its own: a test that waits for a lost reply does not see signals. When the test
/// does not end in time, or dies, the daemon is ended, and with it every waiting call.
void OverlayMount::start_watchdog() {
  if (watchdog_ > 0) return;
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
  watchdog_ = fork();
  if (watchdog_ == 0) {
    if (ends[0] > 3) close_range(3, static_cast<unsigned>(ends[0]) - 1, 0);
    close_range(static_cast<unsigned>(ends[0]) + 1, ~0U, 0);
    signal(SIGINT, SIG_IGN);
    pollfd polled = {ends[0], POLLIN, 0};
    const int seen = poll(&polled, 1, watchdog_seconds * 1000);
    if (seen > 0 && read(ends[0], &polled, 1) == 1) _exit(0);
    const std::string text = "watchdog: ending what serves " + merged() + "\n";
    if (write(2, text.data(), text.size()) < 0) _exit(1);
    umount2(merged().c_str(), MNT_FORCE | MNT_DETACH);
    umount2(merged().c_str(), MNT_DETACH);
    _exit(1);
  }
  known_children().insert(watchdog_);
  base::Fd reading(ends[0]);
  watchdog_pipe_ = base::Fd(ends[1]);
}

void OverlayMount::stop_watchdog() {
  if (watchdog_ < 0) return;
  if (write(watchdog_pipe_.get(), "x", 1) < 0) kill(watchdog_, SIGKILL);
  waitpid(watchdog_, nullptr, 0);
  known_children().erase(watchdog_);
  watchdog_ = -1;
  watchdog_pipe_.reset();
}

namespace {
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  for (std::string line; std::getline(words, line);) lines.push_back(line);
  return lines;
}

std::string difference(const std::string& where, const std::string& got_text,
                       const std::string& expected_text) {
  const auto got = lines_of(got_text);
  const auto expected = lines_of(expected_text);
  std::string text;
  for (size_t i = 0; i < std::max(got.size(), expected.size()); ++i) {
    const std::string here = i < got.size() ? got[i] : "(nothing)";
    const std::string disk = i < expected.size() ? expected[i] : "(nothing)";
    if (here == disk) continue;
    text.append("file of the ").append(where).append(": ").append(here);
    text.append("\n        on disk: ").append(disk).append("\n");
  }
  return text;
}
}  // namespace

std::string differs_from_disk(const Prepare& prepare, const Story& story) {
  OverlayMount m;
  prepare(m.plain());
  const std::string expected = story(m.plain());
  make_dir(m.lower() + "/lower");
  prepare(m.lower() + "/lower");
  m.mount();
  make_dir(m.at("upper"));
  prepare(m.at("upper"));
  const std::string low = story(m.at("lower"));
  const std::string up = story(m.at("upper"));
  return difference("lower", low, expected) + difference("upper", up, expected);
}

}  // namespace kernel_test
