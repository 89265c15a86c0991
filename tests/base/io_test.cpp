#include "base/io.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.hpp"

namespace {

base::Fd file_of(const std::string& text) {
  base::Fd file(::memfd_create("io_test", MFD_CLOEXEC));
  EXPECT_TRUE(base::write_all(file.get(), text));
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_SET), 0);
  return file;
}

TEST(ReadAll, EndsAtTheEndOrRefuses) {
  const std::string text(200'000, 'x');
  EXPECT_EQ(base::read_all(file_of("").get(), 0), "");
  EXPECT_EQ(base::read_all(file_of(text).get(), text.size()), text);
  auto longer = base::read_all(file_of(text).get(), text.size() - 1);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().value, EFBIG);
}

TEST(ReadAll, OfWhatIsNoFile) {
  base::Fd folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(base::read_all(folder.get(), 10).error().value, EISDIR);
  EXPECT_EQ(base::read_all(-1, 10).error().value, EBADF);
}

TEST(ReadAll, TakesWhatComesInPieces) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  base::Fd out(ends[0]), in(ends[1]);
  ASSERT_TRUE(base::write_all(in.get(), "one "));
  ASSERT_TRUE(base::write_all(in.get(), "two"));
  in.reset();
  EXPECT_EQ(base::read_all(out.get(), 7), "one two");
}

TEST(WriteAll, TellsWhatTheKernelSaid) {
  base::Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  auto refused = base::write_all(full.get(), "x");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().value, ENOSPC);
  EXPECT_EQ(base::refuse_errno("/dev/full").value().message, "/dev/full: No space left on device");
}

}  // namespace
