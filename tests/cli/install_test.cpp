// `usernetes-identity install` as a process, in a home of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "config/toml.hpp"
#include "tests/cli/program.hpp"

namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Install : public testing::Test {
 protected:
  Ended install(std::vector<std::string> words = {}) {
    words.insert(words.begin(), "install");
    return run_program(words, {"HOME=" + home().string(), "PATH=/usr/bin:/bin"});
  }
  std::filesystem::path home() const { return home_.path(); }
  std::filesystem::path unit(const std::string& kind) const {
    return home() / (".config/systemd/user/usernetes-identity." + kind);
  }
  std::filesystem::path settings() const {
    return home() / ".config/usernetes-identity/config.toml";
  }
  std::filesystem::path link() const { return home() / ".local/bin/usernetes-identity"; }
  std::filesystem::path storage() const { return home() / ".config/containers/storage.conf"; }
  static std::string text(const std::filesystem::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  static void write(const std::filesystem::path& path, const std::string& text) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::vector<std::string> everything() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(home()))
      all.push_back(entry.path());
    return all;
  }

  TemporaryDirectory home_;
};

TEST_F(Install, WritesAndUndoesEverything) {
  auto done = install({"--storage-conf"});
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(std::filesystem::read_symlink(link()), UNI_BINARY);
  EXPECT_THAT(text(unit("service")), HasSubstr("\nExecStart=" + link().string() + " daemon\n"));
  EXPECT_THAT(text(unit("socket")), HasSubstr("ListenStream=%t/usernetes-identity/control.sock"));
  EXPECT_THAT(text(storage()), HasSubstr("mount_program = \"" + link().string() + "\""));
  auto loaded = config::load_toml(text(settings()), "config.toml");
  EXPECT_TRUE(loaded) << loaded.error().message;
  for (const auto& path : {link(), unit("service"), unit("socket"), settings(), storage()})
    EXPECT_THAT(done.out, HasSubstr("wrote " + path.string() + "\n"));
  auto undone = install({"--undo"});
  ASSERT_EQ(undone.code, 0) << undone.err;
  EXPECT_THAT(undone.out, HasSubstr("removed " + unit("service").string()));
  EXPECT_THAT(everything(), IsEmpty());
}

TEST_F(Install, MakesPodmanUseTheRuntime) {
  auto done = install({"--containers-conf", "--no-systemd"});
  ASSERT_EQ(done.code, 0) << done.err;
  auto runtime = home() / ".local/bin/usernetes-identity-runtime";
  auto file = home() / ".config/containers/containers.conf.d/usernetes-identity.conf";
  EXPECT_EQ(std::filesystem::read_symlink(runtime), link());
  EXPECT_THAT(text(file), HasSubstr("\nruntime = \"usernetes\"\n"));
  EXPECT_THAT(text(file), HasSubstr("\nusernetes = [\"" + runtime.string() + "\"]\n"));
  EXPECT_EQ(install({"--undo"}).code, 0);
  EXPECT_THAT(everything(), IsEmpty());
}

TEST_F(Install, TwiceIsOnce) {
  install();
  auto before = everything();
  auto again = install();
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.out, Not(HasSubstr("wrote")));
  EXPECT_EQ(everything(), before);
}

TEST_F(Install, LeavesWhatTheUserHas) {
  write(settings(), "fuse.timeout = 1\n");
  write(storage(), "[storage]\ndriver = \"vfs\"\n");
  write(link(), "#!/bin/sh\n");
  auto done = install({"--storage-conf"});
  EXPECT_EQ(done.code, 0) << done.err;
  for (const auto& path : {settings(), storage(), link()})
    EXPECT_THAT(done.out, HasSubstr("left " + path.string() + ": it is there already"));
  EXPECT_THAT(done.out, HasSubstr("mount_program = \"" UNI_BINARY "\""))
      << "what to add, and not by the link that is not ours";
  EXPECT_THAT(text(unit("service")), HasSubstr("ExecStart=" UNI_BINARY " daemon"));
  EXPECT_EQ(text(settings()), "fuse.timeout = 1\n");
  install({"--undo"});
  EXPECT_EQ(text(settings()), "fuse.timeout = 1\n");
  EXPECT_EQ(text(storage()), "[storage]\ndriver = \"vfs\"\n");
  EXPECT_FALSE(std::filesystem::exists(unit("service")));
}

