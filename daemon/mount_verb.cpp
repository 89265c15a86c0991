// The verb `mount`: a client has mounted and hands everything over.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "base/io.hpp"
#include "base/log.hpp"
#include "daemon/control.hpp"
#include "daemon/mount_request.hpp"
#include "daemon/recovery.hpp"
#include "daemon/server.hpp"
#include "daemon/service.hpp"
#include "daemon/verbs.hpp"

namespace serving {
namespace {

namespace log = base::log;

constexpr std::uint32_t kInitMilliseconds = 10'000;
constexpr unsigned kFuseMajor = 10, kFuseMinor = 229;
constexpr unsigned long kSyncInit = _IO(229, 3);  // FUSE_DEV_IOC_SYNC_INIT, Linux 6.18

bool same_open_file(int a, int b) {
  pid_t self = ::getpid();
  return ::syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

// A device that waits for its mount (FUSE_DEV_IOC_SYNC_INIT) stops whoever polls or reads it, non-
// blocking or not. To ask for that wait is refused (EINVAL) when it is mounted; kernels which do
// not know the call do not wait.
bool is_mounted(const base::Fd& device) {
  return ::ioctl(device.get(), kSyncInit) != 0;
}

base::Checked<base::Unit> check_device(const Server& server, const base::Fd& device) {
  struct stat st;
  int flags = ::fcntl(device.get(), F_GETFL);
  if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) != O_RDWR ||
      ::fstat(device.get(), &st) != 0 || !S_ISCHR(st.st_mode) ||
      st.st_rdev != makedev(kFuseMajor, kFuseMinor))
    return base::refuse("the first descriptor is not /dev/fuse, open to read and write");
  if (!is_mounted(device)) return base::refuse("nothing is mounted by the /dev/fuse that was sent");
  for (const auto& served : server.mounts())
    if (same_open_file(device.get(), served->session->device()))
      return base::refuse("the /dev/fuse that was sent is served already, as mount " +
                          std::to_string(served->id));
  if (::fcntl(device.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return base::refuse_errno("/dev/fuse");
  return base::Unit{};
}

/// What a waiting client waits for: that INIT is answered, or the end.
struct Arrival {
  explicit Arrival(ring::Reactor& reactor) : event(reactor) {}
  ring::Event event;
  bool ready = false;
  int error = 0;
};

struct Arriving {
  std::shared_ptr<Arrival> arrival;
  std::uint64_t id = 0;
};

/// What is kept of a mount is let go unless it comes to be served.
struct Promise {
  Recovery* recovery;
  std::uint64_t id;
  ~Promise() {
    if (recovery) recovery->forget(id);
  }
};

base::Checked<Arriving> begin(Call& call) {
  Server& server = call.server;
  if (call.control.life && call.control.life->draining())
    return base::refuse("this daemon takes no new mounts: it ends after its last");
  TRY(request, MountRequest::parse(call.args, server.config()));
  if (call.fds.empty() || number_of(call.args, "fds") != call.fds.size())
    return base::refuse("fds: " + std::to_string(call.fds.size()) + " descriptors have come");
  base::Fd device = std::move(call.fds.front());
  call.fds.erase(call.fds.begin());
  TRY_VOID(check_device(server, device));
  TRY(layers, fusefs::LayerFds::from_order(std::move(call.fds), layer_paths(request.options)));
  call.fds.clear();
  Lasting lasting{server.next_id()};
  if (server.recovery) {
    TRY(ledger, server.recovery->keep(lasting.id, request, device, layers));
    lasting.ledger = std::move(ledger);
  }
  Promise promise{server.recovery, lasting.id};
  TRY(overlay,
      make_overlay(request.options, std::move(layers), server.identities(), server.reactor()));
  auto arrival = std::make_shared<Arrival>(server.reactor());
  fusefs::Session::Hooks hooks;
  hooks.on_ready = [arrival] {
    arrival->ready = true;
    arrival->event.fire();
  };
  hooks.on_end = [arrival](int error) {
    arrival->error = error;
    arrival->event.fire();
  };
  if (server.recovery) server.recovery->add_hooks(lasting.id, hooks);
  Served& served = server.serve(std::move(request), std::move(device), std::move(overlay),
                                std::move(hooks), std::move(lasting));
  promise.recovery = nullptr;
  return Arriving{arrival, served.id};
}

}  // namespace

ring::Task<Answered> verb_mount(Call& call) {
  Server& server = call.server;
  auto begun = begin(call);
  call.fds.clear();
  if (!begun) {
    call.control.count_refused_mount();
    co_return tl::make_unexpected(begun.error());
  }
  std::shared_ptr<Arrival> arrival = begun->arrival;
  std::uint64_t id = begun->id;
  ring::Timer patience = server.reactor().after(kInitMilliseconds, [&server, arrival, id] {
    if (Served* served = server.find(id)) served->session->abandon(ETIMEDOUT);
  });
  co_await arrival->event.wait();
  patience.cancel();
  if (call.control.life) call.control.life->count_mounts();
  if (arrival->ready && !arrival->error) {
    log::line(log::Level::info, "mount.ready", "mount=" + std::to_string(id));
    co_return Json{{"mount", id}};
  }
  call.control.count_refused_mount();
  call.code = "EIO";
  std::string why = arrival->error == ETIMEDOUT ? "the kernel has not sent INIT within 10 s"
                                                : std::strerror(arrival->error);
  co_return base::refuse("/dev/fuse: " + why);
}

}  // namespace serving
