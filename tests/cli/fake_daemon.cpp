#include "tests/cli/fake_daemon.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "daemon/runtime_dir.hpp"

using serving::Json;

FakeDaemon::FakeDaemon(const std::filesystem::path& directory, std::map<std::string, Json> answers,
                       const std::string& last)
    : noted_(directory / "asked") {
  std::filesystem::create_directories(directory);
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all);
  answers.emplace("hello", Json{{"protocol", serving::kProtocol},
                                {"version", "9.9.9"},
                                {"pid", 4711},
                                {"uid_map", ""},
                                {"gid_map", ""},
                                {"service", true}});
  auto listening = serving::listen_at(directory / "control.sock");
  if (!listening) throw std::runtime_error(listening.error().message);
  pid_ = ::fork();
  if (pid_ == 0) serve(listening->socket.get(), answers, last);
}

FakeDaemon::~FakeDaemon() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Json FakeDaemon::asked() const {
  std::ifstream file(noted_);
  return Json::parse(file, nullptr, false);
}

// One connection at a time is enough for one command at a time.
void FakeDaemon::serve(int listening, const std::map<std::string, Json>& answers,
                       const std::string& last) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGPIPE, SIG_IGN);
  ::fcntl(listening, F_SETFL, 0);
  for (;;) {
    base::Fd connection(::accept(listening, nullptr, nullptr));
    serving::LineBuffer lines(serving::kRequestLimit);
    char bytes[65536];
    for (ssize_t got; (got = ::recv(connection.get(), bytes, sizeof bytes, 0)) > 0;) {
      lines.add({bytes, static_cast<std::size_t>(got)});
      auto line = lines.take();
      if (!line) continue;
      auto request = serving::parse_request(*line);
      if (!request) break;
      if (request->verb != "hello") std::ofstream(noted_) << request->args.dump();
      auto found = answers.find(request->verb);
      base::Checked<Json> answer = base::refuse("no such verb here");
      if (found != answers.end()) answer = found->second;
      std::string text = serving::answer_line(answer, "EINVAL");
      (void)!::send(connection.get(), text.data(), text.size(), 0);
      if (request->verb == last) ::_exit(0);
    }
  }
}
