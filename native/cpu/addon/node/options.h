#pragma once

#include "node/reader.h"

namespace kvsift::node {

// What differs between backends in how they are made.

/** Name of the function that makes the backend, for messages. */
extern const char* const maker;

/** The arguments of the constructor after the first one. @throws Fault */
BackendOptions read_options(Reader& reader);

/** What computes, for `BackendInfo`. */
Napi::Value describe(Reader& reader);

}  // namespace kvsift::node
