#include "check.h"
namespace kvsift::tests { void test_sampling() {} }
