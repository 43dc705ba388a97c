#include "runtime/failure.h"

namespace kvsift {

const char* code_name(Code code) {
  switch (code) {
    case Code::invalid_argument: return "invalid_argument";
    case Code::shape_mismatch: return "shape_mismatch";
    case Code::dtype_mismatch: return "dtype_mismatch";
    case Code::disposed: return "disposed";
    case Code::out_of_memory: return "out_of_memory";
    case Code::unsupported: return "unsupported";
    case Code::file_not_found: return "file_not_found";
    case Code::file_unreadable: return "file_unreadable";
    case Code::file_malformed: return "file_malformed";
    case Code::backend_failure: return "backend_failure";
    case Code::backend_unavailable: return "backend_unavailable";
  }
  return "backend_failure";
}

}  // namespace kvsift
