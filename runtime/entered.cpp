#include "runtime/entered.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/fd.hpp"
#include "base/io.hpp"
#include "base/wait.hpp"

namespace oci {
namespace {

constexpr std::size_t kMostOutput = 1 << 20;

bool has_type(const Json& namespaces, const std::string& type) {
  for (const Json& one : namespaces)
    if (one.is_object() && one.value("type", Json()) == type) return true;
  return false;
}

base::Checked<base::Unit> enter_one(const Entered& one) {
  std::string what = "the " + one.type + " namespace " + one.path + " that the container joins";
  base::Fd file(::open(one.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0) return base::refuse_errno(what);
  if (one.inode != 0 && status.st_ino != one.inode)
    return base::refuse(what + " is not there any more: the path leads to another one");
  if (::setns(file.get(), 0) != 0) return base::refuse_errno(what);
  return base::Unit{};
}

// What `PROGRAM [--root ROOT] state ID` prints; empty if that fails.
std::string state_text(const std::string& program, const std::string& root, const std::string& id) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  base::Fd from(ends[0]), to(ends[1]);
  pid_t child = ::fork();
  if (child < 0) return {};
  if (child == 0) {
    std::vector<const char*> argv = {program.c_str()};
    if (!root.empty()) argv.insert(argv.end(), {"--root", root.c_str()});
    argv.insert(argv.end(), {"state", id.c_str(), nullptr});
    base::Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ::dup2(null.get(), 0);
    ::dup2(to.get(), 1);
    ::dup2(null.get(), 2);
    ::execv(program.c_str(), const_cast<char* const*>(argv.data()));
    ::_exit(127);
  }
  to.reset();
  auto text = base::read_all(from.get(), kMostOutput);
  from.reset();
  (void)base::wait_for(child);
  return text ? *text : std::string();
}

}  // namespace

bool can_be_entered(const std::string& type) {
  return type == "network" || type == "ipc" || type == "uts";
}

base::Checked<base::Unit> put_back(Json& config, const std::string& name) {
  auto notes = config.find("annotations");
  if (notes == config.end() || !notes->is_object() || !notes->contains(kEnteredAnnotation))
    return base::Unit{};
  const Json& text = (*notes)[kEnteredAnnotation];
  std::string where = name + ": annotation " + kEnteredAnnotation;
  TRY(paths, parse_object(text.is_string() ? text.get<std::string>() : "", where));
  if (!config.contains("linux") || !config["linux"].is_object())
    return base::refuse(where + ": there is no object linux");
  Json& list = config["linux"]["namespaces"];
  if (!list.is_array()) return base::refuse(where + ": linux.namespaces is not a list");
  for (auto at = paths.begin(); at != paths.end(); ++at) {
    if (!at->is_string() || !can_be_entered(at.key()))
      return base::refuse(where + ": is not of the form {\"network\": \"PATH\"}");
    if (!has_type(list, at.key())) list.push_back({{"type", at.key()}, {"path", *at}});
  }
  notes->erase(kEnteredAnnotation);
  return base::Unit{};
}

base::Checked<base::Unit> enter(std::span<const Entered> all) {
  for (const Entered& one : all) TRY_VOID(enter_one(one));
  return base::Unit{};
}

bool was_entered(const std::string& program, const std::string& root, const std::string& id) {
  auto state = parse_object(state_text(program, root, id), "state");
  if (!state || !state->contains("annotations")) return false;
  const Json& notes = (*state)["annotations"];
  return notes.is_object() && notes.contains(kEnteredAnnotation);
}

}  // namespace oci
