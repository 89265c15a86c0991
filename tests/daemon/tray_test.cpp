// Descriptors that are wanted for a moment: what a crash finds, and what goes to the keeper.
#include "daemon/tray.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace serving {
namespace {

base::Fd memory(const std::string& text) {
  base::Fd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  return fd;
}

std::string text_of(int fd) {
  char text[64];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  return size < 0 ? "unreadable" : std::string(text, static_cast<std::size_t>(size));
}

class TrayTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Tray::make(*reactor, [this](const std::string& name, int fd) {
      stayed += name + "=" + text_of(fd) + " ";
    });
    ASSERT_TRUE(made);
    tray = std::move(*made);
    kept = base::Fd(::fcntl(tray->reading_end(), F_DUPFD_CLOEXEC, 3));
  }
  void put(const std::string& name, const std::string& text) {
    const base::Fd fd = memory(text);  // closed at once: it is the tray that holds it
    EXPECT_TRUE(tray->put(name, fd.get()));
  }
  /// What a successor would find.
  std::string found() const {
    std::string all;
    for (const auto& [name, fd] : Tray::look_into(kept))
      all += name + "=" + text_of(fd.get()) + " ";
    return all;
  }
  void a_moment_later() {
    bool over = false;
    const ring::Timer timer = reactor->after(20, [&] { over = true; });
    while (!over) reactor->turn();
  }
  std::unique_ptr<ring::Reactor> reactor = std::move(*ring::Reactor::make(8));
  std::string stayed;
  base::Fd kept;  // by a keeper
  std::unique_ptr<Tray> tray;
};

TEST_F(TrayTest, ACrashFindsWhatLiesInIt) {
  put("a", "first");
  put("b", "second");
  EXPECT_EQ(found(), "a=first b=second ");
  EXPECT_EQ(found(), "a=first b=second ") << "a successor may die as well";
  tray.reset();
  EXPECT_EQ(found(), "a=first b=second ");
}

TEST_F(TrayTest, WhatIsGoneInAMomentIsNobodysBusiness) {
  for (int i = 0; i < 5000; ++i) {
    put("a", "text");
    ASSERT_TRUE(tray->remove("a"));
  }
  EXPECT_FALSE(tray->remove("a"));
  EXPECT_EQ(found(), "");
  a_moment_later();
  EXPECT_EQ(stayed, "");
}

TEST_F(TrayTest, WhatStaysIsHandedOnOnce) {
  put("a", "first");
  put("b", "second");
  EXPECT_TRUE(tray->remove("a"));
  a_moment_later();
  EXPECT_EQ(stayed, "b=second ");
  EXPECT_FALSE(tray->remove("b")) << "it is the keeper's by now";
  EXPECT_EQ(found(), "");
  put("c", "third");
  a_moment_later();
  EXPECT_EQ(stayed, "b=second c=third ");
}

/// A file's number may be another file's as soon as it is gone.
TEST_F(TrayTest, TheLastOfAName) {
  put("other", "x");
  put("a", "old");
  EXPECT_TRUE(tray->remove("a"));
  put("a", "new");
  EXPECT_EQ(found(), "other=x a=old a=new ");
  a_moment_later();
  EXPECT_NE(stayed.find("a=new "), stayed.npos);
  EXPECT_EQ(stayed.find("old"), stayed.npos);
}

TEST_F(TrayTest, IsFullAndEmptiesAgain) {
  const base::Fd fd = memory("text");
  std::size_t put = 0;
  while (put < 100'000 && tray->put("n" + std::to_string(put), fd.get())) ++put;
  EXPECT_GT(put, 100u);
  EXPECT_LT(put, 100'000u);
  EXPECT_FALSE(tray->put("too many", fd.get()));
  a_moment_later();
  EXPECT_EQ(static_cast<std::size_t>(std::count(stayed.begin(), stayed.end(), ' ')), put);
  EXPECT_TRUE(tray->put("again", fd.get()));
}

/// They stay where they are until there is room to take them out.
TEST_F(TrayTest, WithoutADescriptorLeft) {
  put("a", "text");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{3, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  a_moment_later();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(stayed, "");
  EXPECT_EQ(found(), "a=text ");
  a_moment_later();
  EXPECT_EQ(stayed, "a=text ");
}

}  // namespace
}  // namespace serving
