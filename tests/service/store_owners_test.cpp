// The records that an image engine's chown becomes, as root on a real file system.
#include "daemon/store_owners.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <filesystem>
#include <fstream>

#include "ring/at.hpp"

namespace serving {
namespace {

using identity::kNoId;
using Owner = std::pair<identity::Id, identity::Id>;

constexpr const char* kMap = "0 1000 1\n1 100000 2001\n";

std::unique_ptr<StoreOwners> make_store() {
  auto pool = identity::Pool::parse(kMap);
  auto slots =
      std::make_shared<identity::LiveSlots>(*pool, pool->hash_range(), identity::Rule::wide,
                                            identity::Window{}, identity::Collisions::native);
  Identities ids{*pool, *pool, slots, slots, true};
  config::Config config;
  config.engine.stores = "/store/:relative:/other";
  auto made = StoreOwners::make(ids, config);
  return made ? std::move(*made) : nullptr;
}

class StoreOwnersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: files get other owners";
    ASSERT_NE(::mkdtemp(name_), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(name_); }
  std::string path(const std::string& file) const { return std::string(name_) + "/" + file; }
  seccomp::StoreFile found(const std::string& file) const {
    seccomp::StoreFile out;
    out.file = base::Fd(::open(path(file).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    EXPECT_EQ(::fstatat(out.file.get(), "", &out.st, AT_EMPTY_PATH), 0);
    if (!S_ISREG(out.st.st_mode) && !S_ISDIR(out.st.st_mode)) {
      out.directory = base::Fd(::open(name_, O_PATH | O_DIRECTORY | O_CLOEXEC));
      out.name = file;
    }
    return out;
  }
  int chown(const std::string& file, identity::Id uid, identity::Id gid) const {
    auto done = store_->chown(found(file), uid, gid);
    return done ? 0 : done.error().value;
  }
  Owner owner(const std::string& file) const {
    const seccomp::Truth truth = store_->truth(found(file));
    return {truth.uid, truth.gid};
  }
  Owner disk(const std::string& file) const {
    auto out = found(file);
    return {out.st.st_uid, out.st.st_gid};
  }
  std::string text(const std::string& file, const char* key) const {
    return ring::at::get_xattr(ring::at::by_fd(found(file).file.get()), key, 64).value_or("-");
  }
  std::unique_ptr<StoreOwners> store_ = make_store();
  char name_[32] = "/var/tmp/uni-owners-XXXXXX";
};

TEST_F(StoreOwnersTest, ForeignIdsBecomeRecordAndSlot) {
  std::ofstream(path("f")) << "x";
  std::filesystem::create_directory(path("d"));
  for (std::string name : {"f", "d"}) {
    EXPECT_EQ(chown(name, 119525, 9030), 0);
    EXPECT_EQ(owner(name), (Owner{119525, 9030}));
    EXPECT_EQ(text(name, "user.usernetes.uid"), "119525");
    EXPECT_NE(disk(name), (Owner{119525, 9030}));
  }
  EXPECT_EQ(chown("f", 1185200044, kNoId), 0);
  EXPECT_EQ(owner("f"), (Owner{1185200044, 9030})) << "what was not named stays";
  EXPECT_EQ(disk("f").first, 818u);
}

TEST_F(StoreOwnersTest, ThingsWithoutAttributes) {
  std::filesystem::create_symlink("/etc/passwd", path("l"));
  ASSERT_EQ(::mkfifo(path("p").c_str(), 0600), 0);
  for (std::string name : {"l", "p"}) {
    EXPECT_EQ(chown(name, 60000, 60000), 0);
    EXPECT_EQ(owner(name), (Owner{60000, 60000})) << name;
    EXPECT_EQ(disk(name), (Owner{1633, 1633})) << name;
    EXPECT_TRUE(std::filesystem::exists(path(".wh..wh.un." + name)));
  }
  struct stat st;
  ASSERT_EQ(::stat("/etc/passwd", &st), 0);
  EXPECT_EQ(st.st_uid, 0u) << "the link was followed";
  // Without the name it is the slot's, which is nobody more privileged.
  auto nameless = found("l");
  nameless.directory = base::Fd();
  EXPECT_TRUE(store_->chown(nameless, 445605, 89939));
  EXPECT_NE(disk("l"), (Owner{1633, 1633}));
  EXPECT_EQ(owner("l"), disk("l")) << "the old record was believed";
}

TEST_F(StoreOwnersTest, IdsThatTheKernelKnowsAreItsOwn) {
  std::ofstream(path("f")) << "x";
  EXPECT_EQ(chown("f", 1500, 42), ENOENT);
  EXPECT_EQ(disk("f"), (Owner{0, 0}));
  EXPECT_FALSE(store_->may_differ(found("f").st));
  ASSERT_EQ(chown("f", 60000, 60000), 0);
  EXPECT_TRUE(store_->may_differ(found("f").st));
  EXPECT_EQ(chown("f", 1500, 42), 0) << "a record that would be wrong must go or change";
  EXPECT_EQ(owner("f"), (Owner{1500, 42}));
  EXPECT_EQ(chown("f", 0, 0), 0);
  EXPECT_EQ(owner("f"), (Owner{0, 0}));
  EXPECT_EQ(disk("f"), (Owner{0, 0}));
}

TEST_F(StoreOwnersTest, ADeviceIsAnEmptyFileWithARecord) {
  const identity::Device null{identity::NodeType::chr, 1, 3};
  base::Fd directory(::open(name_, O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(store_->make_device(directory, "d", 0666, null));
  EXPECT_EQ(store_->make_device(directory, "d", 0666, null).error().value, EEXIST);
  EXPECT_TRUE(S_ISREG(found("d").st.st_mode));
  EXPECT_EQ(found("d").st.st_mode & 07777, 0666u) << "the umask is the engine's, not ours";
  EXPECT_TRUE(store_->may_differ(found("d").st));
  EXPECT_EQ(store_->truth(found("d")).device, null);
  ASSERT_EQ(chown("d", 60000, 60000), 0);
  EXPECT_EQ(store_->truth(found("d")).device, null);
  EXPECT_EQ(owner("d"), (Owner{60000, 60000}));
  std::ofstream(path("f")).flush();
  EXPECT_FALSE(store_->truth(found("f")).device);
}

TEST_F(StoreOwnersTest, StoresAreAbsolute) {
  auto stores = store_->stores();
  EXPECT_EQ(std::vector<std::string>(stores.begin(), stores.end()),
            (std::vector<std::string>{"/store", "/other"}));
}

TEST_F(StoreOwnersTest, SetIdBitsGoAsTheKernelHasIt) {
  std::ofstream(path("f")) << "x";
  ASSERT_EQ(::chmod(path("f").c_str(), 06755), 0);
  EXPECT_EQ(chown("f", 60000, 60000), 0);
  EXPECT_EQ(found("f").st.st_mode & 07777, 0755u);
}

}  // namespace
}  // namespace serving
