#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <array>
#include <memory>

#include "seccomp/calls.hpp"
#include "seccomp/device_source.hpp"
#include "seccomp/on_engine.hpp"
#include "seccomp/remote_file.hpp"
#include "seccomp/supervisor.hpp"
#include "seccomp/task_path.hpp"
#include "seccomp/translate.hpp"

namespace seccomp {
namespace {

// What stands for the device until the call is over.
struct Wish {
  DeviceSource& devices;
  std::string question;
  ~Wish() { devices.forget(question); }
};

// Which argument is the mode; the next is the device.
unsigned mode_argument(const Call& call) {
  return static_cast<unsigned>(call.row->where.data);
}

// As the kernel reads it (new_decode_dev of linux/kdev_t.h).
identity::Device device_of(const Call& call) {
  const Id mode = id_at(call, mode_argument(call)), number = id_at(call, mode_argument(call) + 1);
  return {S_ISBLK(mode) ? identity::NodeType::block : identity::NodeType::chr,
          (number & 0xfff00) >> 8, (number & 0xff) | ((number >> 12) & 0xfff00)};
}

// The mount is told who it is by an attribute that it is asked for. Whatever the answer is.
ring::Task<void> ask(ring::Reactor& reactor, int directory, std::string question) {
  auto open = co_await open_file(reactor, directory, ".", O_RDONLY | O_DIRECTORY);
  if (!open) co_return;
  auto value = std::make_unique<std::array<char, 16>>();
  (void)co_await reactor.operation({.opcode = IORING_OP_FGETXATTR,
                                    .fd = open->get(),
                                    .offset = reinterpret_cast<std::uintptr_t>(value->data()),
                                    .address = question.c_str(),
                                    .length = 16});
}

ring::Task<std::int64_t> outcome(Call call, std::string question, std::int64_t result) {
  if (call.supervisor.devices->granted(question)) co_return 0;
  // It was made, and where nobody knows of devices: the path has led elsewhere meanwhile.
  co_return result == 0 ? -EPERM : result;
}

}  // namespace

// The kernel refuses devices to all user namespaces. On a mount of ours the task makes a plain file
// instead, so that the kernel finds the directory, judges who may write there and whose it is; the
// mount makes a record of it.
ring::Task<Answer> on_mknod(Call call) {
  const unsigned at = mode_argument(call);
  const bool whiteout = S_ISCHR(id_at(call, at)) && id_at(call, at + 1) == 0;  // anybody may
  if (whiteout || !has_capability(call.notice.tid, CAP_MKNOD)) co_return Answer::resume();
  if (call.container->info.mode == Mode::engine && call.supervisor.owners) {
    auto answer = co_await engine_mknod(call, id_at(call, at) & 07777, device_of(call));
    if (answer) co_return *answer;
  }
  DeviceSource* devices = call.supervisor.devices;
  if (!devices) co_return Answer::resume();
  Tracees& tracees = call.supervisor.tracees();
  const Where& where = call.row->where;
  const int from = where.directory < 0 ? AT_FDCWD : int_at(call, where.directory);
  auto path = co_await tracees.read_path(call.notice.tid, call.notice.arguments[where.path]);
  if (!path || (call.still_valid && !call.still_valid())) co_return Answer::resume();
  auto parts = split_path(std::move(*path));
  if (!parts) co_return Answer::resume();
  auto directory = co_await tracees.open_path(call.notice.tid, from, parts->first, 0);
  if (!directory) co_return Answer::resume();
  Wish wish{*devices, devices->question()};
  co_await ask(call.supervisor.reactor(), directory->get(), wish.question);
  const bool ours = devices->wish(wish.question, parts->second, device_of(call));
  if (!ours) co_return Answer::resume();
  Rerun rerun;
  rerun.arguments[at] = S_IFREG | (id_at(call, at) & 07777);
  rerun.arguments[at + 1] = 0;
  std::string question = wish.question;
  rerun.after = [call, question](std::int64_t result) { return outcome(call, question, result); };
  Answer answer = co_await call.supervisor.run_again(call, std::move(rerun));
  co_return answer;
}

}  // namespace seccomp
