#include "identity/pool.hpp"

#include <algorithm>
#include <charconv>
#include <string>

namespace identity {
namespace {

struct Line {
  Extent extent;
  std::size_t number;  // from 1, for messages
};

std::string describe(Line const& l) {
  return "line " + std::to_string(l.number) + ": \"" + std::to_string(l.extent.inside) + " " +
         std::to_string(l.extent.outside) + " " + std::to_string(l.extent.count) + "\"";
}

bool runs_past_the_end(Id first, Id count) {
  return count > kNoId - first;
}

// A name for what nobody should write into a message unbounded.
std::string shortened(std::string_view text) {
  if (text.size() > 60) return std::string(text.substr(0, 60)) + "...";
  return std::string(text);
}

bool take_number(std::string_view& rest, Id& out) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  auto const [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  if (error != std::errc{}) return false;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return rest.empty() || rest.front() == ' ' || rest.front() == '\t';
}

base::Checked<Extent> parse_line(std::string_view text, std::size_t number) {
  Extent e;
  std::string_view rest = text;
  bool const three =
      take_number(rest, e.inside) && take_number(rest, e.outside) && take_number(rest, e.count);
  if (!three || rest.find_first_not_of(" \t") != rest.npos) {
    return base::refuse("id map line " + std::to_string(number) + ": \"" + shortened(text) +
                        "\" is not three numbers INSIDE OUTSIDE COUNT below 2^32");
  }
  return e;
}

base::Checked<> check_each(std::vector<Line> const& lines) {
  if (lines.empty()) return base::refuse("id map: no line; the namespace maps no id yet");
  if (lines.size() > kMaxExtents) {
    return base::refuse("id map line " + std::to_string(kMaxExtents + 1) + ": more than " +
                        std::to_string(kMaxExtents) + " lines, which no kernel accepts");
  }
  for (Line const& l : lines) {
    Extent const& e = l.extent;
    if (e.count == 0) return base::refuse("id map " + describe(l) + " maps no id");
    bool const outside_known = e.outside != kNoId;
    if (runs_past_the_end(e.inside, e.count) ||
        (outside_known && runs_past_the_end(e.outside, e.count))) {
      return base::refuse("id map " + describe(l) + " goes past the last id 4294967294");
    }
  }
  return base::Unit{};
}

base::Checked<> check_overlap(std::vector<Line> lines, Id Extent::*side, char const* side_name) {
  std::erase_if(lines, [&](Line const& l) { return l.extent.*side == kNoId; });
  std::sort(lines.begin(), lines.end(),
            [&](Line const& a, Line const& b) { return a.extent.*side < b.extent.*side; });
  for (std::size_t i = 1; i < lines.size(); ++i) {
    Line const& low = lines[i - 1];
    if (lines[i].extent.*side - low.extent.*side < low.extent.count) {
      return base::refuse("id map " + describe(lines[i]) + " overlaps " + describe(low) +
                          " on the " + side_name + " side");
    }
  }
  return base::Unit{};
}

base::Checked<std::vector<Extent>> checked_extents(std::vector<Line> lines) {
  TRY_VOID(check_each(lines));
  TRY_VOID(check_overlap(lines, &Extent::inside, "inner"));
  TRY_VOID(check_overlap(lines, &Extent::outside, "outer"));
  std::vector<Extent> extents;
  extents.reserve(lines.size());
  for (Line const& l : lines) extents.push_back(l.extent);
  std::sort(extents.begin(), extents.end(),
            [](Extent const& a, Extent const& b) { return a.inside < b.inside; });
  return extents;
}

}  // namespace

Pool::Pool(std::vector<Extent> sorted) : extents_(std::move(sorted)) {
  for (Extent const& e : extents_) size_ += e.count;
}

Pool Pool::full() {
  return Pool({Extent{0, 0, kNoId}});
}

base::Checked<Pool> Pool::parse(std::string_view uid_map_text) {
  std::vector<Line> lines;
  std::size_t number = 0;
  while (!uid_map_text.empty()) {
    std::string_view const text = uid_map_text.substr(0, uid_map_text.find('\n'));
    uid_map_text.remove_prefix(std::min(text.size() + 1, uid_map_text.size()));
    ++number;
    TRY(extent, parse_line(text, number));
    lines.push_back({extent, number});
    if (lines.size() > kMaxExtents) break;
  }
  TRY(extents, checked_extents(std::move(lines)));
  return Pool(std::move(extents));
}

base::Checked<Pool> Pool::from_extents(std::vector<Extent> extents) {
  std::vector<Line> lines;
  lines.reserve(extents.size());
  for (Extent const& e : extents) lines.push_back({e, lines.size() + 1});
  TRY(sorted, checked_extents(std::move(lines)));
  return Pool(std::move(sorted));
}

bool Pool::contains(Id id) const {
  auto const after = std::upper_bound(extents_.begin(), extents_.end(), id,
                                      [](Id value, Extent const& e) { return value < e.inside; });
  if (after == extents_.begin()) return false;
  Extent const& e = *std::prev(after);
  return id - e.inside < e.count;
}

HashRange Pool::hash_range() const {
  constexpr Id kMostSlots = 1999;  // the seed's, so that slots agree between nodes
  Id run = 0;
  while (run < kMostSlots && contains(run + 1)) ++run;
  if (contains(2000)) return {1, run, 2000};
  if (contains(kNobody)) return {1, run, kNobody};
  if (run == 0) return {1, 0, 0};
  return {1, run - 1, run};
}

}  // namespace identity
