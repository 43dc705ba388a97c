#include "runtime/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/failure.h"

namespace kvsift {

namespace {

[[noreturn]] void fail(Code code, const std::string& message) { throw Fault(code, "load", message); }

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) {
    const int reason = errno;
    fail(reason == ENOENT || reason == ENOTDIR ? Code::file_not_found : Code::file_unreadable, path + ": " + std::strerror(reason));
  }
  struct stat info {};
  if (fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor_);
    fail(Code::file_unreadable, path + ": not a regular file");
  }
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;
  data_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (data_ == MAP_FAILED) {
    const int reason = errno;
    close(descriptor_);
    fail(Code::file_unreadable, path + ": cannot be mapped: " + std::strerror(reason));
  }
}

MappedFile::~MappedFile() {
  if (size_ != 0) munmap(data_, size_);
  close(descriptor_);
}

const std::byte* MappedFile::range(std::size_t offset, std::size_t bytes, const std::string& name) const {
  struct stat info {};
  const std::size_t now = fstat(descriptor_, &info) == 0 ? static_cast<std::size_t>(info.st_size) : 0;
  const std::size_t size = now < size_ ? now : size_;
  if (offset > size || bytes > size - offset) {
    fail(Code::file_malformed, path_ + ": " + name + " takes bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) +
                                   ", the file has " + std::to_string(size));
  }
  return static_cast<const std::byte*>(data_) + offset;
}

void MappedFile::forget(std::size_t offset, std::size_t bytes) const {
  const std::size_t page = 4096;
  const std::size_t first = (offset + page - 1) / page * page;
  const std::size_t end = (offset + bytes) / page * page;
  if (end > first) madvise(static_cast<std::byte*>(data_) + first, end - first, MADV_DONTNEED);
}

bool MappedFile::current() const {
  struct stat mine {};
  struct stat named {};
  return fstat(descriptor_, &mine) == 0 && stat(path_.c_str(), &named) == 0 && mine.st_dev == named.st_dev && mine.st_ino == named.st_ino &&
         static_cast<std::size_t>(mine.st_size) == size_;
}

std::shared_ptr<MappedFile> MappedFiles::open(const std::string& path) {
  auto& known = files_[path];
  if (auto file = known.lock(); file && file->current()) return file;
  auto file = std::make_shared<MappedFile>(path);
  known = file;
  return file;
}

}  // namespace kvsift
