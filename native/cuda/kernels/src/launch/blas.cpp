#include "launch/blas.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>

// Our own declarations of the few functions of cuBLASLt that are used, from its documented C interface (cuBLAS library, "Using the cublasLt API"). Every
// number, size and parameter was compared with the headers of cuBLAS 13.10.0 and 12.9.3.
namespace kvsift::KVSIFT_TARGET {

namespace {

constexpr int cuda_r_32f = 0;
constexpr int cuda_r_16bf = 14;
constexpr int compute_32f = 68;
constexpr int transpose_yes = 1;
constexpr int desc_transa = 3;
constexpr int preference_workspace = 1;
constexpr int preference_alignments[] = {5, 6, 7, 8};  // of A, B, C and D
constexpr int status_no_memory = 3;
constexpr int status_not_supported = 15;
/** What the library takes for granted where it is not told, bytes. */
constexpr std::size_t usual_alignment = 256;
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;
/** Shapes of products that are remembered. */
constexpr std::size_t most_plans = 1024;

struct Heuristic {
  std::uint64_t algorithm[8];
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

const char* const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

}  // namespace

struct Blas::Functions {
  void* library = nullptr;
  void* handle = nullptr;
  int (*create)(void**) = nullptr;
  int (*destroy)(void*) = nullptr;
  int (*desc_create)(void**, int, int) = nullptr;
  int (*desc_destroy)(void*) = nullptr;
  int (*desc_set)(void*, int, const void*, std::size_t) = nullptr;
  int (*layout_create)(void**, int, std::uint64_t, std::uint64_t, std::int64_t) = nullptr;
  int (*layout_destroy)(void*) = nullptr;
  int (*preference_create)(void**) = nullptr;
  int (*preference_destroy)(void*) = nullptr;
  int (*preference_set)(void*, int, const void*, std::size_t) = nullptr;
  int (*heuristic)(void*, void*, void*, void*, void*, void*, void*, int, Heuristic*, int*) = nullptr;
  int (*matmul)(void*, void*, const void*, const void*, void*, const void*, void*, const void*, const void*, void*, void*, void*, const void*, void*,
                std::size_t, void*) = nullptr;

  /** What a product of one shape needs: asked for once. */
  struct Plan {
    explicit Plan(const Functions& functions) : lt(functions) {}
    ~Plan() {
      if (desc != nullptr) lt.desc_destroy(desc);
      for (void* layout : {a, b, c}) {
        if (layout != nullptr) lt.layout_destroy(layout);
      }
      if (preference != nullptr) lt.preference_destroy(preference);
    }
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
    const Functions& lt;
    void* desc = nullptr;
    void* a = nullptr;
    void* b = nullptr;
    void* c = nullptr;
    void* preference = nullptr;
    Heuristic found{};
    /** False where the library has no algorithm for the shape. */
    bool usable = false;
  };
  std::map<std::array<std::size_t, 4>, std::unique_ptr<Plan>> plans;
  /** @param alignment that all matrices have  @throws Refusal */
  const Plan& plan_of(const Launch& launch, std::size_t rows, std::size_t outputs, std::size_t depth, std::size_t alignment);

