#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

namespace kvsift {

/** A file mapped read-only. Cutting the file while it is mapped is the one thing that cannot be caught. */
class MappedFile {
 public:
  /** @throws Fault `file_not_found`, `file_unreadable` */
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /** `bytes` bytes from `offset`. @throws Fault `file_malformed` where the file, as it is now, ends before */
  const std::byte* range(std::size_t offset, std::size_t bytes, const std::string& name) const;
  /** Lets the system drop the pages of a range that will not be read soon. */
  void forget(std::size_t offset, std::size_t bytes) const;
  /** True where the path still names this very file. */
  bool current() const;

 private:
  std::string path_;
  int descriptor_ = -1;
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

/** Files by path; two loads from one path share the mapping. Used by the executor only. */
class MappedFiles {
 public:
  std::shared_ptr<MappedFile> open(const std::string& path);

 private:
  std::map<std::string, std::weak_ptr<MappedFile>> files_;
};

}  // namespace kvsift
