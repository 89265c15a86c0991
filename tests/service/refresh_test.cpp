// An id moves to another slot while a daemon serves files of it, whose owners the kernel may keep
// for ever.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/planning.hpp"
#include "daemon/identities.hpp"
#include "tests/daemon/rig.hpp"
#include "tests/kernel/fixture.hpp"
#include "tests/service/pool.hpp"

namespace {

using daemon_test::Daemon;
using identity::Id;
using kernel_test::owner_of;

constexpr Id kForeign = 60000, kOwn = 1633;  // 60000's hash slot is 1633

std::string owner(Id id) {
  return std::to_string(id) + ":" + std::to_string(id);
}

std::string expect(const std::string& what, const std::string& wanted, const std::string& got) {
  return wanted == got ? "" : what + ": " + got + ", expected " + wanted + "\n";
}

// A daemon, and a mount of files of 60000 and of 1633 that it serves; in a pool.
struct World {
  Daemon daemon;
  kernel_test::TempTree tree;
  std::string merged = tree.path() + "/merged", lower = tree.path() + "/lower";
  std::string problem;

  World() {
    ::setenv("XDG_RUNTIME_DIR", daemon.root().c_str(), 1);
    for (const char* name : {"lower", "upper", "work", "merged"})
      kernel_test::make_dir(tree.path() + "/" + name);
    kernel_test::write_file(lower + "/foreign", "");
    for (const char* name : {"user.usernetes.uid", "user.usernetes.gid"})
      kernel_test::set_xattr(lower + "/foreign", name, std::to_string(kForeign));
    for (int i = 0; i < 20; ++i) {
      kernel_test::write_file(own_file(i), "");
      kernel_test::own(own_file(i), kOwn, kOwn);
    }
    auto ran = kernel_test::run({kernel_test::mount_program(), "-o",
                                 "lowerdir=" + lower + ",upperdir=" + tree.path() +
                                     "/upper,workdir=" + tree.path() + "/work",
                                 merged});
    if (ran.status != 0) problem = "mount: " + ran.err;
  }
  ~World() { ::umount2(merged.c_str(), MNT_DETACH); }
  std::string own_file(int i) const { return lower + "/own" + std::to_string(i); }
  std::string shown(int i) const { return owner_of(merged + "/own" + std::to_string(i)); }
  /// Makes the kernel know all owners; 60000 comes first.
  std::string look(Id own_slot) const {
    std::string bad = expect("foreign", owner(kOwn), owner_of(merged + "/foreign"));
    for (int i = 0; i < 20; ++i) bad += expect("own", owner(own_slot), shown(i));
    return bad;
  }
};

TEST(Refresh, AMovedIdIsShownAtItsNewSlotAtOnce) {
  EXPECT_EQ(
      service_test::in_pool([]() -> std::string {
        World world;
        std::string bad = world.problem + world.look(kOwn);
        if (!bad.empty()) return bad;
        auto planned = cli::plan_namespace(config::Config{}, {{kOwn, kForeign}, {kOwn, kForeign}});
        if (!planned) return planned.error().message;
        if (!planned->agreed || planned->assigned == 0) return "nothing was assigned";
        auto slot = planned->uids.slot_of(kOwn);
        if (!slot || *slot == kOwn) return "1633 did not move";
        bad += expect("foreign's slot", "1633",
                      std::to_string(planned->uids.slot_of(kForeign).value_or(0)));
        bad += world.look(*slot);
        // And what a process of the moved slot makes belongs to 1633, on the layer as well.
        ::chmod(world.merged.c_str(), 0777);
        bad += kernel_test::run_as(*slot, *slot, {}, [&] {
          std::string did = kernel_test::write_file(world.merged + "/new", "x");
          return did == "ok" ? "" : "write: " + did;
        });
        bad += expect("new", owner(*slot), owner_of(world.merged + "/new"));
        bad += expect("on the layer", owner(identity::hash_slot(kOwn, {})),
                      owner_of(world.tree.path() + "/upper/new"));
        return bad;
      }),
      "");
}

TEST(Refresh, OwnersAreKeptUntilThen) {
  EXPECT_EQ(service_test::in_pool([]() -> std::string {
              World world;
              std::string bad = world.problem + world.look(kOwn);
              if (!bad.empty()) return bad;
              auto ids = serving::Identities::of_this_process(config::Config{});
              if (!ids) return ids.error().message;
              Id moved = ids->uid_slots->claim(kOwn);
              if (ids->gid_slots->claim(kOwn) != moved) return "uid and gid differ";
              bad += world.look(kOwn);
              auto client = serving::Client::connect(world.daemon.socket());
              if (!client) return client.error().message;
              auto answer = client->call({{"verb", "refresh"}});
              if (!answer) return answer.error().message;
              bad += expect("refresh", R"({"moved":2,"nodes":20})", answer->dump());
              bad += world.look(moved);
              answer = client->call({{"verb", "refresh"}});
              bad += expect("again", R"({"moved":0,"nodes":0})", answer ? answer->dump() : "none");
              return bad;
            }),
            "");
}

}  // namespace
