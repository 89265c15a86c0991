#include "daemon/metrics_file.hpp"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <unistd.h>

#include <cstring>

#include "base/log.hpp"
#include "daemon/metrics_text.hpp"

namespace serving {
namespace {

namespace log = base::log;

ring::Op by_path(std::uint8_t opcode, const std::string& path) {
  ring::Op op;
  op.opcode = opcode;
  op.fd = AT_FDCWD;
  op.address = path.c_str();
  return op;
}

ring::Op open_new(const std::string& path) {
  ring::Op op = by_path(IORING_OP_OPENAT, path);
  op.length = 0644;
  op.op_flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  return op;
}

ring::Op write_at(int fd, const std::string& text, std::size_t done) {
  ring::Op op;
  op.opcode = IORING_OP_WRITE;
  op.fd = fd;
  op.address = text.data() + done;
  op.length = static_cast<std::uint32_t>(text.size() - done);
  op.offset = done;
  return op;
}

// The second path lies where other operations have their offset, the directory in the length.
ring::Op rename_over(const std::string& from, const std::string& to) {
  ring::Op op = by_path(IORING_OP_RENAMEAT, from);
  op.length = static_cast<std::uint32_t>(AT_FDCWD);
  op.offset = reinterpret_cast<std::uintptr_t>(to.c_str());
  return op;
}

}  // namespace

// Outlives the MetricsFile while a write is under way.
struct MetricsFile::Job {
  Job(ring::Reactor& on, std::string to)
      : reactor(on), path(std::move(to)), temporary(path + "." + std::to_string(::getpid())) {}
  ring::Reactor& reactor;
  std::string path, temporary, text;
  bool busy = false;
  log::Limiter failures{5, 600};
};

MetricsFile::MetricsFile(Server& server, const Control* control, std::string path,
                         std::uint32_t seconds)
    : server_(server),
      control_(control),
      job_(std::make_shared<Job>(server.reactor(), std::move(path))),
      seconds_(seconds) {
  tick();
}

MetricsFile::~MetricsFile() = default;

void MetricsFile::tick() {
  next_ = server_.reactor().after(seconds_ * 1000, [this] { tick(); });
  if (job_->busy) return;  // a disk that is slower than that gets no second one to do
  job_->text = metrics_text(take_status(server_, control_));
  job_->busy = true;
  ring::spawn(write(job_));
}

ring::Task<void> MetricsFile::write(std::shared_ptr<Job> job) {
  const char* doing = "open";
  int result = co_await job->reactor.operation(open_new(job->temporary));
  if (result == -EEXIST) {  // of a process of this number that died
    (void)co_await job->reactor.operation(by_path(IORING_OP_UNLINKAT, job->temporary));
    result = co_await job->reactor.operation(open_new(job->temporary));
  }
  if (result >= 0) {
    base::Fd file(result);
    ::fchmod(file.get(), 0644);
    doing = "write";
    for (std::size_t done = 0; result >= 0 && done < job->text.size();) {
      result = co_await job->reactor.operation(write_at(file.get(), job->text, done));
      if (result == 0) result = -ENOSPC;
      if (result > 0) done += static_cast<std::size_t>(result);
    }
    if (result >= 0) {
      doing = "rename";
      result = co_await job->reactor.operation(rename_over(job->temporary, job->path));
    }
    if (result < 0)
      (void)co_await job->reactor.operation(by_path(IORING_OP_UNLINKAT, job->temporary));
  }
  job->busy = false;
  if (result < 0)
    log::limited(job->failures, log::Level::warning, "metrics.file",
                 "path=" + log::quoted(job->path) + " doing=" + doing +
                     " error=" + log::quoted(std::strerror(-result)));
}

}  // namespace serving
