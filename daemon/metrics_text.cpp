#include "daemon/metrics_text.hpp"

#include <fmt/format.h>

#include "fusefs/op_table.hpp"
#include "seccomp/state_message.hpp"

namespace serving {
namespace {

using base::metrics::Histogram;

// Writes families one after the other: HELP and TYPE once, then its samples.
class Text {
 public:
  Text& family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = std::string("usernetes_identity_") + std::string(name);
    out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
    return *this;
  }
  /// `labels`: as `op="read",le="1"`, escaped already; may be empty.
  Text& sample(std::string_view labels, double value, std::string_view suffix = "") {
    return put(labels, fmt::format("{}", value), suffix);
  }
  Text& sample(std::string_view labels, std::uint64_t value, std::string_view suffix = "") {
    return put(labels, fmt::format("{}", value), suffix);
  }
  template <class Number>
  Text& only(std::string_view name, std::string_view type, std::string_view help, Number value) {
    return family(name, type, help).sample("", value);
  }
  std::string take() { return std::move(out_); }

 private:
  Text& put(std::string_view labels, std::string_view value, std::string_view suffix) {
    std::string braces = labels.empty() ? "" : fmt::format("{{{}}}", labels);
    out_ += fmt::format("{}{}{} {}\n", name_, suffix, braces, value);
    return *this;
  }
  std::string name_, out_;
};

// Buckets of a factor two: four times as many would be four times as many series.
void histogram(Text& text, const std::string& labels, const Histogram& times) {
  for (int power = Histogram::kFirstPower; power <= Histogram::kLastPower; ++power) {
    std::uint64_t edge = 1ull << power;
    text.sample(fmt::format("{},le=\"{}\"", labels, static_cast<double>(edge) / 1e9),
                times.below(edge), "_bucket");
  }
  text.sample(labels + ",le=\"+Inf\"", times.count(), "_bucket");
  text.sample(labels, static_cast<double>(times.sum_ns()) / 1e9, "_sum");
  text.sample(labels, times.count(), "_count");
}

void operations(Text& text, const fusefs::SessionStats& stats) {
  auto each = [&](auto&& write) {
    for (std::size_t op = 0; op < stats.ops.size(); ++op)
      if (stats.ops[op].requests > 0)
        write(fmt::format("op=\"{}\"", fusefs::kOps[op].name), stats.ops[op]);
  };
  text.family("requests_total", "counter", "FUSE requests by operation.");
  each([&](const auto& label, const auto& op) { text.sample(label, op.requests); });
  text.family("requests_waited_total", "counter",
              "Requests in which a kernel worker had a part; the others were answered inline.");
  each([&](const auto& label, const auto& op) { text.sample(label, op.waited); });
  text.family("request_duration_seconds", "histogram",
              "Time from reading a request to having answered it, by operation.");
  each([&](const auto& label, const auto& op) {
    if (op.latency) histogram(text, label, *op.latency);
  });
  text.family("errors_total", "counter", "Error replies by operation and errno.");
  for (std::size_t op = 0; op < stats.ops.size(); ++op)
    for (auto [error, count] : stats.ops[op].errors)
      text.sample(fmt::format("op=\"{}\",errno=\"{}\"", op ? fusefs::kOps[op].name : "none",
                              errno_name(error)),
                  count);
  text.only("rejected_total", "counter", "Malformed requests.", stats.rejected);
  text.only("reply_failures_total", "counter", "Replies the kernel did not want any more.",
            stats.reply_failures);
  text.only("resent_total", "counter", "Requests that came again after a take-over.", stats.resent);
}

void changes(Text& text, const fusefs::Counters& changes) {
  text.only("copy_ups_total", "counter", "Lower files copied up.", changes.copy_ups);
  text.only("copied_bytes_total", "counter", "File data copied by copy-ups.", changes.copied_bytes);
  text.only("clones_total", "counter", "Copy-ups by FICLONE.", changes.clones);
  text.only("whiteouts_total", "counter", "Whiteouts made.", changes.whiteouts);
  text.only("corrupt_records_total", "counter", "Owner records that were not believed.",
            changes.corrupt_records);
}

void mounts(Text& text, const Status& status) {
  auto each = [&](std::string_view name, std::string_view type, std::string_view help,
                  auto&& value) {
    text.family(name, type, help);
    for (const MountStatus& mount : status.mounts)
      text.sample(fmt::format("mount=\"{}\",path=\"{}\"", mount.id, escape_label(mount.path)),
                  static_cast<std::uint64_t>(value(mount)));
  };
  text.only("mounts", "gauge", "Mounts that are served.", std::uint64_t{status.mounts.size()});
  text.only("mounts_total", "counter", "Mounts since the start.", status.mounts_ever);
  each("mount_requests_total", "counter", "Requests of a mount.",
       [](const auto& mount) { return mount.stats->requests(); });
  each("mount_errors_total", "counter", "Error replies of a mount.",
       [](const auto& mount) { return mount.stats->error_replies(); });
  each("mount_nodes", "gauge", "Inodes remembered.", [](const auto& mount) { return mount.nodes; });
  each("mount_open", "gauge", "Open files and directories.",
       [](const auto& mount) { return mount.open; });
  each("mount_fds", "gauge", "Descriptors held for a mount.",
       [](const auto& mount) { return mount.fds; });
  each("mount_in_flight", "gauge", "Requests that wait.",
       [](const auto& mount) { return mount.in_flight; });
  each("mount_copy_ups_total", "counter", "Lower files of a mount copied up.",
       [](const auto& mount) { return mount.changes.copy_ups; });
}

void slots(Text& text, const Status& status) {
  auto both = [&](std::string_view name, std::string_view type, std::string_view help,
                  auto&& value) {
    text.family(name, type, help);
    text.sample("kind=\"uid\"", static_cast<std::uint64_t>(value(status.uid_slots)));
    text.sample("kind=\"gid\"", static_cast<std::uint64_t>(value(status.gid_slots)));
  };
  both("slots_used", "gauge", "Live slots given to an id.",
       [](const SlotStatus& s) { return s.used; });
  both("slots", "gauge", "Live slots in all, given or free.",
       [](const SlotStatus& s) { return s.window; });
  both("slots_second_choice", "gauge", "Ids that are shown as another slot than their hash slot.",
       [](const SlotStatus& s) { return s.second_choice.size(); });
  both("strangers_total", "counter", "Ids for which no slot was left.",
       [](const SlotStatus& s) { return s.strangers; });
}

void control(Text& text, const ControlStatus& control) {
  text.only("control_connections", "gauge", "Connections to the control socket.",
            std::uint64_t{control.connections});
  text.only("control_accepted_total", "counter", "Connections that were accepted.",
            control.accepted);
  text.only("control_refused_mounts_total", "counter", "Mounts that were refused.",
            control.refused_mounts);
  text.family("control_rejected_total", "counter", "Peers and requests turned away, by reason.");
  for (const auto& [kind, count] : control.rejected)
    text.sample(fmt::format("reason=\"{}\"", kind), count);
}

void supervision(Text& text, const SupervisionStatus& supervision) {
  const SupervisionTotals& totals = supervision.totals;
  text.only("containers", "gauge", "Containers and commands whose calls are answered.",
            std::uint64_t{supervision.containers.size()});
  text.only("containers_total", "counter", "Containers since the start.", totals.containers);
  text.only("listeners", "gauge", "Filters that are listened to.",
            std::uint64_t{supervision.listeners});
  text.only("listeners_total", "counter", "Filters since the start.", totals.listeners);
  text.family("calls_total", "counter", "System calls answered, by name.");
  for (const auto& [name, times] : totals.calls)
    text.sample(fmt::format("call=\"{}\"", name), times.count());
  text.family("call_duration_seconds", "histogram",
              "Time from receiving a call to having answered it, by name.");
  for (const auto& [name, times] : totals.calls)
    histogram(text, fmt::format("call=\"{}\"", name), times);
  text.only("virtual_answers_total", "counter", "Calls of tasks that somebody else traces.",
            totals.virtual_answers);
  text.only("calls_refused_total", "counter", "Calls for which there was no room or no permission.",
            totals.refused);
  text.only("calls_gone_total", "counter", "Calls whose task had left before the answer.",
            totals.gone);
  auto each = [&](std::string_view name, std::string_view type, std::string_view help,
                  auto&& value) {
    text.family(name, type, help);
    for (const auto& one : supervision.containers)
      text.sample(
          fmt::format("container=\"{}\",mode=\"{}\",namespace=\"{}\"", escape_label(one->info.id),
                      seccomp::mode_name(one->info.mode), one->user_namespace),
          static_cast<std::uint64_t>(value(*one)));
  };
  each("container_calls_total", "counter", "Calls of a container.", [](const auto& container) {
    std::uint64_t sum = 0;
    for (const auto& [name, times] : container.calls) sum += times.count();
    return sum;
  });
  each("container_waiting", "gauge", "Calls of a container that wait.",
       [](const auto& container) { return container.under_way; });
}

void process(Text& text, const Status& status) {
  text.only("restarts_total", "counter", "Daemons that took over from one before.",
            status.restarts);
  text.only("mounts_lost_total", "counter", "Mounts that a successor could not rebuild.",
            status.mounts_lost);
  text.only("requests_lost_total", "counter", "Requests answered with an error after a take-over.",
            status.requests_lost);
  text.only("takeover_seconds", "gauge", "Time the last take-over took; 0: there was none.",
            status.last_takeover_s);
  text.only("ring_operations_total", "counter", "Operations given to kernel workers.",
            status.ring_operations);
  text.only("ring_entries", "gauge", "Size of the io_uring's submission queue.",
            std::uint64_t{status.ring.entries});
  text.only("ring_overflows_total", "counter", "Completions lost for want of memory.",
            std::uint64_t{status.ring.overflows});
  text.only("ring_sleeps_total", "counter", "How often the thread slept.", status.ring.sleeps);
  text.only("ring_spin_credit", "gauge", "Above 0: spinning before sleeping has paid lately.",
            static_cast<double>(status.ring.spin_credit));
  text.only("log_lines_suppressed_total", "counter", "Log lines held back by a limit.",
            status.process.log_lines_suppressed);
  text.only("resident_memory_bytes", "gauge", "Memory in RAM.", status.process.rss_bytes);
  text.only("cpu_seconds_total", "counter", "Processor time used.", status.process.cpu_s);
  text.only("open_fds", "gauge", "Open descriptors.", status.process.fds);
  text.only("max_fds", "gauge", "Limit of open descriptors.", status.process.fd_limit);
  text.only("uptime_seconds", "gauge", "Time since the start of this process.", status.uptime_s);
}

// The length of the UTF-8 sequence that begins here, 0 if none does.
std::size_t utf8_length(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::size_t length = byte(0) < 0x80 ? 1 : byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (length == 1) return 1;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Too long a form, a surrogate, beyond the last character.
  if (byte(0) == 0xe0 && byte(1) < 0xa0) return 0;
  if (byte(0) == 0xed && byte(1) > 0x9f) return 0;
  if (byte(0) == 0xf0 && byte(1) < 0x90) return 0;
  if (byte(0) == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

}  // namespace

std::string escape_label(std::string_view raw) {
  std::string out;
  while (!raw.empty()) {
    std::size_t length = utf8_length(raw);
    auto c = static_cast<unsigned char>(raw.front());
    if (c == '\n') {
      out += "\\n";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (length == 0 || c < 0x20 || c == 0x7f) {
      out += '?';
    } else {
      out += raw.substr(0, length);
    }
    raw.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string metrics_text(const Status& status) {
  Text text;
  text.family("build_info", "gauge", "Always 1; the version as a label.");
  text.sample(fmt::format("version=\"{}\"", escape_label(status.version)), std::uint64_t{1});
  operations(text, status.requests);
  changes(text, status.changes);
  mounts(text, status);
  slots(text, status);
  supervision(text, status.supervision);
  for (const ControlStatus& one : status.control) control(text, one);
  process(text, status);
  return text.take();
}

}  // namespace serving