  ~Functions() {
    plans.clear();
    if (handle != nullptr) destroy(handle);
    if (library != nullptr) dlclose(library);
  }
  bool find() {
    const auto get = [this](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    return get(create, "cublasLtCreate") && get(destroy, "cublasLtDestroy") && get(desc_create, "cublasLtMatmulDescCreate") &&
           get(desc_destroy, "cublasLtMatmulDescDestroy") && get(desc_set, "cublasLtMatmulDescSetAttribute") &&
           get(layout_create, "cublasLtMatrixLayoutCreate") && get(layout_destroy, "cublasLtMatrixLayoutDestroy") &&
           get(preference_create, "cublasLtMatmulPreferenceCreate") && get(preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
           get(preference_set, "cublasLtMatmulPreferenceSetAttribute") && get(heuristic, "cublasLtMatmulAlgoGetHeuristic") &&
           get(matmul, "cublasLtMatmul") && create(&handle) == 0;
  }
};

std::vector<std::string> blas_candidates() {
  std::vector<std::string> paths;
  const auto folder = [&paths](const std::filesystem::path& path) {
    for (const char* name : names) paths.push_back((path / name).string());
  };
  if (const char* own = std::getenv("KVSIFT_CUBLAS")) paths.emplace_back(own);
  for (const char* name : names) paths.emplace_back(name);
  if (const char* cuda = std::getenv("CUDA_PATH")) folder(std::filesystem::path(cuda) / "lib64");
  folder("/usr/local/cuda/lib64");
  // Environments that are open, then what is installed for the user or for all.
  std::vector<std::filesystem::path> libs;
  for (const auto& [variable, lib] : {std::pair{"CONDA_PREFIX", "lib"}, {"VIRTUAL_ENV", "lib"}, {"HOME", ".local/lib"}}) {
    if (const char* prefix = std::getenv(variable)) libs.push_back(std::filesystem::path(prefix) / lib);
  }
  for (const char* lib : {"/usr/local/lib", "/usr/lib"}) libs.emplace_back(lib);
  for (const std::filesystem::path& lib : libs) {
    folder(lib);
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(lib, ignored)) {
      if (!entry.path().filename().string().starts_with("python")) continue;
      for (const char* packages : {"site-packages", "dist-packages"}) {
        // pip: nvidia/cu13/lib (CUDA 13), nvidia/cublas/lib (CUDA 12).
        const std::filesystem::path nvidia = entry.path() / packages / "nvidia";
        if (!std::filesystem::is_directory(nvidia, ignored)) continue;
        folder(nvidia / "cu13/lib");
        folder(nvidia / "cublas/lib");
      }
    }
  }
  return paths;
}

Blas::Blas() : functions_(std::make_unique<Functions>()) {}
Blas::~Blas() = default;

std::unique_ptr<Blas> Blas::load(std::string& tried) {
#ifdef KVSIFT_EMULATED
  tried = "(no device)";
  return nullptr;
#else
  for (const std::string& path : blas_candidates()) {
    tried += (tried.empty() ? "" : ", ") + path;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    std::unique_ptr<Blas> blas(new Blas);
    blas->functions_->library = library;
    blas->path_ = path;
    if (blas->functions_->find()) return blas;
  }
  return nullptr;
#endif
}

const Blas::Functions::Plan& Blas::Functions::plan_of(const Launch& launch, std::size_t rows, std::size_t outputs, std::size_t depth, std::size_t alignment) {
  const auto known = plans.find({rows, outputs, depth, alignment});
  if (known != plans.end()) return *known->second;
  const auto good = [&launch](int status, const char* what) {
    launch.require(status == 0, status == status_no_memory ? KVSIFT_CUDA_OUT_OF_MEMORY : KVSIFT_CUDA_DEVICE_ERROR,
                   std::string(what) + " gave status " + std::to_string(status));
  };
  auto made = std::make_unique<Plan>(*this);
  good(desc_create(&made->desc, compute_32f, cuda_r_32f), "cublasLtMatmulDescCreate");
  good(desc_set(made->desc, desc_transa, &transpose_yes, sizeof transpose_yes), "cublasLtMatmulDescSetAttribute");
  good(layout_create(&made->a, cuda_r_16bf, depth, outputs, static_cast<std::int64_t>(depth)), "cublasLtMatrixLayoutCreate");
  good(layout_create(&made->b, cuda_r_16bf, depth, rows, static_cast<std::int64_t>(depth)), "cublasLtMatrixLayoutCreate");
  good(layout_create(&made->c, cuda_r_32f, outputs, rows, static_cast<std::int64_t>(outputs)), "cublasLtMatrixLayoutCreate");
  good(preference_create(&made->preference), "cublasLtMatmulPreferenceCreate");
  good(preference_set(made->preference, preference_workspace, &workspace_bytes, sizeof workspace_bytes), "cublasLtMatmulPreferenceSetAttribute");
  if (alignment < usual_alignment) {
    const auto bytes = static_cast<std::uint32_t>(alignment);
    for (const int of : preference_alignments) good(preference_set(made->preference, of, &bytes, sizeof bytes), "cublasLtMatmulPreferenceSetAttribute");
  }
  int count = 0;
  const int asked = heuristic(handle, made->desc, made->a, made->b, made->c, made->c, made->preference, 1, &made->found, &count);
  if (asked != status_not_supported) good(asked, "cublasLtMatmulAlgoGetHeuristic");
  made->usable = asked == 0 && count > 0 && made->found.state == 0;
  // Prompts of any length end in a chunk of any size.
  if (plans.size() >= most_plans) plans.clear();
  return *(plans[{rows, outputs, depth, alignment}] = std::move(made));
}

bool Blas::multiply(const Launch& launch, const void* x, const void* w, std::size_t rows, std::size_t outputs, std::size_t depth, const float* residual,
                    float* out) const {
  // Column-major: outᵀ [outputs, rows] = (wᵀ)ᵀ · xᵀ, where wᵀ is [depth, outputs] and xᵀ [depth, rows].
  Functions& lt = *functions_;
  // The largest power of two that all of them lie on: one of several matrices side by side may lie on less than what memory begins on.
  std::uintptr_t places = usual_alignment;
  for (const void* place : {x, w, static_cast<const void*>(residual), static_cast<const void*>(out)}) places |= reinterpret_cast<std::uintptr_t>(place);
  const Functions::Plan& plan = lt.plan_of(launch, rows, outputs, depth, places & -places);
  if (!plan.usable) return false;
  const Scratch workspace(launch, plan.found.workspace);
  const float one = 1;
  const float beta = residual != nullptr ? 1 : 0;
  const int status = lt.matmul(lt.handle, plan.desc, &one, w, plan.a, x, plan.b, &beta, residual != nullptr ? residual : out, plan.c, out, plan.c,
                               plan.found.algorithm, workspace.as<void>(), plan.found.workspace, static_cast<void*>(launch.stream));
  launch.require(status == 0, KVSIFT_CUDA_DEVICE_ERROR, "cublasLtMatmul gave status " + std::to_string(status));
  return true;
}

}  // namespace kvsift::KVSIFT_TARGET