TEST_F(Install, LeavesWhatWasChangedSince) {
  install();
  write(unit("service"), "[Service]\n");
  EXPECT_THAT(install().out, HasSubstr("left " + unit("service").string() + ": it was changed"));
  auto undone = install({"--undo"});
  EXPECT_THAT(undone.out, HasSubstr("left " + unit("service").string() + ": it was changed"));
  EXPECT_EQ(text(unit("service")), "[Service]\n");
  EXPECT_FALSE(std::filesystem::exists(settings()));
  EXPECT_THAT(install({"--undo"}).out, HasSubstr("nothing was installed"));
}

TEST_F(Install, UpdatesWhatItWroteItself) {
  install();
  // As if by an older program: other contents, noted as ours.
  std::string memory = home() / ".local/state/usernetes-identity/installed.json";
  auto noted = nlohmann::json::parse(text(memory));
  noted["files"][link().string()] = "link:/old/program";
  write(memory, noted.dump());
  std::filesystem::remove(link());
  std::filesystem::create_symlink("/old/program", link());
  auto updated = install();
  EXPECT_THAT(updated.out, HasSubstr("updated " + link().string()));
  EXPECT_EQ(std::filesystem::read_symlink(link()), UNI_BINARY);
}

TEST_F(Install, DryRunTouchesNothing) {
  auto dry = install({"--dry-run", "--storage-conf"});
  EXPECT_EQ(dry.code, 0);
  EXPECT_THAT(dry.out, HasSubstr("would write " + unit("service").string()));
  EXPECT_THAT(everything(), IsEmpty());
  auto json = nlohmann::json::parse(install({"--dry-run", "--json", "--no-systemd"}).out);
  EXPECT_EQ(json["dry_run"], true);
  ASSERT_EQ(json["files"].size(), 3u) << json;
  EXPECT_THAT(json["files"][2]["content"], HasSubstr("#level = \"info\""));
  install();
  auto before = everything();
  EXPECT_THAT(install({"--dry-run", "--undo"}).out, HasSubstr("would remove "));
  EXPECT_EQ(everything(), before);
}

TEST_F(Install, SaysWhatItCannotWrite) {
  write(home() / ".config/systemd", "a file where a directory should be");
  auto failed = install();
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.err, HasSubstr(".config/systemd"));
  EXPECT_EQ(install({"--undo"}).code, 0);
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::symlink_status(link())))
      << "what was written before the failure is remembered";
  EXPECT_EQ(run_program({"install"}, {}).code, 1) << "no HOME";
  EXPECT_EQ(run_program({"install"}, {"HOME=/nonexistent"}).code, 1);
}

TEST_F(Install, NeverWritesThroughALink) {
  std::filesystem::path victim = home() / "victim";
  write(victim, "precious");
  std::filesystem::create_directories(settings().parent_path());
  std::filesystem::create_symlink(victim, settings());
  install();
  EXPECT_EQ(text(victim), "precious");
  EXPECT_TRUE(std::filesystem::is_symlink(settings()));
}

TEST_F(Install, SystemdLikesTheUnits) {
  if (run_command({"systemd-analyze", "--version"}, {"PATH=/usr/bin:/bin"}).code != 0)
    GTEST_SKIP() << "there is no systemd-analyze";
  install();
  std::filesystem::create_directory(home() / "run");
  auto verify = [&] {
    return run_command(
        {"systemd-analyze", "--user", "--man=no", "verify", unit("service"), unit("socket")},
        {"PATH=/usr/bin:/bin", "HOME=" + home().string(),
         "XDG_RUNTIME_DIR=" + (home() / "run").string()});
  };
  auto verified = verify();
  EXPECT_EQ(verified.code, 0);
  EXPECT_EQ(verified.out + verified.err, "");
  write(unit("service"), text(unit("service")) + "\n[Service]\nRestart=sometimes\n");
  verified = verify();
  EXPECT_THAT(verified.out + verified.err, HasSubstr("Failed to parse")) << "the test can fail";
}

TEST_F(Install, AStrangePathIsQuotedInTheUnit) {
  std::filesystem::path strange = home() / "a b%c$d\"e";
  std::filesystem::create_directory(strange);
  std::filesystem::copy_file(UNI_BINARY, strange / "program");
  write(link(), "not ours");  // so that the unit names the program itself
  auto done = run_command({strange / "program", "install"},
                          {"HOME=" + home().string(), "PATH=/usr/bin:/bin"});
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(text(unit("service")),
              HasSubstr("ExecStart=\"" + home().string() + "/a b%%c$$d\\\"e/program\" daemon\n"));
}

}  // namespace
