#include "launch/blas.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "check.h"

namespace KVSIFT_TEST_SPACE {

namespace {

/** A variable of the environment that is set for a while. */
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { before_.empty() ? unsetenv(name_) : setenv(name_, before_.c_str(), 1); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::string before_;
};

}  // namespace

KVSIFT_TEST(blas_candidates, "cuBLASLt is looked for where it is named, by the loader, and in the folders of conda and pip") {
  std::string pattern = (std::filesystem::temp_directory_path() / "kvsift-blas-XXXXXX").string();
  expect(mkdtemp(pattern.data()) != nullptr, "a folder");
  const std::filesystem::path home = pattern;
  const std::filesystem::path venv = home / "venv/lib/python3.12/site-packages/nvidia/cu13/lib";
  const std::filesystem::path user = home / ".local/lib/python3.11/site-packages/nvidia/cublas/lib";
  std::filesystem::create_directories(venv);
  std::filesystem::create_directories(user);
  std::filesystem::create_directories(home / "venv/lib/python3.10/site-packages");
  const Variable own("KVSIFT_CUBLAS", "/own/libcublasLt.so");
  const Variable conda("CONDA_PREFIX", "/conda");
  const Variable environment("VIRTUAL_ENV", (home / "venv").string());
  const Variable user_home("HOME", home.string());
  const std::vector<std::string> found = kvsift::KVSIFT_TARGET::blas_candidates();
  std::filesystem::remove_all(home);
  auto before = found.begin();
  for (const std::string& next : {std::string("/own/libcublasLt.so"), std::string("libcublasLt.so.13"), std::string("libcublasLt.so.12"),
                                  std::string("/conda/lib/libcublasLt.so.13"), (venv / "libcublasLt.so.13").string(), (user / "libcublasLt.so.12").string()}) {
    const auto at = std::find(before, found.end(), next);
    expect(at != found.end(), next + " is not among the candidates, or too early");
    before = at;
  }
  expect(found.front() == "/own/libcublasLt.so", "the named file comes first");
  const auto absent = [](const std::string& path) { return path.find("python3.10") != std::string::npos; };
  expect(std::none_of(found.begin(), found.end(), absent), "a Python without NVIDIA's packages has none");
}

}  // namespace KVSIFT_TEST_SPACE
